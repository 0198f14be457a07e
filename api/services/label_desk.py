"""Label queues as the console shows them: lists with their standing, and one item at a time for a labeller."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from api.http.errors import Invalid, NotFound
from api.schemas.actions import ResultShown
from api.schemas.label_queues import ItemLabel, LabelQueueCreate, LabelQueuePatch, QueueProgress
from api.services import label_items, label_queues
from api.services.excerpt import NO_EXCERPT, Excerpt, excerpt_of
from api.services.forms import checked
from api.services.label_export import as_csv, as_jsonl
from api.services.resources import Services
from api.services.turns import Talk, Turn, tools_of
from api.services.verdicts import passing_means
from config.label_verdicts import BadVerdict, read_short_verdict, read_verdict, short_verdict
from config.outputs import OUTPUT_CONFIGS, CategoricalOutput, NumericOutput, OutputConfig
from storage.sql.api_keys import ApiKey
from storage.sql.evaluation_changes import EvaluationNotFound
from storage.sql.label_leases import LabelLeases
from storage.sql.label_queues import LabelQueues, Queue
from storage.sql.labels import LabelQuery, Labels

FORMATS = {"csv": "text/csv; charset=utf-8", "jsonl": "application/x-ndjson"}
_LISTED = 100
_MOST_SCORES = 21
_OPTION = "option:"
"""Before the keys of options, so that none of them reads as N/A or unsure."""


@dataclass(frozen=True, slots=True)
class QueueRow:
    """One queue of a list. `name` is the evaluation's; `done` items have all the labels that they want."""

    queue: Queue
    name: str
    items: int
    done: int


@dataclass(frozen=True, slots=True)
class LabelChoice:
    """One answer of a labeller: the value of its field, its text, and the key that chooses it."""

    value: str
    text: str
    key: str


@dataclass(frozen=True, slots=True)
class OpenItem:
    """One item as its labeller sees it.

    Its `excerpt`, `turns` and `hidden` are as those of a generation that is shown, and empty without an archive.

    Attributes:
        several: whether more than one choice can be taken.
        low, high: bounds of a score that is typed, where there are too many for choices.
        typed: whether a score is typed.
        given: values of the labeller's own label; empty before there is one.
        verdict: the judge's result, where the labeller may know it.
        labelled: whether the labeller has answered already.
        items, done, remaining: of the queue: all, those with all the labels that they want, and those that want one.
    """

    id: str
    queue: str
    name: str
    criteria: str
    passing: str
    archived: bool
    excerpt: Excerpt
    turns: tuple[Turn, ...]
    hidden: int
    tools: tuple[str, ...]
    more_tools: int
    choices: tuple[LabelChoice, ...]
    several: bool
    typed: bool
    low: float | None
    high: float | None
    items: int
    done: int
    remaining: int
    given: tuple[str, ...]
    comment: str
    verdict: ResultShown | None
    labelled: bool


def queue_rows(services: Services, team_id: int) -> list[QueueRow]:
    """Return the newest 100 queues of a team."""
    store = LabelQueues(services.database)
    found, _ = store.page(team_id, limit=_LISTED, offset=0)
    return _rows(services, team_id, found)


def queue_row(services: Services, team_id: int, queue_id: str) -> QueueRow:
    """Return one queue. Raises `NotFound`."""
    found = LabelQueues(services.database).get(team_id, queue_id)
    if found is None:
        raise NotFound
    return _rows(services, team_id, [found])[0]


def progress_of(services: Services, row: QueueRow) -> QueueProgress:
    """Return how far a queue is, and how far its labellers agree."""
    return label_queues.progress(services, row.queue)


def create_queue(services: Services, caller: ApiKey, fields: Mapping[str, Any]) -> Queue:
    """Draw a sample of results and store it as a queue. Raises `Invalid` and `NotFound` as the API does."""
    return label_queues.create(services, caller, checked(LabelQueueCreate, fields))


