"""Wire shapes: generation rows, tasks and results, and the identities that a retry reproduces."""
