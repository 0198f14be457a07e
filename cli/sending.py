"""Sending lines of JSON to a front door: what a line is, batches, rate, retries, and which lines were refused.

SenderRefused (RuntimeError)  the front door takes nothing from this sender, such as with a wrong token
"""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal
from uuid import UUID, uuid5

import httpx2
import orjson

BATCH_EVENTS = 100
_BATCH_BYTES = 1024 * 1024
_TIMEOUT_S = 30.0
_FIRST_WAIT_S, _MAX_WAIT_S = 0.5, 30.0
_AGAIN = frozenset({408, 429, 500, 502, 503, 504})
_TOKEN_KNOWN_WITHIN_S = 4.0
"""Front doors know a new token within two seconds of its making, and `gavel send` may be the next command."""
_ALONE = frozenset({400, 413})
_NAMED_AT_MOST = 1000
_IDS = UUID("5f0a1f4c-4c8c-5b0e-9f5e-0d8a0e2d9a11")
"""Namespace of the ids of events that have none: a line that is sent again is the same event."""

Kind = Literal["event", "otlp"]


class SenderRefused(RuntimeError):
    """The front door takes nothing from this sender; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class SentLine:
    """One line that can be sent.

    Attributes:
        place: `file:line`, for messages.
        body: an event of the capture protocol, or an OTLP request, as JSON.
        count: events, or spans.
    """

    place: str
    kind: Kind
    body: bytes
    count: int


@dataclass
class Report:
    """How many lines were taken, and which were not.

    Attributes:
        sent: events and spans that the front door has acknowledged.
        refused: lines that were not sent, or not taken.
        problems: the first of them, `(place, problem)`.
    """

    sent: int = 0
    refused: int = 0
    requests: int = 0
    retries: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)

    def refuse(self, place: str, problem: str) -> None:
        """Note a line that was not taken."""
        self.refused += 1
        if len(self.problems) < _NAMED_AT_MOST:
            self.problems.append((place, problem))


def read_line(place: str, raw: bytes) -> SentLine:
    """Return what a line is: a row as Kafka carries it, an event of an SDK, or a request of OTLP.

    Raises:
        ValueError: it is none of them; says what is wrong.
    """
    try:
        given = orjson.loads(raw)
    except ValueError:
        raise ValueError("is not JSON; write one JSON object per line") from None
    if not isinstance(given, dict):
        raise ValueError("is not a JSON object")
    if "resourceSpans" in given:
        return SentLine(place, "otlp", raw.strip(), _spans(given))
    if not isinstance(given.get("event"), str) or not given["event"].strip():
        raise ValueError("has no `event` with the event's name, and no `resourceSpans`")
    properties = given.get("properties", {})
    if isinstance(properties, str):  # a row carries them as text
        try:
            properties = orjson.loads(properties)
        except ValueError:
            raise ValueError("`properties` is a text that is not JSON") from None
    if not isinstance(properties, dict):
        raise ValueError("`properties` is not an object")
    event: dict[str, Any] = {"event": given["event"], "properties": properties}
    for name in ("uuid", "distinct_id", "timestamp"):
        if given.get(name) not in (None, ""):
            event[name] = given[name]
    event.setdefault("uuid", str(uuid5(_IDS, raw.strip().decode("utf-8", "replace"))))
    event.setdefault("distinct_id", properties.get("distinct_id") or "gavel send")
    return SentLine(place, "event", orjson.dumps(event), 1)


def _spans(request: dict[str, Any]) -> int:
    try:
        return sum(len(scope["spans"]) for each in request["resourceSpans"] for scope in each["scopeSpans"])
    except (KeyError, TypeError):
        return 0  # the front door says what is wrong with it


class Sender:
    """Sends lines to one front door, a batch at a time.

    Args:
        sleep, clock: seconds.
        retries: tries after the first of one request.
        on_wait: called with the reason and the seconds before a retry.
    """

    def __init__(
        self,
        url: str,
        token: str,
        *,
        rate: float | None,
        retries: int,
        sleep: Callable[[float], object],
        clock: Callable[[], float],
        on_wait: Callable[[str, float], object] = lambda _reason, _wait_s: None,
    ) -> None:
        self._token = token
        self._rate = rate
        self._retries = retries
        self._sleep = sleep
        self._clock = clock
        self._on_wait = on_wait
        self._begun_s: float | None = None
        self._is_known = False
        self._http = httpx2.Client(base_url=url, timeout=_TIMEOUT_S, trust_env=False)
        self._url = url
        self.report = Report()

    def close(self) -> None:
        """Close the connection."""
        self._http.close()

    def send(self, lines: Iterable[tuple[str, bytes]]) -> Iterator[int]:
        """Send lines, given as `(place, content)`, and yield after each request how many lines are dealt with.

        Raises:
            SenderRefused: the front door takes nothing, or did not answer after all retries.
        """
        done = 0
        batch: list[SentLine] = []
        for place, raw in lines:
            done += 1
            try:
                line = read_line(place, raw)
            except ValueError as error:
                self.report.refuse(place, str(error))
                continue
            full = len(batch) >= BATCH_EVENTS or sum(len(each.body) for each in batch) + len(line.body) > _BATCH_BYTES
            if batch and (full or line.kind == "otlp" or batch[0].kind == "otlp"):
                self._send(batch)
                yield done - 1
                batch = []
            batch.append(line)
        if batch:
            self._send(batch)
        yield done

    def _send(self, batch: list[SentLine]) -> None:
        self._keep_rate()
        answer = self._post_until_known(batch)
        count = sum(line.count for line in batch)
        if answer.status_code == 401:
            raise SenderRefused(f"the front door does not accept the token: {_detail(answer)}; see `gavel tokens list`")
        if answer.status_code in _ALONE or (answer.is_success and _rejected(answer)):
            if len(batch) == 1:
                self._refuse(batch[0], answer)
                return
            # The good ones of the batch are there; an event that is sent again is the same event.
            for line in batch:
                self._send([line])
            return
        if not answer.is_success:
            raise SenderRefused(f"{self._url} answers {answer.status_code}: {_detail(answer)}")
        self.report.sent += count

    def _refuse(self, line: SentLine, answer: httpx2.Response) -> None:
        rejected = _rejected(answer) if answer.is_success else line.count
        self.report.sent += max(0, line.count - rejected)
        self.report.refuse(line.place, _detail(answer))

    def _post_until_known(self, batch: list[SentLine]) -> httpx2.Response:
        """Return the answer to a request; the first waits until the front door knows the token. Raises as `_post`."""
        answer = self._post(batch)
        waited_s = 0.0
        while answer.status_code == 401 and not self._is_known and waited_s < _TOKEN_KNOWN_WITHIN_S:
            self._on_wait(f"answer 401: {_detail(answer)}", _FIRST_WAIT_S)
            self._sleep(_FIRST_WAIT_S)
            waited_s += _FIRST_WAIT_S
            answer = self._post(batch)
        self._is_known = answer.status_code != 401
        return answer

    def _post(self, batch: list[SentLine]) -> httpx2.Response:
        """Return the answer to a request, after as many retries as it takes.

        Raises:
            SenderRefused: none of the tries had a final answer.
        """
        path, body, headers = self._request(batch)
        wait_s = _FIRST_WAIT_S
        for attempt in range(self._retries + 1):
            self.report.requests += 1
            try:
                answer = self._http.post(path, content=body, headers=headers)
            except httpx2.TransportError as error:
                reason, asked_s = f"no answer ({type(error).__name__})", 0.0
            else:
                if answer.status_code not in _AGAIN:
                    return answer
                reason, asked_s = f"answer {answer.status_code}: {_detail(answer)}", _retry_after(answer)
            if attempt < self._retries:
                self.report.retries += 1
                self._on_wait(reason, max(wait_s, asked_s))
                self._sleep(max(wait_s, asked_s))
                wait_s = min(wait_s * 2, _MAX_WAIT_S)
        raise SenderRefused(
            f"{self._url}: {reason}, after {self._retries + 1} tries; is `gavel up` or `gavel ingest` running there?"
        )

    def _request(self, batch: list[SentLine]) -> tuple[str, bytes, dict[str, str]]:
        headers = {"Content-Type": "application/json", "Content-Encoding": "gzip", "User-Agent": "gavel-send"}
        if batch[0].kind == "otlp":
            content = batch[0].body
            return "/v1/traces", gzip.compress(content, 1), {**headers, "Authorization": f"Bearer {self._token}"}
        token = orjson.dumps(self._token)
        content = b'{"api_key":' + token + b',"batch":[' + b",".join(line.body for line in batch) + b"]}"
        return "/batch", gzip.compress(content, 1), headers

    def _keep_rate(self) -> None:
        if self._rate is None:
            return
        now = self._clock()
        if self._begun_s is None:
            self._begun_s = now
        ahead_s = self.report.sent / self._rate - (now - self._begun_s)
        if ahead_s > 0:
            self._sleep(ahead_s)


def _rejected(answer: httpx2.Response) -> int:
    """Return how many events or spans of a request were not taken."""
    content = _content(answer)
    partial = content.get("partialSuccess") or {}
    found = content.get("rejected") or partial.get("rejectedSpans") or 0
    return int(found)


def _detail(answer: httpx2.Response) -> str:
    content = _content(answer)
    partial = content.get("partialSuccess") or {}
    text = content.get("detail") or content.get("message") or partial.get("errorMessage")
    return str(text or answer.reason_phrase or "the front door did not take it; see `gavel dlq list`")[:300]


def _content(answer: httpx2.Response) -> dict[str, Any]:
    try:
        content = orjson.loads(answer.content)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _retry_after(answer: httpx2.Response) -> float:
    text = answer.headers.get("retry-after", "")
    return min(float(text), 3600.0) if text.isascii() and text.isdigit() else 0.0
