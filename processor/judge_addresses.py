"""Keeps judges from calling where a team's `base_url` must not lead: checked again at the time of the call.

The API checks an address when a key is stored; a name can resolve to something else a moment later.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor
from typing import Any

from config.outbound import ForbiddenAddress, check_url
from evaluators.llm_judge.client import Caller, Completion
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.providers import PROVIDERS, Endpoint

_FRESH_S = 30.0


class GuardedCaller:
    """Makes calls by another caller, to addresses that may be called.

    Args:
        allowed: hosts and networks that may be called although they are not public.
        trusted: addresses that the operator configured; never checked.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        caller: Caller,
        *,
        allowed: Sequence[str],
        trusted: Sequence[str],
        executor: Executor | None,
        clock: Callable[[], float],
    ) -> None:
        self._caller = caller
        self._allowed = tuple(allowed)
        self._trusted = {*trusted, *(known.base_url for known in PROVIDERS.values())}
        self._executor = executor
        self._clock = clock
        self._checked: dict[str, tuple[float, str | None]] = {}

    async def complete(self, endpoint: Endpoint, payload: Mapping[str, Any], *, marker: str) -> Completion:
        """See `Caller.complete`. An address that may not be called is a `forbidden` failure."""
        await self._check(endpoint)
        return await self._caller.complete(endpoint, payload, marker=marker)

    async def list_models(self, endpoint: Endpoint) -> list[str]:
        """See `Caller.list_models`."""
        await self._check(endpoint)
        return await self._caller.list_models(endpoint)

    async def _check(self, endpoint: Endpoint) -> None:
        address = endpoint.address
        if endpoint.key_type == "trial" or address in self._trusted:
            return
        known = self._checked.get(address)
        if known is None or self._clock() - known[0] >= _FRESH_S:
            problem = await asyncio.get_running_loop().run_in_executor(self._executor, self._problem, address)
            if len(self._checked) >= 10_000:
                self._checked.clear()
            known = self._checked[address] = (self._clock(), problem)
        if known[1] is not None:
            raise ProviderFailure("forbidden", known[1])

    def _problem(self, address: str) -> str | None:
        try:
            check_url(address, allowed=self._allowed, setting="judge.allowed_hosts")
        except ForbiddenAddress as error:
            return str(error)
        return None
