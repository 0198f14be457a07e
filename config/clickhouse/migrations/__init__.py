"""Numbered SQL files, applied in order by `config.clickhouse.migrate`. A file that was released never changes."""
