"""Poison, large events, members and topics that change, and SIGTERM (docs/delivery.md)."""

from __future__ import annotations

import hashlib
import json
import time

from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from examples.stand_in.client import StandInServer
from tests.faults.pipeline import ROLES, Pipeline
from tests.services.waiting import PATIENCE_S


def test_a_burst_of_poison_becomes_dead_letters_and_stops_nothing(gavel: Pipeline) -> None:
    """Every record that is not an event becomes one dead letter; the events between them are judged."""
    for _ in range(6):
        gavel.send(20)
        gavel.poison(30)
    gavel.check()
    letters = [headers for headers in gavel.dead_letters() if headers["gavel.error.class"] == "decode"]
    origins = {(each["gavel.error.partition"], each["gavel.error.offset"]) for each in letters}
    assert len(letters) == len(origins) == gavel.poisoned
    assert not gavel.exits()


def test_messages_of_10_mb(gavel: Pipeline) -> None:
    """An event just under 8 MiB is judged; larger ones are dead letters, with their bytes if those fit."""
    uuid, event = gavel.next_event()
    while b'"$ai_generation"' not in event or b'"team_id": 1' not in event:
        uuid, event = gavel.next_event()
    row = json.loads(event)

    def padded(size: int) -> bytes:
        properties = {**json.loads(row["properties"]), "padding": ""}
        bare = len(json.dumps({**row, "properties": json.dumps(properties)}))
        properties["padding"] = "x" * (size - bare)
        return json.dumps({**row, "properties": json.dumps(properties)}).encode()

    gavel.send_event(uuid, padded(7_900_000))
    fits, too_large = padded(10_000_000), padded(10_450_000)
    gavel.produce(fits)
    gavel.produce(too_large)
    gavel.send(20)
    gavel.check()
    gavel.dead_letters()
    letters = [each for each in gavel.letters.records if each[0]["gavel.error.class"] == "too_large"]
    assert sorted(len(value or b"") for _, value in letters) == [0, len(fits)]
    (headers,) = [headers for headers, value in letters if value is None]
    assert headers["gavel.error.sha256"] == hashlib.sha256(too_large).hexdigest()
    assert not gavel.exits()


def test_sigterm_under_load_drains_and_commits_inside_the_grace_period(
    gavel: Pipeline, stand_in_server: StandInServer
) -> None:
    """Every role ends with 0, although the provider hangs for an hour. Unfinished work is repeated later."""
    stand_in_server.script({"action": "hang", "times": 6})
    gavel.send(100, over_s=1.0)
    for role in ROLES:
        code = gavel.processes[role].restart()
        assert code == 0, f"{role} ended with {code}:\n{gavel.story()}"
        gavel.send(20)
    gavel.check()


def test_members_join_and_leave_under_load(gavel: Pipeline) -> None:
    """Second processes of every role, with the same configuration: they join, work, and leave in both ways."""
    again = [f"{role}-2" for role in ROLES]
    gavel.start(*again)
    gavel.send(150, over_s=7.0)
    for name in again:
        gavel.wait(lambda name=name: gavel.logged(name, "partitions_assigned"), f"{name} works")
    assert gavel.stop("matcher-2") == {"matcher-2": 0}
    gavel.send(30, over_s=0.5)
    gavel.remove("judge-2")
    gavel.processes["sink"].kill()
    gavel.send(60, over_s=1.0)
    gavel.check()
    assert gavel.stop("sink-2") == {"sink-2": 0}


def test_partitions_are_added_under_load(gavel: Pipeline) -> None:
    gavel.send(40, over_s=0.5)
    admin = AdminClient({"bootstrap.servers": gavel.kafka})
    for future in admin.create_partitions([NewPartitions(gavel.topics.events, 6)]).values():
        future.result(PATIENCE_S)
    gavel.refresh_producer()
    gavel.send(120, over_s=3.0)
    gavel.check()


def make_again(gavel: Pipeline, topic: str) -> None:
    """Delete a topic and make it anew, empty."""
    admin = AdminClient({"bootstrap.servers": gavel.kafka})
    admin.delete_topics([topic])[topic].result(PATIENCE_S)
    gavel.wait(lambda: topic not in admin.list_topics(timeout=PATIENCE_S).topics, "the topic is gone")
    made = NewTopic(topic, num_partitions=4, config={"max.message.bytes": "10485760"})
    # Until the old topic is gone from all of the broker, it refuses a new one of the name.
    gavel.wait(lambda: admin.create_topics([made])[topic].exception(PATIENCE_S) is None, "the topic is there again")
    gavel.refresh_producer()


def test_a_topic_is_made_again_under_the_running_roles(gavel: Pipeline) -> None:
    """Offsets begin at 0 once more, and ids go on."""
    gavel.send(20)
    gavel.check()
    make_again(gavel, gavel.topics.events)
    gavel.send(100, over_s=1.0)
    gavel.check()


def test_a_topic_is_made_again_while_nobody_reads(gavel: Pipeline) -> None:
    """It is longer than the old one when the readers come: the old offsets must not be taken for places in it."""
    gavel.send(20)
    gavel.check()
    assert gavel.stop("matcher", "sink") == {"matcher": 0, "sink": 0}
    make_again(gavel, gavel.topics.events)
    gavel.send(700)
    gavel.start("matcher", "sink")
    gavel.check()


def test_the_results_topic_is_made_again(gavel: Pipeline) -> None:
    """The same offsets with other results in them: ClickHouse must not take them for a batch that it has."""
    gavel.check()
    gavel.forget_results()
    make_again(gavel, gavel.topics.results)
    gavel.look_at_results()
    for _ in range(4):
        gavel.send(30)
        time.sleep(0.5)
    gavel.check()
