"""`events`: the archive and the results, filtered and paged with bounded memory."""

from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import pytest

from api.routes import events as routes
from tests.api.conftest import Api

DAY = datetime(2026, 5, 1, tzinfo=UTC)


def ids(api: Api, **query: str) -> list[str]:
    return [event["id"] for event in api.ok("GET", "events/", params=query)["results"]]


def test_generations_and_results_newest_first_with_their_filters(api: Api) -> None:
    first, second = api.events({"n": 1}, {"n": 2})
    made = api.hog()
    result = api.result(made, first, timestamp=datetime.now(UTC), distinct_id="bob")
    assert ids(api) == [result, second, first]
    assert ids(api, event="$ai_generation") == [second, first]
    assert ids(api, event="$ai_evaluation") == [result]
    assert ids(api, event="$pageview") == []
    assert ids(api, distinct_id="bob") == [result]
    assert ids(api, person_id="nobody") == []
    assert api.ok("GET", f"events/{first}/")["id"] == first
    assert api.ok("GET", f"events/{result}/")["event"] == "$ai_evaluation"
    api.error("GET", "events/none/", 404)


def test_after_and_before_exclude_their_moment(api: Api) -> None:
    (event,) = api.events({}, timestamp=DAY)
    assert ids(api, after=DAY.isoformat()) == []
    assert ids(api, before=DAY.isoformat()) == []
    assert ids(api, after=(DAY - timedelta(microseconds=1)).isoformat()) == [event]
    assert api.error("GET", "events/?after=yesterday")["attr"] == "after"


@pytest.mark.parametrize(
    ("after", "found"),
    [("-24h", 1), ("-3d", 2), ("-1w", 2), ("-1m", 3), ("-1y", 3), ("2020-01-01", 3), ("2020-01-01T00:00:00", 3)],
)
def test_times_may_be_ages_dates_and_without_a_zone(api: Api, after: str, found: int) -> None:
    now = datetime.now(UTC)
    for age in (timedelta(hours=1), timedelta(days=2), timedelta(days=20)):
        api.events({}, timestamp=now - age)
    assert len(ids(api, after=after)) == found
    assert len(ids(api, before=after)) == 3 - found


def test_properties_take_the_operators_of_conditions(api: Api) -> None:
    free, pro = api.events(
        {"plan": "free", "$ai_latency": 1}, {"plan": "Pro", "$ai_latency": 9},
        person_id="p", person_properties='{"vip": true}', elements_chain="a.b",
    )  # fmt: skip

    def found(*filters: object) -> list[str]:
        return ids(api, properties=json.dumps(list(filters)))

    assert found({"key": "plan", "value": "pro", "operator": "icontains"}) == [pro]
    assert found({"key": "$ai_latency", "value": 5, "operator": "lt"}) == [free]
    assert found({"key": "vip", "value": True, "type": "person"}) == [pro, free]
    assert found({"key": "plan", "value": "free"}, {"key": "$ai_latency", "value": 5, "operator": "gt"}) == []
    assert ids(api, person_id="p") == [pro, free]
    shown = api.ok("GET", f"events/{pro}/")
    assert json.loads(shown["properties"])["plan"] == "Pro"
    assert json.loads(shown["person"])["properties"] == {"vip": True}
    assert shown["elements_chain"] == "a.b"
    for bad in ("{", '[{"key": "a", "operator": "like", "value": 1}]', "7"):
        assert api.error("GET", "events/", params={"properties": bad})["attr"] == "properties"


@pytest.mark.parametrize("name", ["select", "where"])
def test_hogql_is_refused(session_api: Api, name: str) -> None:
    assert session_api.error("GET", f'events/?{name}=["1"]')["attr"] == name


def test_csv_is_inert_in_a_spreadsheet(api: Api) -> None:
    api.events({"a": 'quote " comma ,\nline'}, distinct_id="=HYPERLINK(1)")
    answer = api.call("GET", "events/?format=csv")
    assert answer.headers["Content-Type"].startswith("text/csv")
    header, row = csv.reader(io.StringIO(answer.text))
    event = dict(zip(header, row, strict=True))
    assert json.loads(event["properties"])["a"].endswith("line")
    assert event["distinct_id"] == "'=HYPERLINK(1)"
    assert api.error("GET", "events/?format=xml")["attr"] == "format"


def test_an_event_that_was_written_twice_is_shown_once(api: Api) -> None:
    (event,) = api.events({"n": 1}, timestamp=DAY)
    api.events({"n": 1}, timestamp=DAY, uuid=event)
    assert ids(api) == [event]


def _walk(api: Api, query: str) -> list[str]:
    seen: list[str] = []
    address: str | None = f"/api/projects/{api.team}/events/?{query}"
    while address:
        page = api.http.get(address).json()
        seen += [event["id"] for event in page["results"]]
        address = page["next"]
        if address:
            parts = urlsplit(address)
            address = f"{parts.path}?{parts.query}"
    return seen


def test_pages_lead_through_all_events_once(api: Api) -> None:
    made = api.events(*[{"n": number} for number in range(7)])
    assert _walk(api, "limit=3") == made[::-1]
    assert _walk(api, "limit=100") == made[::-1]


def test_a_filter_that_finds_little_goes_on_page_by_page(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    """A page reads a bounded number of events; events of one moment are not torn apart by it."""
    monkeypatch.setattr(routes, "MAX_SCANNED", 5)
    made = api.events(*[{"keep": number % 4 == 0} for number in range(30)], timestamp=None)
    same = api.events(*[{"keep": True}] * 8, timestamp=DAY)
    query = "properties=" + json.dumps([{"key": "keep", "value": True}])
    found = _walk(api, query)
    assert sorted(found) == sorted([*made[::4], *same])
    assert len(found) == len(set(found))


def test_a_page_of_large_events_ends_early(api: Api, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(routes, "MAX_PAGE_BYTES", 10_000)
    made = api.events(*[{"text": "x" * 6_000, "n": number} for number in range(5)])
    page = api.ok("GET", "events/")
    assert len(page["results"]) == 2
    assert _walk(api, "") == made[::-1]
