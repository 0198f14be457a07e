"""Forms that wait for somebody else leave the console's threads free, and no page asks ClickHouse without limits."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path
from uuid import uuid4

import pytest

from api.services.slow_work import SlowLimits, SlowWork
from config.definitions import parse_draft
from tests.unit.console.forms import TEAM, Desk, desk
from tests.unit.test_architecture import CHECKOUT, modules, parsed

NEW = "evaluations/new/"
DRAW = {"mode": "random", "size": "10", "labellers": "1", "overlap": "0"}


@pytest.fixture
def full(tmp_path: Path) -> Iterator[Desk]:
    """A console that has no room for slow work."""
    slow = SlowWork(SlowLimits(threads=1, per_team=1, per_key=0, wait_s=0.01))
    with desk(tmp_path, slow) as found:
        yield found
    slow.close()


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Desk]:
    with desk(tmp_path) as found:
        yield found


def evaluation_of(reader: Desk) -> str:
    draft = parse_draft({"name": "It", "evaluation_type": "hog", "evaluation_config": {"source": "return true"}})
    return reader.services.evaluations.create(TEAM, draft, actor=None, now=reader.services.now()).id


@pytest.mark.parametrize(
    ("path", "fields"),
    [
        (NEW, {"action": "test"}),
        (NEW, {"action": "backtest"}),
        ("evaluations/{id}/edit/", {"action": "ask-enable"}),
        ("keys/", {"action": "test"}),
        ("keys/", {"action": "replace", "api_key": "sk-1"}),
        ("labels/", DRAW),
        ("labels/{id}/", {"size": "20"}),
        ("results/{id}/label/", {}),
        ("golden-sets/{id}/", {"action": "freeze"}),
        ("evaluations/{id}/trust/", {"kind": "consistency", "action": "dry"}),
    ],
)
def test_slow_forms_have_the_room_of_slow_requests_and_no_other(full: Desk, path: str, fields: dict[str, str]) -> None:
    answer = full.send(path.format(id=evaluation_of(full)), fields)
    assert answer.status_code == 429
    assert answer.headers["retry-after"]
    assert "Too many requests" in answer.text


def test_other_forms_need_none(full: Desk) -> None:
    fields = full.form(NEW).fields
    assert full.send(NEW, {**fields, "action": "check"}).status_code == 200
    assert full.send(NEW, {**fields, "name": "It", "action": "save"}).status_code == 303


def test_slow_forms_show_their_page_and_their_refusals(reader: Desk) -> None:
    sent = {**reader.form(NEW).fields, "name": "It", "code": "return (", "action": "test"}
    answer = reader.send(NEW, sent)
    assert answer.status_code == 400
    assert "line 1, column" in answer.text
    assert reader.send(f"labels/{uuid4()}/", {"size": "20"}).status_code == 404


@pytest.mark.parametrize("action", ["test", "backtest"])
def test_a_trial_asks_within_the_limits_of_pages(reader: Desk, action: str) -> None:
    """The API's archive is not there, and ClickHouse is away."""
    answer = reader.send(NEW, {**reader.form(NEW).fields, "name": "It", "action": action})
    assert answer.status_code == 503
    assert "ClickHouse does not answer, so results and conversations cannot be shown" in answer.text


def test_a_draw_asks_within_the_limits_of_pages(reader: Desk) -> None:
    answers = [
        reader.send("labels/", {**DRAW, "evaluation": evaluation_of(reader)}),
        reader.send(f"results/{uuid4()}/label/", {"evaluation": evaluation_of(reader)}),
    ]
    for answer in answers:
        assert answer.status_code == 503
        assert "ClickHouse does not answer, so results and conversations cannot be shown" in answer.text


def test_pages_get_services_whose_archive_has_limits() -> None:
    """`Console` puts the reader's own archive into the services of a visit, and nobody else makes a visit."""
    makers, readers = set(), set()
    for path in modules("console"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "Visit":
                makers.add(str(path.relative_to(CHECKOUT)))
                services = next(each.value for each in node.keywords if each.arg == "services")
                assert "SessionArchive(" in ast.unparse(services)
            if isinstance(node, ast.Attribute) and node.attr == "archive":
                readers.add(str(path.relative_to(CHECKOUT)))
    assert makers == {"console/app.py"}
    assert not readers, "pages leave it to the services"
