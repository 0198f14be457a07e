"""The memory that the values of a run take, by a census of live values.

Values are not counted as they come and go: that would cost more than the program. Allocations are only added
up. When the sum passes the limit, a census measures the live values: the variables of every frame of the run and
all that they reach.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any

from evaluators.hog.runtime.values import HogError, HogFunction

_SMALL_TEXT = 64
_SMALL_TEXT_BYTES = 64
_NUMBER_BYTES = 32
_CONTAINER_BYTES = 64
"""Added to what the host says of a container: the measuring itself keeps so much for each."""
_CHECK_EVERY = 4096
SAMPLE = 64
"""Values that `quick_size` looks at before it gives up."""


def quick_size(value: Any) -> int | None:
    """Return the bytes of a value if it consists of few parts, else None."""
    kind = type(value)
    if kind is str:
        return sys.getsizeof(value)
    if kind not in (list, tuple, dict):
        return _NUMBER_BYTES
    total, queue, looked = 0, [value], 0
    while queue:
        looked += 1
        if looked > SAMPLE:
            return None
        item = queue.pop()
        total += sys.getsizeof(item)
        if type(item) is dict:
            if len(item) > SAMPLE:
                return None
            queue.extend(item.values())
        elif type(item) is list or type(item) is tuple:
            if len(item) > SAMPLE:
                return None
            queue.extend(item)
        elif isinstance(item, (HogFunction, HogError)):
            return None
    return total


def live_bytes(root: CodeType | None, limit_bytes: int, check_time: Callable[[], None]) -> int:
    """Return the bytes of all values that the frames above `root` (the code of the run's entry) hold.

    Stops counting above `limit_bytes`. `check_time` is called now and then and may raise.
    """
    queue: list[Any] = []
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the only way to the variables of the running program
    while frame is not None and frame.f_code is not root:
        queue.extend(frame.f_locals.values())
        frame = frame.f_back
    return _measure(queue, limit_bytes, check_time)


def _measure(queue: list[Any], limit_bytes: int, check_time: Callable[[], None]) -> int:
    total, looked = 0, 0
    seen: set[int] = set()
    while queue:
        looked += 1
        if looked % _CHECK_EVERY == 0:
            check_time()
            if total > limit_bytes:
                return total
        item = queue.pop()
        kind = type(item)
        if kind is int or kind is float:
            total += _NUMBER_BYTES
        elif kind is str and len(item) < _SMALL_TEXT:
            total += _SMALL_TEXT_BYTES
        elif kind in _REACHES and id(item) not in seen:
            seen.add(id(item))
            total += sys.getsizeof(item) + _OVERHEAD_BYTES.get(kind, _CONTAINER_BYTES)
            _REACHES[kind](item, queue)
    return total


def _nothing(_item: Any, _queue: list[Any]) -> None:
    return


def _elements(item: Any, queue: list[Any]) -> None:
    queue.extend(item)


def _entries(item: dict[Any, Any], queue: list[Any]) -> None:
    queue.extend(item.keys())
    queue.extend(item.values())


def _function(item: HogFunction, queue: list[Any]) -> None:
    _captured(item.code, queue)


def _captured(code: Any, queue: list[Any]) -> None:
    for cell in code.__closure__ or ():
        try:
            queue.append(cell.cell_contents)
        except ValueError:  # a variable that its function has not set yet
            continue
    queue.extend((code.__kwdefaults__ or {}).values())


def _error(item: HogError, queue: list[Any]) -> None:
    queue.append(item.message)
    queue.append(item.payload)


_REACHES: dict[type, Callable[[Any, list[Any]], None]] = {
    str: _nothing,
    bytes: _nothing,
    list: _elements,
    tuple: _elements,
    dict: _entries,
    HogFunction: _function,
    HogError: _error,
    type(_nothing): _captured,
}
_OVERHEAD_BYTES: dict[type, int] = {str: 0, bytes: 0, HogFunction: 640}
"""Instead of `_CONTAINER_BYTES`. A function has one of the host with it, with cells and tables of defaults."""
