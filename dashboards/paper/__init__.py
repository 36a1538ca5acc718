"""The study's figures, tables and findings, as Gaps and Story show them."""
