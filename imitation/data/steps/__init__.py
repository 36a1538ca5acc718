"""The steps of a dataset's making, one a file."""
