"""The breaker of one key and model: stops calls that cannot succeed, and finds out by itself when they can again."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from evaluators.llm_judge.failures import REASONS, TRANSIENT, FailureKind, ProviderFailure

LASTING_FAILURES = 3
"""Failures in a row of a key or model before it counts as broken."""
MAX_PROBE_S = 600.0
_PATIENCE = 4

State = Literal["closed", "open", "half_open"]


class Breaker:
    """Closed: calls pass. Open: none does. Half-open: one probe decides.

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
        self.state: State = "closed"
        self.cause: FailureKind = "unavailable"
        self.detail = ""

    @property
    def reason(self) -> str | None:
        """The status reason of what opened it; None for a passing trouble of the provider or if it is closed."""
        return None if self.state == "closed" else REASONS.get(self.cause)

    def allows(self) -> bool:
        """Whether a call may be made now. A call that is allowed in the half-open state is the probe: note its end."""
        if self.state == "closed":
            return True
        if self.state == "open" and self._clock() >= self._probe_at:
            self.state = "half_open"
            return True
        return False

    def may_allow(self) -> bool:
        """Whether `allows` would say yes; changes nothing."""
        return self.state == "closed" or self.probe_due()

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
        self._probe_s = self._first_probe_s
        if self.state == "closed":
            return False
        self.state = "closed"
        self.detail = ""
        return True

    def failed(self, failure: ProviderFailure) -> bool:
        """Note a call that failed because of the provider, key or model. Returns whether this opened the breaker."""
        if self.state == "half_open":
            self._open(failure, again=True)
            return False
        transient = failure.kind in TRANSIENT
        same = self._last_kind is not None and (self._last_kind in TRANSIENT) == transient
        self._in_a_row = self._in_a_row + 1 if same else 1
        self._last_kind = failure.kind
        limit = self._failures if transient else LASTING_FAILURES
        if failure.kind == "rate_limited":
            limit *= _PATIENCE  # it is answered by slowing down first
        if self._in_a_row < limit or self.state != "closed":
            return False
        self._open(failure, again=False)
        return True

    def _open(self, failure: ProviderFailure, *, again: bool) -> None:
        self.state = "open"
        self.cause = failure.kind
        self.detail = failure.detail
        if again:
            self._probe_s = min(self._probe_s * 2, MAX_PROBE_S)
        wait = self._probe_s * (0.75 + 0.5 * self._random())
        self._probe_at = self._clock() + max(wait, min(failure.retry_after_s or 0.0, MAX_PROBE_S))

    def force_open(self, cause: FailureKind, detail: str, *, probe_in_s: float) -> None:
        """Take over from outside that the key or model is broken: what another process found, or a restart."""
        self.state = "open"
        self.cause = cause
        self.detail = detail
        self._probe_at = self._clock() + probe_in_s

    def abandon_probe(self) -> None:
        """Note that the probe ended without an answer to the question; another may be made at once."""
        if self.state == "half_open":
            self.state = "open"
            self._probe_at = self._clock()
