"""The parts that all requests share, and the way of every protocol's events: check, make rows, deliver, count."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Literal, TypeVar, get_args

import msgspec

from config.settings import Settings
from ingest.answers import Refusal, overloaded, unauthorized
from ingest.body import Receive, read_body
from ingest.budget import ByteBudget, Reservation
from ingest.content import EmptyGenerations, is_empty
from ingest.delivery import Delivery
from ingest.fair_share import FairShare
from ingest.large_work import LARGE_BYTES, aside
from ingest.metrics import KNOWN_EVENTS, OTHER_EVENT, IngestMetrics, give_birth
from ingest.rates import Rates
from ingest.redaction import RedactionFailed, Redactor
from ingest.rows import Event, InvalidEvent, glance_at, make_message
from ingest.times import row_time
from ingest.tokens import TokenPoller, refuse_token
from processor.dead_letters.letter import Reason, dead_letter
from processor.events.generation import GENERATION_EVENT
from processor.events.output import Headers, Output
from processor.events.row import MAX_EVENT_BYTES, ROOM_BYTES
from storage.sql.project_tokens import ProjectToken

Outcome = Literal["accepted", "repeated", "not_forwarded", "rejected", "not_persisted"]
RESERVED_TOGETHER = 64 * 1024
"""Bytes of rows that are made before they are reserved, so that not every small row takes the lock."""
_STAGE = "ingest"
_LETTERS: tuple[Reason, ...] = ("decode", "too_large")


@dataclass(slots=True)
class Request:
    """One HTTP request.

    Attributes:
        headers: names in lower case.
        complete: whether its whole body has arrived.
        size_bytes: of its body on the wire, once it is read.
    """

    method: str
    path: str
    query: Mapping[str, str]
    headers: Mapping[str, str]
    reservation: Reservation
    complete: bool = False
    size_bytes: int = 0


class Refused(msgspec.Struct, frozen=True):
    """One event that is not taken: why, and its bytes as they came."""

    tag: str
    detail: str
    raw: bytes
    name: str = "other"


@dataclass
class Taken:
    """The fate of the events of one request, in their order: an outcome for each event and each refused one."""

    outcomes: list[Outcome] = field(default_factory=list)
    refusals: list[Refused | None] = field(default_factory=list)

    @property
    def complete(self) -> bool:
        """Whether nothing is left that the client should send again."""
        return "not_persisted" not in self.outcomes


@dataclass(slots=True)
class _Making:
    """The parts that the rows of one request share, and the generations among them.

    Attributes:
        known: uuids of the team that were delivered lately.
        empty: generations without content.
    """

    token: ProjectToken
    now: datetime
    received: str
    known: Collection[str]
    generations: int = 0
    empty: int = 0


_Item = TypeVar("_Item")
_Prepared = tuple[Outcome, Refused | None, Output | None, str]
"""The fate of an event, why it is refused, its message, and its uuid if it is written."""


def _as_it_is(event: Any) -> Any:
    return event


def _size(event: Any) -> int:
    return len(event.properties) if isinstance(event, Event) else len(event.raw)


OutsideProbe = Callable[[str], tuple[int, bytes]]
"""Returns status and body of a probe's path as another process answers it. Blocks; OSError if it does not answer."""


