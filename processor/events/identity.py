"""Identities that any machine reproduces at any time: no clock and nothing random enters them.

The same event, evaluation and trigger give the same `run_key`, and the same `run_key` gives the same
result id, so a retry, a crash or a replay shows one result, not two.
"""

from __future__ import annotations

from hashlib import sha1
from typing import Literal
from uuid import NAMESPACE_URL

Trigger = Literal["live", "manual", "backfill", "replay", "measurement"]

_PREFIX: dict[str, str] = {"llm_judge": "llma-llm-eval", "hog": "llma-hog-eval"}
_VARIANTS = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
"""Hexadecimal digit → the digit of a UUID's variant: the bits `10` and the two lowest bits of the digit."""
_SEED = sha1(NAMESPACE_URL.bytes + b"posthog://ai-evaluation/", usedforsecurity=False)


def run_key(
    runtime: str,
    evaluation_id: str,
    event_uuid: str,
    *,
    manual_at_ms: int | None = None,
    backfill_id: str | None = None,
) -> str:
    """Return the key of one run of one evaluation over one event.

    Args:
        runtime: `llm_judge` or `hog`; anything else is a KeyError.
        manual_at_ms: epoch milliseconds of a manual request; each request is a run of its own.
        backfill_id: of a rerun. A replay that asks for no rerun has the key of the live run.
    """
    head, tail = run_key_frame(runtime, evaluation_id, backfill_id=backfill_id)
    if manual_at_ms is not None:
        tail = f"-manual-{manual_at_ms}"
    return f"{head}{event_uuid}{tail}"


def run_key_frame(runtime: str, evaluation_id: str, *, backfill_id: str | None = None) -> tuple[str, str]:
    """Return the texts before and behind the event's uuid in the keys of an evaluation's runs; see `run_key`."""
    tail = "-ingestion" if backfill_id is None else f"-ingestion-backfill-{backfill_id}"
    return f"{_PREFIX[runtime]}-{evaluation_id}-", tail


def result_uuid(key: str) -> str:
    """Return UUIDv5(URL namespace, `posthog://ai-evaluation/` + key) as text (RFC 9562, section 5.5)."""
    digest = _SEED.copy()
    digest.update(key.encode())
    return _as_uuid(digest.hexdigest())


def url_uuid(name: str) -> str:
    """Return UUIDv5(URL namespace, `name`) as text, several times as fast as the standard library."""
    return _as_uuid(sha1(NAMESPACE_URL.bytes + name.encode(), usedforsecurity=False).hexdigest())


def _as_uuid(h: str) -> str:
    """Return the UUID of version 5 that the hexadecimal SHA-1 of a name makes."""
    return f"{h[:8]}-{h[8:12]}-5{h[13:16]}-{_VARIANTS[h[16]]}{h[17:20]}-{h[20:32]}"
