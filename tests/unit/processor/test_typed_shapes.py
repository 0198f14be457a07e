"""Records, outputs with a kind, and the names of metrics have types, so that a wrong one is an error."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterator
from typing import Any, cast, get_args, get_type_hints

import pytest
from prometheus_client import CollectorRegistry

from processor.events.output import Output, OutputKind
from processor.metric_catalogue import AgeName, CounterName, GaugeName, HistogramName
from processor.metrics import Metrics
from tests.unit.test_architecture import CHECKOUT, MAY_IMPORT, modules

MADE = {
    "processor/events/result.py": {"result", "skip"},
    "processor/matcher/event_matcher.py": {"task"},
    "processor/judge/parked.py": {"task"},
    "processor/dead_letters/letter.py": {"dead_letter"},
    "processor/dead_letters/stored.py": {"dead_letter"},
    "processor/dead_letters/redrive.py": {"redriven"},
    "processor/events/label.py": {"label"},
    "processor/events/measurement.py": {"measurement"},
    "processor/events/decision.py": {"decision"},
    "processor/events/drift.py": {"drift"},
    "ingest/rows.py": {"event"},
}
"""Module → the kinds of outputs that it makes."""


def product() -> Iterator[tuple[str, str]]:
    for path in modules(*MAY_IMPORT):
        yield str(path.relative_to(CHECKOUT)), path.read_text()


def kinds_of(text: str) -> set[str]:
    """Return the kinds that a module gives to `Output` or `BesideEvent.output`: every text in the first argument."""
    if " Output(" not in text and "beside_event(" not in text:
        return set()
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call) and node.args]
    made = [each for each in calls if ast.unparse(each.func) in ("Output", "made.output")]
    texts = [node for each in made for node in ast.walk(each.args[0]) if isinstance(node, ast.Constant)]
    return {str(each.value) for each in texts}


def test_every_output_has_a_kind_and_every_kind_is_made() -> None:
    made = {path: kinds for path, text in product() if (kinds := kinds_of(text))}
    assert made == MADE
    assert set().union(*made.values()) == set(get_args(OutputKind))


def test_an_output_without_a_kind_cannot_be_made() -> None:
    make: Callable[..., Output] = Output
    with pytest.raises(TypeError, match="kind"):
        make(topic="results", key=None, value=b"v", headers=[])


UNTYPED_RECORD = re.compile(r"\b(?:message|msg|record)s?: (?:Any|\w+\[Any\])")
"""A parameter or a variable that is named like records of Kafka, with a type that says nothing."""


def test_records_of_kafka_have_the_type_message() -> None:
    """The options that `Confirmed` passes on to the client are not a record."""
    readers = modules("processor", "cli", "reports/windows")
    found = {str(path.relative_to(CHECKOUT)) for path in readers if UNTYPED_RECORD.search(path.read_text())}
    assert found == {"processor/events/confirmed.py"}
    assert UNTYPED_RECORD.search("def f(message: Any)")
    assert UNTYPED_RECORD.search("records: list[Any]")


@pytest.mark.parametrize(
    ("method", "names"),
    [
        (Metrics.count, CounterName),
        (Metrics.set, GaugeName),
        (Metrics.since, AgeName),
        (Metrics.observe, HistogramName),
        (Metrics.observe_all, HistogramName),
        (Metrics.observe_traced, HistogramName),
    ],
)
def test_each_way_to_measure_takes_the_names_of_its_kind(method: Callable[..., None], names: object) -> None:
    assert get_type_hints(method)["name"] == names


def test_a_name_that_is_not_in_the_catalogue_or_of_another_kind_is_an_error() -> None:
    metrics = Metrics(CollectorRegistry())
    with pytest.raises(KeyError, match="gavel_comits"):
        metrics.count(cast("Any", "gavel_comits"), role="sink")
    with pytest.raises(AttributeError):
        metrics.observe(cast("Any", "gavel_commits"), 1.0, role="sink")
