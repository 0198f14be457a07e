"""Clusters of traces, generations and evaluations: sampled, embedded, grouped, named, numbered alike in each run."""
