"""Files that people bring, opened one way: text and its lines, and Parquet behind a wall."""
