"""Work on large inputs in a thread of its own, so that the requests of others are served meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import ParamSpec, TypeVar

from ingest.limits import MIB

_Args = ParamSpec("_Args")
_Result = TypeVar("_Result")
LARGE_BYTES = MIB
"""The size from which the work on an input can take tens of milliseconds, which is longer than others should wait."""
LARGE_PACKED_BYTES = 128 * 1024
"""The size of packed bytes from which unpacking them can take as long."""
_thread = ThreadPoolExecutor(1, "gavel-ingest-large")
"""There is one for all event loops of a process: several would take more memory, and the interpreter for longer."""


async def aside(function: Callable[_Args, _Result], *args: _Args.args, **named: _Args.kwargs) -> _Result:
    """Return what `function` returns when the thread has run it. Its errors are raised here."""
    return await asyncio.get_running_loop().run_in_executor(_thread, partial(function, *args, **named))


async def aside_if(
    large: bool, function: Callable[_Args, _Result], *args: _Args.args, **named: _Args.kwargs
) -> _Result:
    """Run a function in the thread if its input is large, and otherwise at once."""
    return await aside(function, *args, **named) if large else function(*args, **named)
