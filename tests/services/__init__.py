"""The real servers that tests and benchmarks run against: each started from what is installed, stopped for sure."""
