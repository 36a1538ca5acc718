"""One entry point per kind of job."""
