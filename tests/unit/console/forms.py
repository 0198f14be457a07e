"""A console without a browser: a reader who is signed in, and what a browser would send of the form on a page."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from cryptography.fernet import Fernet
from starlette.testclient import TestClient

from api.services.resources import Services, open_services
from api.services.slow_work import SlowWork
from config.settings import load_settings
from console.app import Console
from console.security import form_token
from storage.sql.api_keys import ApiKeys
from storage.sql.engine import open_database
from storage.sql.migrations import upgrade
from tests.services.ports import free_ports

TEAM = 7


@dataclass
class Desk:
    """A reader with every scope of a team, who has signed in."""

    http: TestClient
    services: Services
    team: int = TEAM

    def form(self, path: str) -> Form:
        """Return the form of the editor."""
        response = self.http.get(f"/console/{self.team}/{path}")
        assert response.status_code == 200, response.text
        return Form.on(response.text)

    def send(self, path: str, fields: dict[str, str]) -> Any:
        """Send a form with its token, and return the response without following it."""
        token = form_token(self.http.cookies["gavel"])
        return self.http.post(f"/console/{self.team}/{path}", data={"token": token, **fields})


@contextmanager
def desk(folder: Path, slow: SlowWork | None = None) -> Iterator[Desk]:
    """Give a console over SQLite, without ClickHouse. Whoever asks the API's archive fails.

    Args:
        slow: in place of the one of the settings.
    """
    database = open_database(f"sqlite:///{folder}/gavel.db")
    upgrade(database)
    dsn = f"http://default@127.0.0.1:{free_ports(1)[0]}/gavel"
    overrides = {"clickhouse": {"dsn": dsn}, "secret_keys": [Fernet.generate_key().decode()]}
    services = open_services(load_settings(environ={}, overrides={"data_dir": str(folder), **overrides}), database)
    _, secret = ApiKeys(database).create(team_id=TEAM, label="reader", scopes=["*"], now=services.now())
    nobodys: Any = None
    with entered(replace(services, archive=nobodys, slow=slow or services.slow), TEAM, secret) as found:
        yield found
    services.close()
    database.close()


@contextmanager
def entered(services: Services, team: int, secret: str) -> Iterator[Desk]:
    """Give a console whose reader has signed in with an API key."""
    headers = {"sec-fetch-site": "same-origin"}
    client = TestClient(
        Console(services), "http://127.0.0.1", client=("127.0.0.1", 5000), headers=headers, follow_redirects=False
    )
    with client as http:
        answer = http.post("/console/sign-in/", data={"key": secret, "next": "/console/"})
        assert answer.status_code == 303, answer.text
        yield Desk(http, services, team)


class Form(HTMLParser):
    """The editor's form as a browser reads it. `fields` are the fields that it sends."""

    def __init__(self) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self._inside = False
        self._area: str | None = None
        self._select: str | None = None

    @classmethod
    def on(cls, page: str) -> Form:
        """Return the form of the editor on a page."""
        found = cls()
        found.feed(page)
        found.close()
        found.fields.pop("action", None)
        return found

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._inside = "data-editor" in given
        if not self._inside:
            return
        name = given.get("name", "")
        if tag == "textarea":
            self._area, self.fields[name] = name, ""
        elif tag == "select":
            self._select = name
        elif tag == "option" and self._select and ("selected" in given or self._select not in self.fields):
            # An option without a value is its text, which is read below.
            self.fields[self._select] = given.get("value", "\0")
        elif tag == "input" and given.get("type") == "checkbox":
            if "checked" in given:
                self.fields[name] = given.get("value", "on")
        elif tag == "input" and name:
            self.fields[name] = given.get("value", "").replace("\r", "").replace("\n", "")

    def handle_data(self, data: str) -> None:
        if self._area is not None:
            self.fields[self._area] += data
        elif self._select and self.fields.get(self._select) == "\0":
            self.fields[self._select] = data

    def handle_endtag(self, tag: str) -> None:
        if tag == "textarea" and self._area is not None:
            text = self.fields[self._area].replace("\r\n", "\n").replace("\r", "\n")
            self.fields[self._area] = text.removeprefix("\n").replace("\n", "\r\n")
            self._area = None
        elif tag == "select":
            self._select = None
        elif tag == "form":
            self._inside = False
