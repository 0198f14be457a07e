"""Structured logs on stderr: JSON, or for a person at a terminal."""

from __future__ import annotations

import logging
import sys
from collections import deque
from collections.abc import MutableMapping
from typing import Any, TextIO, cast

import structlog

from config.settings.sections import LogFormat

_LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}


_SERIOUS = frozenset({"warning", "error", "critical"})
_KEPT, _SHOWN, _MAX_TEXT_CHARS = 100, 8, 300


class RecentProblems:
    """Keeps the newest log lines of level warning and above, so that heartbeats and `gavel status` can show them."""

    def __init__(self) -> None:
        self._lines: deque[dict[str, Any]] = deque(maxlen=_KEPT)

    def __call__(self, _logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        """Note a line, as a processor of structlog, and pass it on."""
        if line.get("level") in _SERIOUS:
            known = {"at": line.get("timestamp"), "level": line["level"], "event": str(line.get("event", ""))[:200]}
            rest = {name: value for name, value in line.items() if name not in _NOT_SHOWN and not name.startswith("_")}
            text = ", ".join(f"{name}: {value}" for name, value in rest.items())
            self._lines.append({**known, "role": line.get("role"), "text": text[:_MAX_TEXT_CHARS]})
        return line

    def of(self, role: str) -> list[dict[str, Any]]:
        """Return the newest lines that concern a role or the whole process, oldest first.

        Each has `at`, `level`, `event` and `text`. Safe from any thread.
        """
        mine = [line for line in list(self._lines) if line["role"] in (None, role)]
        return [{name: value for name, value in line.items() if name != "role"} for line in mine[-_SHOWN:]]


_NOT_SHOWN = frozenset({"timestamp", "level", "event", "exc_info", "role", "stack", "worker"})


class _NameWorker:
    def __init__(self, number: int) -> None:
        self._number = number

    def __call__(self, _logger: Any, _method: str, line: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
        line.setdefault("worker", self._number)
        return line


class _StandardError:
    """Write to the `sys.stderr` of the moment: a caller may swap the stream of the setup and close it."""

    def write(self, text: str) -> int:
        return sys.stderr.write(text)

    def flush(self) -> None:
        sys.stderr.flush()


def configure(level: str, style: LogFormat, *, worker: int | None = None) -> RecentProblems:
    """Send structlog's events and the libraries' logs to stderr, one line each.

    Args:
        style: `auto` is `console` on a terminal, else `json`.
        worker: number that each line names, where several processes write to one stream.

    Returns:
        The newest problems in the log, for heartbeats.
    """
    recent = RecentProblems()
    console = style == "console" or (style == "auto" and sys.stderr.isatty())
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
        recent,
    ]
    if worker is not None:
        shared.insert(0, _NameWorker(worker))
    if console:
        render: list[structlog.typing.Processor] = [structlog.dev.ConsoleRenderer()]
    else:
        render = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    stream = cast("TextIO", _StandardError())
    structlog.configure(
        processors=[*shared, *render],
        wrapper_class=structlog.make_filtering_bound_logger(_LEVELS[level]),
        logger_factory=structlog.WriteLoggerFactory(file=stream),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared, processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *render]
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    logging.captureWarnings(True)  # a warning of Python is a line of the log, and not a text among its JSON
    # Libraries say at INFO what we say better (and HTTP clients name their URLs there).
    root.setLevel(max(_LEVELS[level], logging.WARNING))
    # It warns of each attempt to reach ClickHouse, with the whole query, while the sink says once that it is blocked.
    logging.getLogger("urllib3").setLevel(logging.ERROR)
    return recent
