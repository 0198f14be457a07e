"""Real generations as load, and their expected results, computed without the code under test.

The expected ids come from the definitions and the events alone: by the condition interpreter (the executable
specification, not the compiled matcher) and the identity of runs.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from uuid import NAMESPACE_URL, UUID, uuid5

from conditions import Target, decode_row
from conditions.interpreter import RowFields, interpret
from config.definitions import Evaluation
from evaluators.hog import compile_expression
from tests.services.cache import CHECKOUT

GENERATIONS = CHECKOUT / "examples" / "generations"


def result_id(evaluation: Evaluation, event_uuid: str) -> str:
    """Return the result id of a live run, written down from the specification a second time."""
    kind = {"hog": "llma-hog-eval", "llm_judge": "llma-llm-eval"}[evaluation.evaluation_type]
    key = f"{kind}-{evaluation.id}-{event_uuid}-ingestion"
    return str(uuid5(NAMESPACE_URL, f"posthog://ai-evaluation/{key}"))


class Expectation:
    """Which results events must have under these evaluations."""

    def __init__(self, evaluations: Sequence[Evaluation]) -> None:
        self.evaluations = list(evaluations)
        self._targets = [
            Target(id=e.id, conditions=e.conditions, enabled=e.enabled, cohort=e.sampling_cohort) for e in evaluations
        ]

    def of(self, event: bytes) -> set[str]:
        """Return the ids of all results of one event."""
        row = decode_row(event)
        if row.event != "$ai_generation" or b"$ai_evaluation_judge" in event:
            return set()  # a judge's own call is not judged
        fields = RowFields(row)
        return {
            result_id(evaluation, row.uuid)
            for evaluation, target in zip(self.evaluations, self._targets, strict=True)
            if evaluation.team_id == row.team_id
            and interpret(target, fields, compile_expression=compile_expression).outcome == "matched"
        }


def bundled(folder: Path = GENERATIONS) -> list[dict[str, object]]:
    """Return the bundled rows, spans and embeddings among them, the files mixed."""
    files = [path.read_bytes().splitlines() for path in sorted(folder.glob("*.jsonl"))]
    mixed = itertools.chain.from_iterable(itertools.zip_longest(*files))
    return [json.loads(line) for line in mixed if line is not None]


def endless(name: str) -> Iterator[tuple[str, bytes]]:
    """Yield (uuid, row) for ever: the bundled rows again and again, with ids that depend on `name` alone."""
    rows, namespace = bundled(), uuid5(NAMESPACE_URL, name)
    for number in itertools.count():
        row = rows[number % len(rows)]
        uuid = str(uuid5(UUID(str(namespace)), str(number)))
        yield uuid, json.dumps({**row, "uuid": uuid}).encode()
