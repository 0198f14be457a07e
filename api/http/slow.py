"""Routes that may take long: they run off the threads that serve all other requests."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial, wraps
from typing import Any, TypeVar

from api.http.errors import Throttled
from api.services.resources import Services
from api.services.slow_work import TooBusy
from storage.sql.api_keys import ApiKey

T = TypeVar("T")

_RETRY_AFTER_S = 5.0


def slow(route: Callable[..., T]) -> Callable[..., Awaitable[T]]:
    """Mark a route that waits for a provider, for much of the archive or for code of the team.

    The route takes `caller` and `services`. It is answered 429 while the key or the team has as many such requests in
    progress as the settings `api.slow_…` allow.
    """

    @wraps(route)
    async def waits(**given: Any) -> T:
        caller: ApiKey = given["caller"]
        services: Services = given["services"]
        try:
            return await services.slow.run(caller.team_id, caller.id, partial(route, **given))
        except TooBusy as error:
            raise Throttled(_RETRY_AFTER_S) from error

    return waits
