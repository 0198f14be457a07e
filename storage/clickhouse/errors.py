"""The errors between Gavel and ClickHouse.

    ClickHouseProblem
    ├── BadDsn              the DSN cannot be understood
    ├── Unreachable         the server, or the embedded directory, cannot be opened now
    │   └── DirectoryInUse  another process has the embedded directory open
    ├── RightsMissing       the user may not do a thing that is needed
    └── SchemaMismatch      the tables are not the ones of this release

Messages hold no password, and say what to do.
"""

from __future__ import annotations


class ClickHouseProblem(Exception):
    """Anything of this room. Errors of single queries stay what the driver raises."""


class BadDsn(ClickHouseProblem, ValueError):
    """The DSN cannot be understood."""


class Unreachable(ClickHouseProblem):
    """ClickHouse cannot be reached now; trying again later may help.

    Attributes:
        target: the DSN without its password.
    """

    def __init__(self, target: str, message: str) -> None:
        super().__init__(f"{target}: {message}")
        self.target = target


class DirectoryInUse(Unreachable):
    """The embedded directory is open in another process.

    Attributes:
        pid: of that process, or None if it cannot be told.
    """

    def __init__(self, target: str, message: str, pid: int | None) -> None:
        super().__init__(target, message)
        self.pid = pid


class RightsMissing(ClickHouseProblem):
    """The user of the DSN lacks a right.

    Attributes:
        right: as ClickHouse names it, such as `INSERT ON gavel.ai_events`.
    """

    def __init__(self, right: str) -> None:
        super().__init__(
            f"the user of clickhouse.dsn lacks the right {right}; grant it, or use the DSN of a user who has it"
        )
        self.right = right


class SchemaMismatch(ClickHouseProblem):
    """The tables are not the ones that this release reads and writes.

    Attributes:
        pending: numbers of migrations that are still to be applied.
    """

    def __init__(self, message: str, pending: tuple[int, ...] = ()) -> None:
        super().__init__(message)
        self.pending = pending