def change_queue(services: Services, caller: ApiKey, queue_id: str, fields: Mapping[str, Any]) -> Queue:
    """Extend, rename or delete a queue. Raises `Invalid` and `NotFound`."""
    return label_queues.change(services, caller, queue_id, checked(LabelQueuePatch, fields))


def take(services: Services, caller: ApiKey, queue_id: str) -> str | None:
    """Lease the next item to the caller and return its id; None if nothing is left. Raises `NotFound`."""
    leased = LabelLeases(services.database).next(caller.team_id, queue_id, caller.owner, now=services.now())
    if leased is None:
        queue_row(services, caller.team_id, queue_id)
        return None
    return leased.item.id


def open_item(
    services: Services, caller: ApiKey, queue_id: str, item_id: str, *, start: int = 0, entry: int = 0
) -> OpenItem:
    """Return an item that the caller holds or has labelled. Raises `Conflict` for any other.

    Args:
        start, entry: where its conversation is shown from, as for `show_generation`.
    """
    held, item = label_items.in_hand(services, caller, queue_id, item_id)
    output = OUTPUT_CONFIGS[item.output_type].model_validate(item.output_config)
    part = excerpt_of(item.input, item.output, start=entry) if item.archived else NO_EXCERPT
    turns, hidden = Talk(part.given, part.answer, before=part.start).turns(start=start)
    tools, more_tools = tools_of(item.tools)
    choices, typed = _choices(output)
    [row] = _rows(services, caller.team_id, [held.queue])
    given, comment = _given(services, caller, held.queue, item.target_event_id, output) if held.labelled else ((), "")
    return OpenItem(
        id=item_id,
        queue=queue_id,
        name=row.name,
        criteria=item.criteria,
        passing=passing_means(output),
        archived=item.archived,
        excerpt=part,
        turns=turns,
        hidden=hidden,
        tools=tools,
        more_tools=more_tools,
        choices=choices,
        several=isinstance(output, CategoricalOutput) and output.selection_mode == "multiple",
        typed=typed,
        low=output.min if isinstance(output, NumericOutput) else None,
        high=output.max if isinstance(output, NumericOutput) else None,
        items=row.items,
        done=row.done,
        remaining=item.remaining,
        given=given,
        comment=comment,
        verdict=item.verdict,
        labelled=held.labelled,
    )


def save(
    services: Services, caller: ApiKey, queue_id: str, item_id: str, values: Sequence[str], fields: Mapping[str, Any]
) -> ResultShown | None:
    """Store the caller's label and return the judge's result where the queue reveals it.

    Args:
        values: of the choices that were taken, or the score that was typed.
        fields: `comment`, `seconds` and `client_id`, as far as they were given.

    Raises:
        Invalid: nothing was chosen, or it does not answer the question.
        Conflict: the lease is lost.
    """
    given = [each.strip() for each in values if each.strip()]
    if not given:
        raise Invalid("Choose an answer first.", attr="verdict")
    held, item = label_items.in_hand(services, caller, queue_id, item_id)
    output = OUTPUT_CONFIGS[item.output_type].model_validate(item.output_config)
    options = [each.removeprefix(_OPTION) for each in given if each.startswith(_OPTION)]
    if len(options) < len(given) and len(given) > 1:
        raise Invalid("N/A and unsure go with no other answer.", attr="verdict")
    try:
        verdict = read_verdict({"categories": options}, output) if options else read_short_verdict(given[0], output)
    except BadVerdict as error:
        raise Invalid(str(error), attr="verdict") from error
    body = checked(ItemLabel, {"verdict": verdict, **fields})
    return label_items.answer(services, caller, held.queue.id, item_id, body, source="console").revealed


def skip(services: Services, caller: ApiKey, queue_id: str, item_id: str) -> None:
    """Pass an item on to others. Raises `Conflict` if the lease is lost."""
    label_items.skip(services, caller, queue_id, item_id)


