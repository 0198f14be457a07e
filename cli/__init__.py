"""The `gavel` command line: one module per command group."""
