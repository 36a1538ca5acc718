"""SQLite storage, one file per table."""