def export(services: Services, team_id: int, evaluation_id: str, form: str) -> Iterator[str]:
    """Yield the labels of a team, or of one of its evaluations, as lines of a file, oldest first."""
    found = Labels(services.database).each(team_id, LabelQuery(evaluation_id or None))
    return as_csv(found) if form == "csv" else as_jsonl(found)


def _rows(services: Services, team_id: int, queues: Sequence[Queue]) -> list[QueueRow]:
    standings = LabelQueues(services.database).standings([queue.id for queue in queues])
    names = _names(services, team_id, queues)
    return [QueueRow(queue, names[queue.evaluation_id], *standings[queue.id]) for queue in queues]


def _names(services: Services, team_id: int, queues: Sequence[Queue]) -> dict[str, str]:
    found = {}
    for evaluation_id in {queue.evaluation_id for queue in queues}:
        try:
            found[evaluation_id] = services.evaluations.get(team_id, evaluation_id).name
        except EvaluationNotFound:
            found[evaluation_id] = "a deleted evaluation"
    return found


def _choices(output: OutputConfig) -> tuple[tuple[LabelChoice, ...], bool]:
    """Return the answers with their keys, and whether a score is typed because there are too many for buttons."""
    others = [LabelChoice("na", "N/A", "n")] if output.allows_na else []
    others.append(LabelChoice("unsure", "Unsure", "u"))
    if isinstance(output, CategoricalOutput):
        options = [
            LabelChoice(f"{_OPTION}{option.key}", option.label, str(place) if place < 10 else "")
            for place, option in enumerate(output.options, 1)
        ]
        return (*options, *others), False
    if isinstance(output, NumericOutput):
        scores = _scores(output)
        digits = {f"{score:g}" for score in scores} & set("123456789")
        options = [
            LabelChoice(
                text := f"{score:g}", text, text if text in digits else "" if digits or place > 9 else str(place)
            )
            for place, score in enumerate(scores, 1)
        ]
        return (*options, *others), not scores
    return (LabelChoice("pass", "Pass", "p"), LabelChoice("fail", "Fail", "f"), *others), False


def _scores(output: NumericOutput) -> list[float]:
    """Return all scores of a scale if they are few enough for buttons. A scale without a step has whole numbers."""
    if output.min is None or output.max is None:
        return []
    step = output.step or 1.0
    count = int((output.max - output.min) / step + 1e-9) + 1
    return [output.min + place * step for place in range(count)] if count <= _MOST_SCORES else []


def _given(
    services: Services, caller: ApiKey, queue: Queue, target: str, output: OutputConfig
) -> tuple[tuple[str, ...], str]:
    """Return the values of the caller's own label of a target, and its comment."""
    known = Labels(services.database).current(queue.team_id, queue.evaluation_id, queue.question, targets=[target])
    mine = next((label for label in known if label.labeller == caller.owner), None)
    if mine is None:
        return (), ""
    if "result" in mine.verdict:
        failure = getattr(output, "true_is_failure", False)
        return ("pass" if mine.verdict["result"] != failure else "fail",), mine.comment
    if "score" in mine.verdict:
        return (f"{mine.verdict['score']:g}",), mine.comment
    if "categories" in mine.verdict:
        return tuple(f"{_OPTION}{key}" for key in mine.verdict["categories"]), mine.comment
    return (short_verdict(mine.verdict),), mine.comment


def pick(services: Services, caller: ApiKey, evaluation_id: str, result_id: str) -> Queue:
    """Make a focus queue of one result, for somebody to label. Raises `Invalid` and `NotFound`."""
    try:
        ids = {"evaluation": UUID(evaluation_id), "results": [UUID(result_id)]}
    except ValueError as error:
        raise NotFound from error
    return create_queue(services, caller, {**ids, "mode": "focus", "reason": "hand_picked"})
