"""Routes that cross one thread per request: the one in which the route waits for its store, and writes its JSON."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from functools import wraps
from typing import Any, Union, get_args, get_type_hints

from anyio import CapacityLimiter
from anyio.to_thread import run_sync
from fastapi import Response
from fastapi.routing import APIRoute
from pydantic import TypeAdapter

_THREADS = 12
"""Requests of one process that wait for stores at a time. More threads than that only wait for Python's lock."""
_NO_BODY = frozenset({204, 304})


class OneHopRoute(APIRoute):
    """A route whose function runs in a worker thread, together with the making of its body.

    FastAPI would give the body's validation and each plain dependency a thread of its own. The bodies of our functions
    are validated already, by the constructors of their models. Functions that are coroutines are left as they are.
    """

    def __init__(self, path: str, endpoint: Callable[..., Any], **options: Any) -> None:
        if not inspect.iscoroutinefunction(endpoint):
            endpoint = _in_one_thread(endpoint, options.get("status_code"))
        super().__init__(path, endpoint, **options)


def _in_one_thread(endpoint: Callable[..., Any], status: int | None) -> Callable[..., Any]:
    limiter: CapacityLimiter | None = None
    body_of = _Body(endpoint)

    def work(given: dict[str, Any]) -> Response:
        found = endpoint(**given)
        if isinstance(found, Response):
            return found
        told = next((value for value in given.values() if isinstance(value, Response)), None)
        code = (told.status_code if told is not None else None) or status or 200
        answer = Response(None if code in _NO_BODY else body_of(found), code, media_type="application/json")
        if told is not None:
            answer.raw_headers.extend(told.raw_headers)
        return answer

    @wraps(endpoint)
    async def route(**given: Any) -> Response:
        nonlocal limiter
        limiter = limiter or CapacityLimiter(_THREADS)
        return await run_sync(work, given, limiter=limiter)

    return route


class _Body:
    """Writes what a route returns as JSON, by the type that the route declares."""

    def __init__(self, endpoint: Callable[..., Any]) -> None:
        self._endpoint = endpoint
        self._adapter: TypeAdapter[Any] | None = None

    def __call__(self, found: Any) -> bytes:
        if self._adapter is None:
            # At the first request, because names of the module may be defined after the route.
            self._adapter = TypeAdapter(
                _without_response(get_type_hints(self._endpoint, include_extras=True)["return"])
            )
        return self._adapter.dump_json(found, by_alias=True)


def _without_response(declared: Any) -> Any:
    """Return `A` of `A | Response`."""
    kept = [each for each in get_args(declared) if not (isinstance(each, type) and issubclass(each, Response))]
    return Union[tuple(kept)] if Response in get_args(declared) else declared  # noqa: UP007  # made at run time
