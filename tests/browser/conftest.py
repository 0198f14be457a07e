"""A server with a scene for each file of tests, and one browser for all of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from cryptography.fernet import Fernet
from playwright.sync_api import Browser, BrowserContext, Page, sync_playwright

from api.serve import ApiServer
from api.services.resources import Services
from cli.letter_desk import KafkaLetterDesk
from config.definitions import Evaluation, parse_draft
from config.settings import load_settings
from console.app import Console
from processor.kafka import EmbeddedBroker, KafkaClients
from processor.kafka_topics import ensure_topics
from storage.sql.engine import open_database
from storage.sql.evaluations import Evaluations
from storage.sql.migrations import upgrade
from tests.browser import scene as scenes
from tests.browser.jury_scene import add_jury
from tests.browser.rig import STRETCH, Watch, launch, opened, sign_in
from tests.browser.second_scene import furnish
from tests.services.clickhouse import clickhouse_server

TEAM = 7


@dataclass
class Served:
    """The running console with its scene."""

    base: str
    services: Services
    scene: scenes.Scene
    clickhouse_dsn: str
    bootstrap_servers: str
    _own: dict[str, Evaluation] = field(default_factory=dict)

    def own_evaluation(self, owner: str) -> Evaluation:
        """Return the evaluation that belongs to one file or test, whose name is `owner`.

        Tests write results and edits to it and not to the evaluations of the scene, whose figures others read.
        """
        if owner not in self._own:
            raw = {"name": owner, "evaluation_type": "hog", "evaluation_config": {"source": "return true"}}
            now = scenes.utc_now()
            repository = Evaluations(self.services.database)
            self._own[owner] = repository.create(TEAM, parse_draft(raw), actor="key:1", now=now)
        return self._own[owner]


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A server of the API with the console, over SQLite and ClickHouse.

    Tests write into its stores, so each file has one of its own. No file depends on what another wrote.
    """
    with clickhouse_server() as dsn, serve(dsn, tmp_path_factory.mktemp("console")) as found:
        yield found


class serve:  # noqa: N801  # used as a context manager, like `open`
    """Serve the console with a scene; also for screenshots."""

    def __init__(self, dsn: str, folder: Path, **overrides: Any) -> None:
        self._dsn = dsn
        self._folder = folder
        self._overrides = overrides

    def __enter__(self) -> Served:
        database = open_database(f"sqlite:///{self._folder}/gavel.db")
        upgrade(database)
        settings = load_settings(
            environ={},
            overrides={
                "data_dir": str(self._folder),
                "clickhouse": {"dsn": self._dsn},
                "secret_keys": [Fernet.generate_key().decode()],
                "console": {"hsts_s": 86_400},
                "api": {"port": 0, "unauthorized_per_minute": 1_000_000, "requests_per_minute": 1_000_000},
                **self._overrides,
            },
        )
        self._database = database
        broker = EmbeddedBroker()
        clients = KafkaClients(settings, broker)
        ensure_topics(clients, settings, broker)
        desk = KafkaLetterDesk(settings, clients)
        self._server = ApiServer(
            settings, database, broker.bootstrap_servers, console=partial(Console, letters=desk, patience=STRETCH)
        )
        self._server.start()
        services = self._server.services
        scene = scenes.build(services, self._dsn, TEAM, now=scenes.utc_now())
        add_jury(services, scene, self._dsn, scenes.utc_now())
        furnish(services, scene, self._dsn, scenes.utc_now())
        scenes.add_letters(broker.bootstrap_servers, settings.kafka.topics.dead_letters, settings.kafka.topics.events)
        return Served(f"http://127.0.0.1:{self._server.port}", services, scene, self._dsn, broker.bootstrap_servers)

    def __exit__(self, *_error: object) -> None:
        self._server.stop()
        self._database.close()


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    """The browser of this machine.

    It ends with this folder, because Playwright keeps an event loop running in the test process meanwhile.
    """
    with sync_playwright() as playwright:
        found = launch(playwright)
        yield found
        found.close()


@pytest.fixture
def context(browser: Browser, served: Served) -> Iterator[tuple[BrowserContext, Watch]]:
    """A context of its own, in UTC and English."""
    with opened(browser, served.base) as found:
        yield found


@pytest.fixture
def page(context: tuple[BrowserContext, Watch], served: Served) -> Page:
    """A page whose reader has signed in with every scope of the team."""
    found = context[0].new_page()
    sign_in(found, served.scene.secret)
    return found
