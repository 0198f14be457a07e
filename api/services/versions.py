"""A version of an evaluation, the present one or an older one, with the definition that it judges with."""

from __future__ import annotations

from dataclasses import dataclass

from api.http.errors import Invalid
from api.services.resources import Services
from config.definitions import Evaluation, EvaluationDraft, parse_draft
from config.outputs import OutputConfig


@dataclass(frozen=True, slots=True)
class Version:
    """The definition that one version judges with, and the question that it answers."""

    number: int
    fingerprint: str
    question: int
    draft: EvaluationDraft

    @property
    def output(self) -> OutputConfig:
        """The options of its output."""
        return self.draft.output_config


def version_of(services: Services, evaluation: Evaluation, number: int | None, *, attr: str = "version") -> Version:
    """Return a version of `evaluation`, the present one if `number` is None. Raises `Invalid` on `attr`."""
    if number in (None, evaluation.version):
        return Version(evaluation.version, evaluation.fingerprint, evaluation.question, evaluation)
    for known in services.evaluations.versions(evaluation.team_id, evaluation.id):
        if known.version == number:
            draft = parse_draft({"name": evaluation.name, **known.definition})
            return Version(known.version, known.fingerprint, known.question, draft)
    raise Invalid("The evaluation has no such version; its `versions/` lists them.", code="does_not_exist", attr=attr)
