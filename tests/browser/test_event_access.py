"""Only keys with `query:read` are shown the contents of events: in reasons, groups, slices, tests and files."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta

import httpx2 as httpx
import pytest

from tests.browser import scene as scenes
from tests.browser.conftest import TEAM, Served
from tests.browser.test_conversations import OWN, OWNER, Told, reader_with, tell
from tests.browser.test_exports import rows_of
from tests.browser.test_states import SAME

SECRET = "staging-of-the-customer"
VERDICTS, EVENTS = ("evaluation:write",), ("evaluation:write", "query:read")


@pytest.fixture(scope="module")
def told(served: Served) -> Told:
    """A generation whose property, which a filter of "Polite tone" reads, nobody without the scope may see."""
    return tell(served, "?", environment=SECRET)


@pytest.fixture(params=[VERDICTS, EVENTS], ids=["verdicts", "events"])
def reader(request: pytest.FixtureRequest, served: Served) -> Iterator[tuple[httpx.Client, bool]]:
    """A reader, and whether he may read events."""
    with reader_with(served, *request.param) as http:
        yield http, request.param == EVENTS


def test_the_reasons_name_filters_and_not_the_values_of_the_event(
    reader: tuple[httpx.Client, bool], told: Told
) -> None:
    http, readable = reader
    why = http.get(f"/console/{TEAM}/generations/{told.uuid}/why/?ask=polite", headers=OWN).text
    assert "✕ fails" in why
    assert "<code>production</code>" in why, "the value of the filter is of the definition"
    assert (SECRET in why) is readable
    assert ("needs the scope query:read" in why) is not readable


def test_results_are_grouped_by_properties_of_events_with_the_scope_only(
    reader: tuple[httpx.Client, bool], served: Served, told: Told
) -> None:
    http, readable = reader
    base = f"/console/{TEAM}/evaluations/{served.own_evaluation(OWNER).id}/"
    for name in ("environment", "$ai_input", "distinct_id"):
        found = http.get(f"{base}groups/?by={name}&range=24h", headers=OWN)
        assert found.status_code == (200 if readable else 403), name
    assert (SECRET in http.get(f"{base}groups/?by=environment&range=24h", headers=OWN).text) is readable
    assert http.get(f"{base}groups/?by=model&range=24h", headers=OWN).status_code == 200
    assert ("lacks the scope query:read" in http.get(f"{base}?range=24h").text) is not readable


def test_agreement_is_sliced_by_properties_of_events_with_the_scope_only(
    reader: tuple[httpx.Client, bool], served: Served
) -> None:
    http, readable = reader
    base = f"/console/{TEAM}/evaluations/{served.scene.evaluations[1].id}/trust/figures/?version=1&slice="
    assert http.get(f"{base}environment", headers=OWN).status_code == (200 if readable else 403)
    for name in ("model", "output_length", ""):
        assert http.get(f"{base}{name}", headers=OWN).status_code == 200, name


@pytest.mark.parametrize("form", ["csv", "jsonl"])
def test_files_of_results_have_distinct_ids_with_the_scope_only(
    reader: tuple[httpx.Client, bool], served: Served, form: str
) -> None:
    http, readable = reader
    row = scenes.result_row(
        TEAM, served.scene.evaluations[1], str(scenes.uuid4()), scenes.utc_now() - timedelta(minutes=2), result=True,
        reasoning=f"to-export-{form}", distinct_id=SECRET,
    )  # fmt: skip
    scenes.insert(served.clickhouse_dsn, "evaluation_results", [row])
    file = http.get(f"/console/{TEAM}/results/export/?format={form}&range=24h&q=to-export-{form}").text
    assert f"to-export-{form}" in file
    assert (SECRET in file) is readable
    if form == "csv":
        assert ("distinct_id" in rows_of(file)[0]) is readable


def test_a_test_of_code_shows_conversations_with_the_scope_only(reader: tuple[httpx.Client, bool]) -> None:
    http, readable = reader
    page = http.get(f"/console/{TEAM}/evaluations/new/").text
    fields = dict(re.findall(r'type="hidden" name="(token)" value="([^"]*)"', page))
    form = {
        **fields, "action": "test", "name": "Any", "evaluation_type": "hog", "code": "return true",
        "output_type": "boolean", "without_sets": "everything", "tag": "",
    }  # fmt: skip
    shown = http.post(f"/console/{TEAM}/evaluations/new/", data=form, headers=SAME).text
    tried = shown.partition('id="tried"')[2]
    assert tried.count('class="outcome pass"') == 5
    assert ("→ " in tried) is readable
