"""The console's redrive sends the letters that its dry run counted: none that came later, and none twice."""

from __future__ import annotations

import re
from collections.abc import Iterator

import httpx2 as httpx
import pytest
from confluent_kafka import Producer

from tests.browser.conftest import Served
from tests.services.waiting import PATIENCE_S

LETTERS = "/console/operations/dead-letters/"
SAME = {"Sec-Fetch-Site": "same-origin"}
FIELD = re.compile(r'type="hidden" name="(\w+)" value="([^"]*)"')


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=served.base, follow_redirects=True, timeout=PATIENCE_S) as made:
        assert made.post("/console/sign-in/", data={"key": served.scene.operator}, headers=SAME).status_code == 200
        yield made


def bury(served: Served, stage: str, count: int) -> None:
    producer = Producer({"bootstrap.servers": served.bootstrap_servers})
    topics = served.services.settings.kafka.topics
    given = {"class": "evaluator_bug", "stage": stage, "message": "KeyError", "topic": topics.events, "offset": "0"}
    headers = [(f"gavel.error.{name}", value.encode()) for name, value in given.items()]
    for n in range(count):
        producer.produce(topics.dead_letters, b"%d" % n, headers=headers, partition=n % 2)
    assert producer.flush(PATIENCE_S) == 0


def dry_run(http: httpx.Client, stage: str, **chosen: str) -> tuple[str, dict[str, str]]:
    """Return the page of a dry run, and the fields of its form."""
    token = dict(FIELD.findall(http.get(LETTERS + "list/").text))["token"]
    data = {"token": token, "stage": stage, "age": "7d", "action": "dry", **chosen}
    page = http.post(LETTERS, data=data, headers=SAME).text
    return page, dict(FIELD.findall(page))


def done(http: httpx.Client, fields: dict[str, str], **more: str) -> str:
    page = http.post(LETTERS, data=fields | more, headers=SAME).text
    return page.partition('role="status">')[2].partition("<")[0] or page


def test_all_are_those_that_were_counted(http: httpx.Client, served: Served) -> None:
    bury(served, "counted", 25)
    page, fields = dry_run(http, "counted", all="on")
    assert "<h1>25 dead letters</h1>" in page
    assert "and 5 more" in page
    bury(served, "counted", 3)
    assert done(http, fields, action="redrive") == "25 went back to where they came from."
    again = done(http, fields | {"once": "of another tab"}, action="redrive")
    assert again == "0 went back to where they came from. 25 were closed by somebody else meanwhile."
    assert "<h1>3 dead letters</h1>" in dry_run(http, "counted", all="on")[0]


def test_a_purge_closes_those_that_were_counted(http: httpx.Client, served: Served) -> None:
    bury(served, "purged", 2)
    _, fields = dry_run(http, "purged", all="on")
    bury(served, "purged", 1)
    assert "Nothing was purged" in done(http, fields, action="purge", count="3")
    assert done(http, fields, action="purge", count="2") == "2 are closed for good."
    assert "<h1>1 dead letter</h1>" in dry_run(http, "purged", all="on")[0]


def test_nothing_is_sent_that_was_not_shown_first(http: httpx.Client, served: Served) -> None:
    bury(served, "unseen", 1)
    _, fields = dry_run(http, "unseen", all="on")
    for damage in ({"ends": ""}, {"ends": "0"}, {"ends": "a:b"}, {"since": "yesterday"}):
        answer = http.post(LETTERS, data=fields | damage | {"action": "redrive"}, headers=SAME)
        assert (answer.status_code, "othing was changed" in answer.text) == (400, True), damage
    assert done(http, fields, action="redrive") == "1 went back to where they came from."
