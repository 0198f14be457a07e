"""The problems in an overview, with their places and remedies: the rules of `gavel status`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from cli.overview import Overview, Problem
from storage.clock import REMEDY as CLOCK_REMEDY
from storage.clock import distance_in_words, jump_in_words

if TYPE_CHECKING:
    from cli.kafka_view import KafkaView
    from cli.overview import StoreView
    from storage.sql.heartbeats import Heartbeat

_NEEDED = ("matcher", "judge", "sink")
_FORGOTTEN_AFTER_S = 3600.0
_STARTS_WITHIN_S = 60.0
_SETTLED_S = 60.0
_SNAPSHOT_S = 60.0
_BUDGET_SHARE = 0.9
_PARKED_S = 6 * 3600.0
_REMEDIES = {
    "unauthorized": "replace the key: `gavel provider-keys add`",
    "forbidden": "give the key the right to use the model, or choose another model",
    "quota": "raise the quota at the provider, or activate another key: `gavel provider-keys activate`",
    "model_not_found": "correct the model of the evaluations that name it",
}
"""By the cause for which a breaker is open; other causes pass by themselves."""


def find_problems(seen: Overview) -> list[Problem]:
    """Return all problems of an overview, errors first, those of parts that did not answer included."""
    found = list(seen.problems)
    if seen.kafka is not None:
        found += _of_kafka(seen.kafka)
    if seen.store is not None:
        found += _of_roles(seen.store, seen.kafka)
        replaced = _replaced(seen.store)
        for beat in seen.store.heartbeats:
            found += _of_process(beat, was_replaced=(beat.role, beat.instance) in replaced)
        found += _of_definitions(seen.store)
    return sorted(found, key=lambda problem: problem.severity != "error")


def live(store: StoreView | None) -> list[Heartbeat]:
    """Return the heartbeats of processes that are there."""
    beats = [] if store is None else store.heartbeats
    return [beat for beat in beats if not beat.missing and beat.vitals.state not in ("stopped", "failed")]


def _of_kafka(kafka: KafkaView) -> Iterator[Problem]:
    if kafka.missing:
        yield Problem("error", "kafka", f"topics do not exist: {', '.join(kafka.missing)}", "run `gavel init`")
    if kafka.hidden:
        what = f"this user may not see the topics {', '.join(kafka.hidden)}, or they do not exist"
        yield Problem("error", "kafka", what, "grant it Describe on the topics and groups of Gavel")
    if kafka.lacking:
        what = f"this user lacks rights on topics: {', '.join(kafka.lacking)}"
        yield Problem("error", "kafka", what, "grant them; nothing is lost meanwhile")
    for what in kafka.refused:
        yield Problem("error", "kafka", what, "nothing is lost meanwhile: all roles wait")


def _of_roles(store: StoreView, kafka: KafkaView | None) -> Iterator[Problem]:
    beats = live(store)
    roles = {beat.role for beat in beats}
    for role in _NEEDED:
        if role not in roles:
            behind = sum(kafka.lag.get(role, {}).values()) if kafka is not None else 0
            waiting = f", and {behind:,} records wait for it" if behind else ""
            yield Problem("error", role, f"no process runs this role{waiting}", f"start `gavel run --role {role}`")
    versions = sorted({beat.version for beat in beats})
    if len(versions) > 1:
        what = f"processes of several versions run: {', '.join(versions)}"
        yield Problem("warning", "processes", what, "finish the upgrade, if none is under way")


def _replaced(store: StoreView) -> set[tuple[str, str]]:
    """Return role and instance of the silent and failed processes in whose place another one was started.

    A silent one needs a process of its own that was started later. Those that failed one after the other are all
    replaced by one that has run for a while since.
    """
    found = set()
    for beat in store.heartbeats:
        if beat.vitals.state == "failed" and any(_runs_since(beat, other) for other in live(store)):
            found.add((beat.role, beat.instance))
    for role in {beat.role for beat in store.heartbeats}:
        starts = sorted((beat.started for beat in live(store) if beat.role == role), reverse=True)
        silent = [beat for beat in store.heartbeats if beat.role == role and beat.missing]
        for beat in sorted(silent, key=lambda beat: beat.seen, reverse=True):
            if starts and starts[0] >= beat.seen:
                starts.pop(0)
                found.add((beat.role, beat.instance))
    return found


def _runs_since(ended: Heartbeat, other: Heartbeat) -> bool:
    settled = (other.seen - other.started).total_seconds() >= _SETTLED_S
    return other.role == ended.role and other.started >= ended.seen and settled


def _of_process(beat: Heartbeat, *, was_replaced: bool) -> Iterator[Problem]:
    where, vitals = f"{beat.role} {beat.instance}", beat.vitals
    if beat.missing:
        if beat.age_s < _FORGOTTEN_AFTER_S:
            what = f"it has been silent for {beat.age_s:.0f} s, and did not say that it ends"
            if was_replaced:
                yield Problem(
                    "warning", where, f"{what}; another process has taken its place", "look in its log for the cause"
                )
                return
            yield Problem(
                "error", where, what, "look at its log and at its host: it was killed, hangs, or lost the store"
            )
        return
    if vitals.state == "failed":
        if beat.age_s < _FORGOTTEN_AFTER_S:
            what = f"it failed: {vitals.reason[:300]}"
            if was_replaced:
                what = f"{what}; another process has run since"
                yield Problem("warning", where, what, "look in its log, if the cause is not mended yet")
                return
            yield Problem("error", where, what, "mend the cause, and start it again")
        return
    if vitals.state == "stopped":
        return
    up_s = (beat.seen - beat.started).total_seconds()
    if vitals.state == "blocked":
        yield Problem("error", where, vitals.reason, "see `gavel check`, and bring ClickHouse back")
    elif vitals.state != "running" and up_s > _STARTS_WITHIN_S:
        yield Problem("error", where, f"{vitals.state}: {vitals.reason}", "see `gavel check`")
    yield from _of_details(where, vitals.details)


def _of_details(where: str, details: dict[str, Any]) -> Iterator[Problem]:
    differs = distance_in_words(float(details.get("clock_ahead_s") or 0.0))
    jumped = jump_in_words(float(details.get("clock_jumped_s") or 0.0))
    for what in filter(None, (differs, jumped)):
        yield Problem("warning", where, what, CLOCK_REMEDY)
    snapshot = details.get("snapshot") or {}
    if float(snapshot.get("age_s") or 0.0) > _SNAPSHOT_S:
        what = f"its definitions were confirmed {snapshot['age_s']:.0f} s ago"
        yield Problem("warning", where, what, "it cannot read the store; see its log and `gavel check`")
    if snapshot.get("broken"):
        what = f"{snapshot['broken']} evaluations cannot be run as they are stored"
        yield Problem("warning", where, what, "its log names them (evaluation_not_runnable); save them again")
    parked = details.get("parked") or {}
    if float(parked.get("oldest_s") or 0.0) > _PARKED_S:
        what = f"{parked['records']:,} parked runs wait, the oldest for {parked['oldest_s'] / 3600:.0f} h"
        yield Problem("warning", where, what, "mend the key or the provider before judge.park_limit_s is over")
    for breaker in details.get("breakers") or ():
        cause = str(breaker.get("cause"))
        what = f"no calls to {breaker.get('model')} with key {breaker.get('key')}: {cause}, {breaker.get('detail')}"
        again = f"it is tried again in {breaker.get('next_probe_in_s')} s"
        yield Problem("error", where, what[:400], f"{_REMEDIES[cause]}; {again}" if cause in _REMEDIES else again)
    more = int(details.get("breakers_open") or 0) - len(details.get("breakers") or ())
    if more > 0:
        yield Problem("error", where, f"{more} more breakers are open", "mend those that are listed first")


def _of_definitions(store: StoreView) -> Iterator[Problem]:
    for each in store.errored:
        what = f"switched off: {each.reason}{f', {each.detail[:200]}' if each.detail else ''}"
        where = f"evaluation {each.name!r} of team {each.team_id}"
        yield Problem("warning", where, what, "mend the cause; it is switched on again by itself, or by saving it")
    for budget in store.budgets:
        if budget.share >= _BUDGET_SHARE:
            what = f"{budget.share:.0%} of its budget of the {budget.period} is used"
            yield Problem("warning", budget.owner, what, "raise the budget, or let its runs wait for the next period")
