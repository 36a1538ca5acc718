"""The commands that jobs run, one a file."""
