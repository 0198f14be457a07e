"""The breaker of one key and model: stops calls that cannot succeed, and finds out by itself when they can again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from evaluators.llm_judge.failures import REASONS, TRANSIENT, FailureKind, ProviderFailure

LASTING_FAILURES = 3
"""Failures in a row of a key or model before it is suspected to be broken."""
STEADY_S = 600.0
"""Seconds that a breaker must have been closed before its probes begin anew. Sooner it flaps, and they slow further."""
MAX_PROBE_S = 600.0
_PATIENCE = 4

BreakerState = Literal["closed", "open", "half_open"]


class Breaker:
    """Closed: calls pass. Open: none does. Half-open: one neutral probe decides.

    Failures that pass by themselves open it. Failures of key, quota or model only make it *suspected*, because a
    provider refuses a single text in the same words: it opens when the neutral probe fails as well (`confirm`).

    Args:
        failures: transient failures in a row that open it.
        probe_s: until the first probe; doubles with each that fails, up to ten minutes, with jitter so that
            the processes of a group do not probe in step.
        clock: monotonic seconds.
        random: uniform in [0, 1).
    """

    def __init__(
        self, *, failures: int, probe_s: float, clock: Callable[[], float], random: Callable[[], float]
    ) -> None:
        self._failures = failures
        self._first_probe_s = probe_s
        self._clock = clock
        self._random = random
        self._in_a_row = 0
        self._last_kind: FailureKind | None = None
        self._probe_s = probe_s
        self._probe_at = 0.0
        self._closed_at = float("-inf")
        self.state: BreakerState = "closed"
        self.cause: FailureKind = "unavailable"
        self.detail = ""

    @property
    def reason(self) -> str | None:
        """The status reason of what opened it; None for a passing trouble of the provider or if it is closed."""
        return None if self.state == "closed" else REASONS.get(self.cause)

    @property
    def suspected(self) -> bool:
        """Whether so many lasting failures came in a row that the neutral probe is to be asked."""
        lasting = self._last_kind is not None and self._last_kind not in TRANSIENT
        return self.state == "closed" and lasting and self._in_a_row >= LASTING_FAILURES

    def allows(self) -> bool:
        """Whether a probe may be made now. In the half-open state its end must be noted."""
        if self.state == "closed":
            return True
        if self.state == "open" and self._clock() >= self._probe_at:
            self.state = "half_open"
            return True
        return False

    def probe_due(self) -> bool:
        """Whether it is open and the time for a probe has come."""
        return self.state == "open" and self._clock() >= self._probe_at

    def wait_s(self) -> float:
        """Seconds until the next probe; 0 if calls pass."""
        if self.state == "closed":
            return 0.0
        return max(0.0, self._probe_at - self._clock())

    def succeeded(self) -> bool:
        """Note a call that the provider answered. Returns whether this closed the breaker."""
        self._in_a_row = 0
        self._last_kind = None
        if self.state == "closed":
            return False
        self.state = "closed"
        self._closed_at = self._clock()
        self.detail = ""
        return True

    def failed(self, failure: ProviderFailure) -> bool:
        """Note a call that failed because of the provider, key or model. Returns whether this opened the breaker."""
        if self.state == "half_open":
            self._open(failure, again=True)
            return False
        opens = self.would_open(failure)
        self._in_a_row = self._row_with(failure)
        self._last_kind = failure.kind
        if opens:
            self._open(failure, again=False)
        return opens

    def would_open(self, failure: ProviderFailure) -> bool:
        """Whether noting this failure would open it; changes nothing."""
        limit = self._failures
        if failure.kind == "rate_limited":
            limit *= _PATIENCE  # it is answered by slowing down first
        return failure.kind in TRANSIENT and self.state == "closed" and self._row_with(failure) >= limit

    def _row_with(self, failure: ProviderFailure) -> int:
        """Return the failures in a row with this one, of those that pass or of those that last."""
        same = self._last_kind is not None and (self._last_kind in TRANSIENT) == (failure.kind in TRANSIENT)
        return self._in_a_row + 1 if same else 1

    def confirm(self, failure: ProviderFailure) -> bool:
        """Note that the neutral probe failed as the calls did. Returns whether this opened the breaker."""
        if self.state != "closed":
            return False
        self._open(failure, again=self._clock() - self._closed_at < STEADY_S)
        return True

    def _open(self, failure: ProviderFailure, *, again: bool) -> None:
        self.state = "open"
        self.cause = failure.kind
        self.detail = failure.detail
        self._probe_s = min(self._probe_s * 2, MAX_PROBE_S) if again else self._first_probe_s
        wait = self._probe_s * (0.75 + 0.5 * self._random())
        self._probe_at = self._clock() + max(wait, min(failure.retry_after_s or 0.0, MAX_PROBE_S))

    def force_open(self, cause: FailureKind, detail: str, *, probe_in_s: float) -> None:
        """Take over that the key or model is broken, as another process found or this one did before its restart."""
        self.state = "open"
        self.cause = cause
        self.detail = detail
        self._probe_at = self._clock() + probe_in_s

    def abandon_probe(self) -> None:
        """Note that the probe ended without an answer to the question; another may be made at once."""
        if self.state == "half_open":
            self.state = "open"
            self._probe_at = self._clock()
