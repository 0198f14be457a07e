"""The order in which a label queue takes results."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256


def label_order(queue_id: str, result_ids: Iterable[str]) -> list[str]:
    """Return result ids in the queue's order, whose first n are a simple random sample of size n.

    The order is that of SHA-256 over `label:<queue id>:<result uuid>`. Both must be in canonical, lower-case form,
    because another spelling gives another order. The prefix keeps the sample independent of rollouts and of other
    queues.
    """
    return sorted(result_ids, key=lambda result_id: sha256(f"label:{queue_id}:{result_id}".encode()).digest())
