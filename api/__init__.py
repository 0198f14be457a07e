"""The HTTP API: FastAPI routers over the store and ClickHouse."""
