"""The laboratory: models, data, evaluation, storage and jobs."""
