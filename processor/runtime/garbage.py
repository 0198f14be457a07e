"""How often Python looks for garbage in a process that runs for long."""

from __future__ import annotations

import gc

_YOUNG = 50_000


def tune_collector() -> None:
    """Make the cyclic collector rare, and keep it away from what lives until the end. Called once, before work starts.

    Records and rows hold no cycles and are freed by reference counting. By default the collector starts after every
    700 new containers and walks whatever a batch has in flight, again and again, for nothing. Real cycles are still
    found, only later.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_YOUNG, 20, 100)
