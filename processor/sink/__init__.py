"""The sink role: results and the archive of events into ClickHouse."""
