from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta

import pytest

from api.services.trust.chances import DrawChances, chances, frozen_chances
from storage.clickhouse.query import PassRule
from storage.clickhouse.verdicts import JudgedTarget
from storage.sql.label_queues import Mode, Queue, QueueItem, Stratum

START = datetime(2026, 3, 1, tzinfo=UTC)
END = START + timedelta(days=10)
BY_VERDICT = (Stratum("pass", 90), Stratum("fail", 10))


def queue(name: str, mode: Mode, strata: Sequence[Stratum], start: datetime = START, end: datetime = END) -> Queue:
    return Queue(
        id=name, team_id=1, evaluation_id="e", question=1, evaluation_version=1, fingerprint="f", name=name, mode=mode,
        reason=None, window_start=start, window_end=end, size=10, labellers_per_item=1, overlap=0, blind=True,
        reveal=False, strata=tuple(strata), created_at=end, updated_at=end, created_by=None,
    )  # fmt: skip


def items(of: Queue, targets: Iterable[str], stratum: str, chance: float) -> list[QueueItem]:
    return [
        QueueItem(f"{of.id}-{target}", of.id, "e", 0, target, target, of.mode, stratum, chance, 1, 0)
        for target in targets
    ]


def result(target: str, verdict: bool | float | None, at: datetime = START) -> JudgedTarget:
    return JudgedTarget(target, target, at, verdict, False, "")


def of(queues: Sequence[Queue], drawn: Sequence[QueueItem], results: Sequence[JudgedTarget]) -> DrawChances:
    return chances(queues, drawn, results, PassRule())


def test_an_item_has_the_stored_probability_of_its_stratum() -> None:
    one = queue("s", "stratified", BY_VERDICT)
    drawn = items(one, [f"p{n}" for n in range(18)], "pass", 0.2) + items(one, [f"f{n}" for n in range(10)], "fail", 1)
    results = [result(item.target_event_id, item.stratum == "pass") for item in drawn]
    found = of([one], drawn, results)
    assert found.of["p0"].probability == pytest.approx(0.2)
    assert found.of["f0"].probability == 1
    assert found.missing == 0


def test_labels_that_are_not_there_yet_make_the_others_stand_for_more() -> None:
    one = queue("s", "stratified", BY_VERDICT)
    drawn = items(one, [f"p{n}" for n in range(18)], "pass", 0.2) + items(one, [f"f{n}" for n in range(10)], "fail", 1)
    results = [result(f"p{n}", True) for n in range(9)] + [result(f"f{n}", False) for n in range(4)]
    found = of([one], drawn, results)
    assert found.of["p0"].probability == pytest.approx(0.1)
    assert found.of["f0"].probability == pytest.approx(0.4)
    assert found.missing == 1 + 6


def test_a_small_stratum_lacks_no_more_than_it_has() -> None:
    one = queue("s", "stratified", (Stratum("pass", 90), Stratum("fail", 3), Stratum("none", 0)))
    drawn = items(one, [f"p{n}" for n in range(10)], "pass", 1 / 9) + items(one, ["f0", "f1", "f2"], "fail", 1)
    assert of([one], drawn, [result(item.target_event_id, item.stratum == "pass") for item in drawn]).missing == 0


def test_a_result_that_another_queue_could_have_drawn_has_the_chance_of_both() -> None:
    plain, strata = queue("r", "random", (Stratum("all", 100),)), queue("s", "stratified", BY_VERDICT)
    old = queue("o", "random", (Stratum("all", 50),), START - timedelta(days=10), START)
    drawn = items(plain, ["a", "b"], "all", 0.5) + items(strata, ["b", "c"], "fail", 0.4)
    drawn += items(strata, ["d"], "pass", 0.1) + items(old, ["e"], "all", 0.02)
    results = [result("a", True), result("b", False), result("c", False), result("d", True)]
    found = of([plain, strata, old], drawn, [*results, result("e", True, START - timedelta(days=1))])
    assert found.of["a"].probability == pytest.approx(1 - 0.5 * 0.9)
    assert found.of["b"].probability == found.of["c"].probability == pytest.approx(1 - 0.5 * 0.6)
    assert found.of["d"].probability == pytest.approx(1 - 0.5 * 0.9)
    assert found.of["e"].probability == pytest.approx(0.02), "the other queues are over another window"
    assert found.of["a"].stratum == found.of["d"].stratum == ("all", "pass", "")


