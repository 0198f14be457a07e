"""The real servers of tests and benchmarks. Each is started from installed packages, and never outlives its user."""