class Door:
    """The parts that all requests share. Event loops of several threads may share it too.

    Args:
        now: the clock; aware times.
        probes: answers the probes for this process, because others share its port.

    ValueError from the constructor if a redaction rule of the settings is wrong.
    """

    def __init__(
        self,
        settings: Settings,
        tokens: TokenPoller,
        delivery: Delivery,
        metrics: IngestMetrics,
        *,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        probes: OutsideProbe | None = None,
    ) -> None:
        self.settings = settings.ingest
        self.probes = probes
        self.tokens = tokens
        self.delivery = delivery
        self.metrics = metrics
        give_birth(metrics, role=_STAGE, outcomes=get_args(Outcome), letters=_LETTERS)
        self.budget = ByteBudget(settings.ingest.max_bytes)
        self.now = now
        self.stopping = False
        self.empty = EmptyGenerations()
        self.glance = glance_at(settings.ingest.drop_properties)
        self._rates = Rates()
        self._redactor = Redactor(settings.ingest.redact, settings.ingest.redact_patterns)
        self._topics = settings.kafka.topics
        self._forward = frozenset(settings.ingest.forward)
        delivery.on_tick = self._show_state
        self._max_bytes = min(MAX_EVENT_BYTES, settings.kafka.max_message_bytes - ROOM_BYTES)

    @property
    def ready(self) -> bool:
        """Whether a balancer should send requests here."""
        return self.tokens.ready and self.tokens.alive and not self.delivery.failing and not self.stopping

    def _show_state(self) -> None:
        parts = {
            "tokens": self.tokens.ready and self.tokens.alive,
            "kafka": not self.delivery.failing,
            "process": not self.stopping,
        }
        for part, ready in parts.items():
            self.metrics.set("gavel_ingest_ready", int(ready), part=part)
        self.metrics.set("gavel_ingest_reserved_bytes", self.budget.reserved)

    def check_open(self) -> None:
        """Return if events can be delivered now.

        Raises:
            Refusal: 503, at once, instead of a wait that would end in the same.
        """
        if not self.tokens.ready:
            raise overloaded("not_ready", "The project tokens are not loaded yet. Send this again in a second.")
        if self.delivery.failing:
            raise overloaded("kafka_unavailable", "Kafka does not acknowledge events. Send this again later.", 5)

    async def read(self, request: Request, receive: Receive) -> bytes:
        """Return the body of a request as it came, and count its bytes. Raises as `read_body` does."""
        body = await read_body(receive, request.headers, request.reservation, complete=request.complete)
        request.size_bytes = len(body)
        self.metrics.count("gavel_ingest_bytes", len(body))
        return body

    def authenticate(self, request: Request, text: str | None) -> ProjectToken:
        """Return the token that a request names; count its bytes for it from now on.

        Raises:
            Refusal: 401 without an active token or from a foreign origin, 503 if its share is used up.
        """
        if text is None:
            raise unauthorized("The request names no project token. `gavel tokens create` makes one.")
        text = text.strip()
        if problem := refuse_token(text):
            raise unauthorized(problem)
        token = self.tokens.find(text)
        if token is None:
            raise unauthorized("This project token is not known, or revoked. `gavel tokens list` shows those that are.")
        origin = request.headers.get("origin")
        if origin and token.origins and origin not in token.origins:
            raise unauthorized("This project token may not be used from this origin.")
        request.reservation.assign(token.id)
        return token

    def forwards(self, name: str) -> bool:
        """Return whether events of this name are written."""
        return name in self._forward

    def not_forwarded(self, name: str) -> None:
        """Count an event that is taken but not written."""
        self.metrics.count("gavel_ingest_not_forwarded", event=name if name in KNOWN_EVENTS else OTHER_EVENT)

    def rate(self, request: Request, token: ProjectToken, events: int) -> float:
        """Return 0 and count the request for its token's rate, or the seconds to wait."""
        return self._rates.take(token, events=events, size_bytes=request.size_bytes)

    async def deliver(
        self,
        request: Request,
        token: ProjectToken,
        events: list[_Item],
        *,
        read: Callable[[_Item], Event | Refused] | None = None,
        size_of: Callable[[_Item], int] | None = None,
    ) -> Taken:
        """Send the events and return what became of each. Those that are refused become dead letters.

        The list is empty afterwards: while Kafka is waited for, memory is for the rows alone.

        Args:
            read: makes an event of what the list holds, where those are not events yet. An event and its row are made
                in one go, while its bytes are in the processor's cache.
            size_of: returns the bytes of what `read` is given.

        Raises:
            Refusal: 503, there is no room for the rows.
        """
        taken = Taken()
        messages: list[Output] = []
        places: list[tuple[int, str]] = []
        now = self.now()
        making = _Making(token, now, row_time(now), self.delivery.recent.of_team(token.team_id))
        reservation = request.reservation
        read, size_of = read or _as_it_is, size_of or _size
        copied = 0 if read is _as_it_is else 1
        unreserved = 0
        share = FairShare()
        for index, event in enumerate(events):
            size = size_of(event)
            if share.over(size):
                await asyncio.sleep(0)
            if size > LARGE_BYTES:
                reservation.grow(copied * size)  # the event lies beside the text that it is read from
                outcome, refusal, message, uuid = await aside(self._prepare, event, read, making)
                reservation.shrink(copied * size)
            else:
                outcome, refusal, message, uuid = self._prepare(event, read, making)
            if message is not None:
                unreserved += len(message.value or b"")
                if unreserved > RESERVED_TOGETHER:
                    reservation.grow(unreserved)
                    unreserved = 0
                messages.append(message)
                places.append((index, uuid))
            taken.outcomes.append(outcome)
            taken.refusals.append(refusal)
        events.clear()
        event = None  # type: ignore[assignment]  # one event would keep the whole text
        reservation.grow(unreserved)
        self._note_generations(making)
        written: list[str] = []
        for (place, uuid), acknowledged in zip(places, await self.delivery.send(messages), strict=True):
            if not acknowledged:
                taken.outcomes[place] = "not_persisted"
            elif uuid:
                written.append(uuid)
        self.delivery.recent.remember(token.team_id, written)
        for outcome, amount in Counter(taken.outcomes).items():
            self.metrics.count("gavel_ingest_events", amount, outcome=outcome)
        return taken

    def _prepare(self, item: _Item, read: Callable[[_Item], Event | Refused], making: _Making) -> _Prepared:
        event = read(item)
        if isinstance(event, Refused):
            return self._rejected(event, making)
        name = event.name
        if name not in self._forward:
            self.not_forwarded(name)
            return "not_forwarded", None, None, ""
        if event.uuid in making.known:
            return "repeated", None, None, ""
        if self._redactor.active:
            try:
                event.properties = self._redactor.redact(event.properties)
                event.person_properties = self._redactor.redact_person(event.person_properties)
            except RedactionFailed as error:  # never the payload
                return self._rejected(Refused("redaction_failed", str(error), b"", name), making)
        try:
            message = make_message(
                self._topics.events, event, making.token.team_id, making.received, max_bytes=self._max_bytes
            )
        except InvalidEvent as error:
            return self._rejected(Refused(error.tag, str(error), event.properties, name), making)
        if name == GENERATION_EVENT:
            making.generations += 1
            making.empty += is_empty(event.properties)
        event.properties = b""  # the row has them now, and memory is for one copy
        return "accepted", None, message, event.uuid

    def _rejected(self, refused: Refused, making: _Making) -> _Prepared:
        return "rejected", refused, self._letter(refused, making.token, making.now), ""

    def _note_generations(self, making: _Making) -> None:
        if making.generations:
            self.empty.note(making.token.team_id, empty=making.empty, total=making.generations)
        if making.empty:
            self.metrics.count("gavel_ingest_empty_generations", making.empty)

    def _letter(self, refused: Refused, token: ProjectToken, now: datetime) -> Output:
        source = _Received(
            self._topics.events,
            f"{token.team_id}:".encode(),
            b"" if self._redactor.active else refused.raw,  # an event that is not valid cannot be redacted
            [("team_id", str(token.team_id).encode())],
            int(now.timestamp() * 1000),
        )
        reason: Reason = "too_large" if refused.tag == "ai_event_too_big" else "decode"
        self.metrics.count("gavel_dead_letters", role=_STAGE, reason=reason)
        return dead_letter(
            self._topics.dead_letters,
            source,
            stage=_STAGE,
            reason=reason,
            detail=refused.detail,
            max_bytes=self._max_bytes + ROOM_BYTES,
        )


def over_rate(wait_s: float, *, status: int) -> Refusal:
    """Return the refusal of a token that is over its rate; v1 clients drop on 429, so they get 503."""
    seconds = min(5, max(1, round(wait_s + 0.5)))
    return Refusal(status, "over_rate", "This project token is over its rate. Send this again.", retry_after_s=seconds)


def skew_s(sent_at: datetime, now: datetime) -> float:
    """Return how far a client's clock is from ours, in seconds."""
    return abs((sent_at - now).total_seconds())


class _Received:
    """An event as it came over HTTP, in the shape in which dead letters take a Kafka message. It has no offset."""

    def __init__(self, topic: str, key: bytes, value: bytes, headers: Headers, at_ms: int) -> None:
        self._topic = topic
        self._key = key
        self._value = value
        self._headers = headers
        self._at_ms = at_ms

    def topic(self) -> str:
        return self._topic

    def partition(self) -> int:
        return -1

    def offset(self) -> int:
        return -1

    def key(self) -> bytes:
        return self._key

    def value(self) -> bytes:
        return self._value

    def headers(self) -> Headers:
        return self._headers

    def timestamp(self) -> tuple[int, int]:
        return 1, self._at_ms

    def __len__(self) -> int:
        return len(self._value)
