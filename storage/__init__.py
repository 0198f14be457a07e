"""Storage: the SQL store of definitions, ClickHouse, and what processors cache of both."""
