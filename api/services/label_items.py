"""The next item of a label queue as a labeller sees it, and the labeller's answer."""

from __future__ import annotations

from uuid import UUID

from api.http.errors import Conflict, NotFound
from api.schemas import label_queues as bodies
from api.schemas.actions import ResultShown
from api.services import labels as label_service
from api.services.definitions import evaluation_of
from api.services.resources import Services
from api.services.results import shown
from api.services.versions import version_of
from conditions import RowError
from config.definitions import to_raw
from evaluators.generation import Generation
from processor.events.generation import to_generation
from storage.clickhouse.query import PassRule
from storage.clickhouse.results import ResultSelection, find_results
from storage.clickhouse.rows import GENERATION, RowSelection, find_near, newest_rows
from storage.sql.api_keys import ApiKey
from storage.sql.label_leases import InHand, LabelLeaseLost, LabelLeases, Leased
from storage.sql.label_queues import LabelQueues, Queue, QueueItem
from storage.sql.labels import ClientIdReused, LabelSource, NewLabel


def next_item(services: Services, caller: ApiKey, queue_id: str) -> bodies.ItemToLabel | None:
    """Lease the next item to the caller and return it; None if nothing is left for this labeller.

    Raises:
        NotFound: the team has no such queue.
    """
    leased = LabelLeases(services.database).next(caller.team_id, queue_id, caller.owner, now=services.now())
    if leased is None:
        if LabelQueues(services.database).get(caller.team_id, queue_id) is None:
            raise NotFound
        return None
    return _to_label(services, leased)


def answer(
    services: Services, caller: ApiKey, queue_id: str, item_id: str, body: bodies.ItemLabel, *,
    source: LabelSource = "queue",
) -> bodies.ItemLabelled:  # fmt: skip
    """Store the caller's label of a leased item.

    Raises:
        NotFound: the team has no such queue.
        Conflict: the lease is lost, or the client id stands for another label.
        Invalid: the verdict does not answer the question.
    """
    queue = _queue(services, caller.team_id, queue_id)
    evaluation = evaluation_of(services, queue.team_id, queue.evaluation_id)
    version = version_of(services, evaluation, queue.evaluation_version)
    label = NewLabel(
        evaluation_id=queue.evaluation_id,
        question=queue.question,
        target_event_id="",
        verdict=label_service.verdict_of(version.output, body.verdict),
        labeller=caller.owner,
        source=source,
        comment=body.comment,
        seconds=body.seconds,
        client_id=body.client_id,
    )
    try:
        stored, item = LabelLeases(services.database).answer(
            caller.team_id, queue_id, item_id, label, actor=caller.actor, now=services.now()
        )
    except LabelLeaseLost as error:
        raise _lost() from error
    except ClientIdReused as error:
        raise label_service.reused() from error
    revealed = _result(services, queue, item) if queue.reveal or not queue.blind else None
    return bodies.ItemLabelled(label=label_service.shown(stored), revealed=revealed)


def skip(services: Services, caller: ApiKey, queue_id: str, item_id: str) -> None:
    """Pass a leased item on. Raises `NotFound` without such a queue, and `Conflict` if the lease is lost."""
    _queue(services, caller.team_id, queue_id)
    try:
        LabelLeases(services.database).skip(caller.team_id, queue_id, item_id, caller.owner, now=services.now())
    except LabelLeaseLost as error:
        raise _lost() from error


def in_hand(services: Services, caller: ApiKey, queue_id: str, item_id: str) -> tuple[InHand, bodies.ItemToLabel]:
    """Return an item that the caller holds or has labelled, as it was leased. It changes nothing.

    The judge's verdict is in it only if the caller was shown it before.

    Raises:
        NotFound: the team has no such queue.
        Conflict: the caller does not hold the item.
    """
    found = LabelLeases(services.database).in_hand(caller.team_id, queue_id, item_id, caller.owner, now=services.now())
    if found is None:
        _queue(services, caller.team_id, queue_id)
        raise _lost()
    shown_item = _to_label(services, found)
    if found.revealed and shown_item.verdict is None:
        verdict = _result(services, found.queue, found.item)
        shown_item = shown_item.model_copy(update={"verdict": verdict})
    return found, shown_item


def _to_label(services: Services, leased: Leased) -> bodies.ItemToLabel:
    queue, item = leased.queue, leased.item
    evaluation = evaluation_of(services, queue.team_id, queue.evaluation_id)
    draft = version_of(services, evaluation, queue.evaluation_version).draft
    raw = to_raw(draft)
    generation = _generation(services, queue, item)
    return bodies.ItemToLabel(
        id=UUID(item.id),
        queue=UUID(queue.id),
        expires_at=leased.expires_at,
        criteria=draft.prompt or evaluation.description or evaluation.name,
        output_type=raw["output_type"],
        output_config=raw["output_config"],
        target_event_id=item.target_event_id,
        archived=generation is not None,
        input=None if generation is None else generation.input,
        tools=None if generation is None else generation.properties.get("$ai_tools"),
        output=None if generation is None else generation.output,
        remaining=leased.remaining,
        verdict=None if queue.blind else _result(services, queue, item),
    )


def _generation(services: Services, queue: Queue, item: QueueItem) -> Generation | None:
    """Return the generation of an item; None if the archive has it no more, or never had it."""
    selection = RowSelection(queue.team_id, event=GENERATION, uuid=item.target_event_id)
    with services.archive.client() as client:
        if queue.window_start is not None and queue.window_end is not None:
            row = find_near(client, selection, queue.window_start, queue.window_end)
        else:
            row = next(newest_rows(client, selection, page=1), None)
    try:
        return None if row is None else to_generation(row)
    except RowError:
        return None


def _result(services: Services, queue: Queue, item: QueueItem) -> ResultShown | None:
    evaluation = evaluation_of(services, queue.team_id, queue.evaluation_id)
    version = version_of(services, evaluation, queue.evaluation_version)
    with services.archive.client() as client:
        found = find_results(
            client, ResultSelection(queue.team_id, uuid=item.result_id), PassRule.of(version.output), limit=1
        )
    return shown(found[0]) if found else None


def _queue(services: Services, team_id: int, queue_id: str) -> Queue:
    queue = LabelQueues(services.database).get(team_id, queue_id)
    if queue is None:
        raise NotFound
    return queue


def _lost() -> Conflict:
    detail = "The lease of this item is lost: it ran out after 15 minutes, or was never yours. Take the next item."
    return Conflict(detail, code="lease_lost")
