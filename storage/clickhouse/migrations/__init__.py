"""Numbered SQL files, applied in order by `storage.clickhouse.migrate`. A file that was released never changes."""
