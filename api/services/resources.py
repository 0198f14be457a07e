"""Everything that a request may need, opened once per application; nothing here is global."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from api.http.precedence import Precedence
from api.services.archive import Archive
from api.services.bounded_archive import BoundedArchive
from api.services.evaluation_views import EvaluationViews
from api.services.judging import JudgeCalls
from api.services.owners import Owners
from api.services.slow_work import SlowLimits, SlowWork
from api.services.task_sender import TaskSender
from api.services.team_models import TeamModels
from config.settings import Settings
from storage.clock import utc_now
from storage.sql.engine import Database
from storage.sql.evaluations import Evaluations
from storage.sql.provider_keys import ProviderKeys


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that a request may need, opened by whoever made the application.

    Attributes:
        database: the SQL store.
        evaluations: the evaluations in it.
        owners: the people who made its objects.
        views: evaluations as the API shows them.
        archive: events and results in ClickHouse.
        pages: the same for the pages of the console, read-only and with limits.
        tasks: puts runs on the task topic.
        keys: the provider keys of all teams.
        models: the key and the model of each evaluation.
        judging: calls of providers, and runs to try out.
        slow: runs long work.
        precedence: lets requests of the API go before pages.
        now: the clock; aware times.
    """

    settings: Settings
    database: Database
    evaluations: Evaluations
    owners: Owners
    views: EvaluationViews
    archive: Archive
    pages: BoundedArchive
    tasks: TaskSender
    keys: ProviderKeys
    models: TeamModels
    judging: JudgeCalls
    slow: SlowWork
    precedence: Precedence
    now: Callable[[], datetime] = utc_now

    def close(self) -> None:
        """Close all connections except the database, which the caller opened."""
        self.slow.close()
        self.tasks.close()
        self.pages.close()
        self.archive.close()


def open_services(settings: Settings, database: Database, *, bootstrap_servers: str | None = None) -> Services:
    """Return the services of one application. Connects to nothing yet.

    Args:
        bootstrap_servers: the address of the in-process broker, where the settings say `embedded`.
    """
    api = settings.api
    owners, keys, precedence = Owners(database), ProviderKeys.of(settings, database), Precedence()
    database.before = precedence.give_way
    return Services(
        settings=settings,
        database=database,
        evaluations=Evaluations(database),
        owners=owners,
        views=EvaluationViews(owners, keys),
        archive=Archive(settings.clickhouse.dsn.get_secret_value()),
        pages=BoundedArchive(settings.clickhouse.dsn.get_secret_value(), now=utc_now, before=precedence.give_way),
        tasks=TaskSender(settings.kafka, bootstrap_servers=bootstrap_servers),
        keys=keys,
        models=TeamModels(settings, keys),
        judging=JudgeCalls(settings, keys),
        slow=SlowWork(
            SlowLimits(
                threads=api.slow_requests,
                per_team=api.slow_requests_per_team,
                per_key=api.slow_requests_per_key,
            )
        ),
        precedence=precedence,
    )
