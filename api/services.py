"""What the routes work with. Made once per application; nothing here is global."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated

from fastapi import Depends, Request

from api.archive import Archive
from api.judging import JudgeAccess
from api.task_sender import TaskSender
from config.settings import Settings
from config.store.engine import Database


def utc_now() -> datetime:
    """Return the time, aware."""
    return datetime.now(UTC)


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a request may need, opened by whoever made the application.

    Attributes:
        database: the SQL store.
        archive: events and results in ClickHouse.
        tasks: puts runs on the task topic.
        judging: keys, models, and runs to try out.
        now: the clock; aware times.
    """

    settings: Settings
    database: Database
    archive: Archive
    tasks: TaskSender
    judging: JudgeAccess
    now: Callable[[], datetime] = utc_now


def _services(request: Request) -> Services:
    found: Services = request.app.state.services
    return found


ServicesParam = Annotated[Services, Depends(_services)]