def test_thirds_of_scores_are_found_by_their_bounds() -> None:
    thirds = (
        Stratum("low", 30, up_to=2.0),
        Stratum("middle", 30, above=2.0, up_to=4.0),
        Stratum("high", 30, above=4.0),
    )
    strata, plain = queue("s", "stratified", thirds), queue("r", "random", (Stratum("all", 90),))
    drawn = items(strata, ["x"], "low", 0.1) + items(strata, ["y"], "middle", 0.2) + items(strata, ["z"], "high", 0.4)
    drawn += items(plain, ["a", "b", "c", "n"], "all", 0.5)
    scores = {"x": 1.0, "y": 4.0, "z": 5.0, "a": 2.0, "b": 3.0, "c": 4.5, "n": None}
    found = of([strata, plain], drawn, [result(target, score) for target, score in scores.items()])
    # None of the items of the random queue lies outside of its window, and N/A is in no third.
    assert [found.of[target].probability for target in "abcn"] == pytest.approx([0.55, 0.6, 0.7, 0.5])
    assert [found.of[target].stratum[0] for target in "abcn"] == ["low", "middle", "high", ""]


def test_weights_of_two_queues_add_up_to_the_window() -> None:
    """Σ 1/probability is the number of results, whichever queue drew them (600 draws, fixed seed)."""
    rng = random.Random(5)
    verdicts = {f"t{n}": n % 10 > 0 for n in range(100)}
    plain, strata = queue("r", "random", (Stratum("all", 100),)), queue("s", "stratified", BY_VERDICT)
    passes, fails = [t for t in verdicts if verdicts[t]], [t for t in verdicts if not verdicts[t]]
    total = failed = 0.0
    for _ in range(600):
        drawn = items(plain, rng.sample(list(verdicts), 20), "all", 0.2)
        drawn += items(strata, rng.sample(passes, 18), "pass", 0.2) + items(strata, rng.sample(fails, 6), "fail", 0.6)
        targets = {item.target_event_id for item in drawn}
        found = of([plain, strata], drawn, [result(target, verdicts[target]) for target in sorted(targets)])
        total += sum(1 / each.probability for each in found.of.values())
        failed += sum(1 / each.probability for target, each in found.of.items() if not verdicts[target])
    assert total / 600 == pytest.approx(100, rel=0.01)
    assert failed / 600 == pytest.approx(10, rel=0.02)


def test_a_label_from_outside_of_the_queues_has_no_chance() -> None:
    one = queue("r", "random", (Stratum("all", 100),))
    assert of([one], items(one, ["a"], "all", 0.5), [result("a", True), result("b", True)]).of.keys() == {"a"}
    assert of([], [], [result("a", True)]).of == {}


def test_frozen_items_that_a_judge_answered_stand_for_all_of_their_stratum() -> None:
    stored = {f"p{n}": 0.2 for n in range(10)} | {f"f{n}": 1.0 for n in range(4)}
    found = frozen_chances(stored, ["p0", "p1", "p2", "p3", "p4", "f0", "f1", "f2", "f3", "from a dataset"])
    assert found.of.keys() == {"p0", "p1", "p2", "p3", "p4", "f0", "f1", "f2", "f3"}
    assert found.of["p0"].probability == pytest.approx(0.1)
    assert found.of["f0"].probability == 1
    assert found.of["p0"].stratum == found.of["p4"].stratum != found.of["f0"].stratum
    assert found.missing == 0


@pytest.mark.parametrize("chance", [1.0, 0.25])
def test_frozen_items_of_one_chance_have_no_weights(chance: float) -> None:
    assert frozen_chances({"a": chance, "b": chance}, ["a"]).of == {}
    assert frozen_chances({}, ["a"]).of == {}
