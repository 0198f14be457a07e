"""The fixtures of the API's tests, for attacks on it."""

from tests.api.conftest import api, clickhouse_dsn, database, make_api, session_api, shared_app

__all__ = ["api", "clickhouse_dsn", "database", "make_api", "session_api", "shared_app"]
