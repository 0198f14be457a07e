"""A form that makes something makes it once, however often and to whichever process it is sent."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from starlette.testclient import TestClient

from console import app
from console.app import Console
from console.pages import editor
from console.security import form_mark, form_token
from storage.sql.evaluation_queries import EvaluationQuery
from storage.sql.evaluations import Evaluations
from storage.sql.sent_forms import SentForms
from tests.unit.console.forms import TEAM, Desk, desk

NEW = "evaluations/new/"
SAVED = {"name": "Twice", "action": "save"}


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


def made(reader: Desk) -> list[str]:
    return [each.name for each in Evaluations(reader.services.database).page(TEAM, EvaluationQuery()).results]


def send(http: TestClient, fields: dict[str, str]) -> Any:
    return http.post(f"/console/{TEAM}/{NEW}", data=fields)


def test_the_second_press_leads_to_what_the_first_one_made(reader: Desk) -> None:
    fields = {**reader.form(NEW).fields, **SAVED}
    first, second = (send(reader.http, fields) for _ in range(2))
    assert (first.status_code, second.status_code) == (303, 303)
    assert second.headers["location"] == first.headers["location"]
    assert made(reader) == ["Twice"]


def test_another_process_knows_the_form_too_while_the_first_one_works_on_it(
    reader: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    fields = {**reader.form(NEW).fields, **SAVED}
    begun, go_on, create = threading.Event(), threading.Event(), editor.create

    def slow_create(*given: Any) -> Any:
        begun.set()
        assert go_on.wait(60)
        return create(*given)

    monkeypatch.setattr(editor, "create", slow_create)
    other = TestClient(
        Console(reader.services), "http://127.0.0.1", client=("127.0.0.1", 5001), headers=reader.http.headers,
        cookies=dict(reader.http.cookies), follow_redirects=False,
    )  # fmt: skip
    with other, ThreadPoolExecutor(2) as pool:
        first = pool.submit(send, reader.http, fields)
        assert begun.wait(60)
        second = pool.submit(send, other, fields)
        go_on.set()
        assert second.result().headers["location"] == first.result().headers["location"]
    assert made(reader) == ["Twice"]


def test_another_form_and_the_same_one_of_another_page_make_their_own(reader: Desk) -> None:
    fields = {**reader.form(NEW).fields, **SAVED}
    for each in (fields, {**fields, "name": "Thrice"}, {**reader.form(NEW).fields, **SAVED}):
        assert send(reader.http, each).status_code == 303
    assert sorted(made(reader)) == ["Thrice", "Twice", "Twice"]


def test_a_form_that_was_refused_is_read_again(reader: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    fields = {**reader.form(NEW).fields, **SAVED}

    def failing(*_given: Any) -> Any:
        raise RuntimeError("gone")

    monkeypatch.setattr(editor, "create", failing)
    assert send(reader.http, fields).status_code == 500
    monkeypatch.undo()
    wrong = {**fields, "code": "return ("}
    assert [send(reader.http, wrong).status_code for _ in range(2)] == [400, 400]
    assert send(reader.http, fields).status_code == 303
    assert made(reader) == ["Twice"]


def test_a_form_whose_process_died_makes_nothing_and_says_so(reader: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "_LOOKS", 2)
    fields = {**reader.form(NEW).fields, **SAVED}
    token = form_token(reader.http.cookies["gavel"])
    sent = {name: [value] for name, value in fields.items()}
    mark = form_mark(token, f"/console/{TEAM}/{NEW}", sent)
    SentForms(reader.services.database).claim(mark, now=reader.services.now())
    answer = send(reader.http, fields)
    assert answer.status_code == 409
    assert "This form was sent already" in answer.text
    assert f'href="/console/{TEAM}/{NEW}"' in answer.text
    assert made(reader) == []


def test_each_form_that_makes_something_can_be_taken_once() -> None:
    """Other forms change an object that is there, so a second time changes nothing more."""
    folder = Path(app.__file__).parent / "templates"
    forms = re.compile(r'<form method="post"(?:(?!<form).)*?\{\{ (token|once) \}\}', re.DOTALL)
    found = {path.stem: set(forms.findall(path.read_text())) for path in folder.glob("*.html")}
    making = {name for name, kinds in found.items() if "once" in kinds}
    assert making == {
        "clusters", "dataset", "editor", "generation", "golden_set", "golden_sets", "jobs", "labels", "letters_dry",
        "report", "trust", "versions",
    }  # fmt: skip
