"""Connections to LLM providers: which endpoints a team wrote, and which the operator or Gavel itself chose."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from config.outbound.addresses import allows_host, check_url
from config.settings.sections import Judge
from evaluators.llm_judge.providers import PROVIDERS, Endpoint

if TYPE_CHECKING:
    import httpx2

_SETTING = "judge.allowed_hosts"


class ProviderConnections:
    """Decides how an endpoint is connected to. Holds no connection; safe to share.

    Args:
        judge: `allowed_hosts` may be called although they are not public; `base_urls` are the operator's gateways.
    """

    def __init__(self, judge: Judge) -> None:
        self._allowed = judge.allowed_hosts
        self._known = {*judge.base_urls.values(), *(known.base_url for known in PROVIDERS.values())}

    def is_checked(self, endpoint: Endpoint) -> bool:
        """Return whether a team chose the address of `endpoint`, so that only a checked address may be connected to."""
        if endpoint.key_type == "trial" or endpoint.address in self._known:
            return False
        try:
            host = urlsplit(endpoint.address).hostname or ""
        except ValueError:
            return True
        return not allows_host(host, self._allowed)

    def check(self, url: str) -> None:
        """Refuse an address that a team may not name, at the time it is stored. Blocks on DNS.

        Raises:
            ForbiddenAddress: see `addresses.check_url`.
        """
        check_url(url, allowed=self._allowed, setting=_SETTING)

    def transport(self, limits: httpx2.Limits) -> httpx2.AsyncHTTPTransport:
        """Return the transport for endpoints that are checked; it belongs to one event loop."""
        # The HTTP package takes a while to load, and the matcher and the sink never call a provider.
        from config.outbound.http import checked_transport

        return checked_transport(allowed=self._allowed, setting=_SETTING, limits=limits)
