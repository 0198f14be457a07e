"""Callers of providers within the operator's limits, for all parts of the product that call a model."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from config.outbound.providers import ProviderConnections
from config.settings.sections import Judge
from evaluators.llm_judge.caller import Timeouts

if TYPE_CHECKING:
    from evaluators.llm_judge.openai_caller import OpenAICaller


def caller_of(
    judge: Judge,
    *,
    max_connections: int = 16,
    at_most: Timeouts | None = None,
    checked: bool = True,
    most_reply_bytes: int | None = None,
    now: Callable[[], float] = time.time,
) -> OpenAICaller:
    """Return a caller within the limits of `judge`. It belongs to the running event loop, and must be closed.

    Args:
        at_most: the caller's own times, for somebody who cannot wait as long as a judge; the shorter ones hold.
        checked: refuse an address that only the operator may call. False for an operator who names the address.
        most_reply_bytes: the limit of a reply that is larger by its nature than a judge's, such as embeddings.
        now: epoch seconds.
    """
    # The provider's package takes a second to load, and most processes call nobody.
    from evaluators.llm_judge.openai_caller import OpenAICaller

    return OpenAICaller(
        timeouts_of(judge, at_most),
        now=now,
        max_connections=max_connections,
        max_reply_bytes=most_reply_bytes or judge.max_reply_bytes,
        connections=ProviderConnections(judge) if checked else None,
    )


def timeouts_of(judge: Judge, at_most: Timeouts | None = None) -> Timeouts:
    """Return the times of `judge`, each as `at_most` has it if that is shorter."""
    found = Timeouts(connect_s=judge.connect_timeout_s, read_s=judge.read_timeout_s, call_s=judge.call_deadline_s)
    if at_most is None:
        return found
    return Timeouts(
        connect_s=min(found.connect_s, at_most.connect_s),
        read_s=min(found.read_s, at_most.read_s),
        call_s=min(found.call_s, at_most.call_s),
    )
