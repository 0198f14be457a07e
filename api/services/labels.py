"""Labels as the API and the console take and show them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

from api.http.errors import Conflict, Invalid, NotFound, PermissionDenied
from api.schemas import labels as bodies
from api.services.resources import Services
from config.definitions import Evaluation
from config.label_verdicts import BadVerdict, read_verdict
from config.outputs import OutputConfig
from storage.sql.api_keys import ApiKey
from storage.sql.evaluation_changes import EvaluationNotFound
from storage.sql.label_leases import revealed_targets
from storage.sql.labels import ClientIdReused, Label, Labels, LabelSource, NewLabel

ADJUDICATE_SCOPE = "evaluation:write"


def add(
    services: Services, caller: ApiKey, given: Sequence[bodies.LabelCreate], *, source: LabelSource = "api"
) -> list[Label]:
    """Store labels of any generations, all or none.

    Raises:
        Invalid: a verdict does not answer the evaluation's question, or the label is for another question.
        NotFound: an evaluation is not the team's.
        PermissionDenied: the caller may not adjudicate.
        Conflict: a client id stands for another label.
    """
    many = len(given) > 1
    evaluations = _evaluations(services, caller.team_id, given)
    new = [
        _new(caller, evaluations[each.evaluation], each, source, f"labels__{place}__" if many else "")
        for place, each in enumerate(given)
    ]
    seen = revealed_targets(services.database, caller.team_id, caller.owner, [each.target_event_id for each in new])
    marked = [
        replace(each, after_reveal=True) if (each.evaluation_id, each.target_event_id) in seen else each for each in new
    ]
    try:
        return Labels(services.database).add(caller.team_id, marked, actor=caller.actor, now=services.now())
    except ClientIdReused as error:
        raise reused(f"labels__{error.place}__" if many else "") from error


def verdict_of(output: OutputConfig, raw: object, attr: str = "verdict") -> dict[str, Any]:
    """Return a verdict that answers the question of a definition with this output. Raises `Invalid`."""
    try:
        return read_verdict(raw, output)
    except BadVerdict as error:
        raise Invalid(str(error), attr=f"{attr}__{error.field}" if error.field else attr) from error


def reused(prefix: str = "") -> Conflict:
    """Return the error of a client id that stands for another label."""
    detail = "Another label has this client_id; give each label an id of its own, and repeat a label unchanged."
    return Conflict(detail, code="client_id_reused", attr=f"{prefix}client_id")


def shown(label: Label) -> bodies.Label:
    """Return a label as the API shows it."""
    return bodies.Label(
        id=UUID(label.id),
        evaluation=UUID(label.evaluation_id),
        question=label.question,
        target_event_id=label.target_event_id,
        verdict=dict(label.verdict),
        comment=label.comment,
        labeller=label.labeller,
        source=label.source,
        seconds=label.seconds,
        adjudicates=label.adjudicates,
        after_reveal=label.after_reveal,
        client_id=label.client_id,
        created_at=label.created_at,
    )


def _evaluations(services: Services, team_id: int, given: Sequence[bodies.LabelCreate]) -> dict[UUID, Evaluation]:
    found = {}
    store = services.evaluations
    for evaluation_id in {each.evaluation for each in given}:
        try:
            found[evaluation_id] = store.get(team_id, str(evaluation_id))
        except EvaluationNotFound as error:
            raise NotFound from error
    return found


def _new(
    caller: ApiKey, evaluation: Evaluation, given: bodies.LabelCreate, source: LabelSource, prefix: str
) -> NewLabel:
    if given.question not in (None, evaluation.question):
        detail = f"The evaluation asks question {evaluation.question} now; labels of others can no longer be given."
        raise Invalid(detail, code="other_question", attr=f"{prefix}question")
    if given.adjudicates and not caller.allows(ADJUDICATE_SCOPE):
        raise PermissionDenied(f"API key missing required scope '{ADJUDICATE_SCOPE}' to adjudicate")
    return NewLabel(
        evaluation_id=evaluation.id,
        question=evaluation.question,
        target_event_id=given.target_event_id,
        verdict=verdict_of(evaluation.output_config, given.verdict, f"{prefix}verdict"),
        labeller=caller.owner,
        source=source,
        comment=given.comment,
        seconds=given.seconds,
        adjudicates=given.adjudicates,
        after_reveal=given.after_reveal,
        client_id=given.client_id,
    )
