"""The HTTP API: evaluations, runs, datasets, events and provider keys over the store and ClickHouse."""
