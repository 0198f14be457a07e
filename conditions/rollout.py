"""Which events a rollout percentage takes: the same events everywhere, at any time.

There is no salt and no random number. A smaller percentage takes a subset of what a larger one takes, and
all evaluations of the shared cohort look at the same events.
"""

from __future__ import annotations

try:  # the same MD5 without the set-up of OpenSSL, which takes longer than the hash
    from _md5 import md5  # type: ignore[import-not-found]  # a part of CPython that typeshed leaves out
except ImportError:
    from hashlib import md5

BUCKETS = 10_000


def rollout_number(key: str) -> float:
    """Return where `key` falls in 0.00 … 99.99, in steps of 0.01.

    The first 8 hex digits of MD5(key), read as an unsigned number, modulo 10 000, divided by 100. A lone
    surrogate in the key is hashed as its three-byte form instead of failing.
    """
    digest = md5(key.encode("utf-8", "surrogatepass"), usedforsecurity=False).hexdigest()
    return int(digest[:8], 16) % BUCKETS / 100


def rollout_takes(number: float, rollout_percentage: float) -> bool:
    """Tell whether an event at `number` is in: exactly when it is below the percentage.

    0 takes none; 100 takes all, since no number reaches it.
    """
    return number < rollout_percentage


def independent_key(evaluation_id: str, uuid: str) -> str:
    """Return the key of an evaluation that samples on its own (cohort `independent`)."""
    return f"{evaluation_id}:{uuid}"
