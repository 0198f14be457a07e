"""The front door: events of applications over HTTP, made into rows on the events topic."""
