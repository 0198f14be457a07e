"""The providers that judges can use, and how each is reached: all speak OpenAI's protocol."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

ProviderName = Literal[
    "openai", "azure_openai", "anthropic", "gemini", "openrouter", "fireworks", "together_ai", "custom"
]


@dataclass(frozen=True, slots=True)
class Provider:
    """One row of the table.

    Attributes:
        base_url: of the public endpoint; None where the key brings its own.
        default_model: for evaluations that name none; None if there is no sensible one.
        free: calls cost the operator nothing that a price table could know.
    """

    base_url: str | None
    default_model: str | None = None
    free: bool = False


PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider("https://api.openai.com/v1", "gpt-5-mini"),
    "azure_openai": Provider(None),
    "anthropic": Provider("https://api.anthropic.com/v1", "claude-haiku-4-5"),
    "gemini": Provider("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-flash"),
    "openrouter": Provider("https://openrouter.ai/api/v1", "openai/gpt-5-mini"),
    "fireworks": Provider("https://api.fireworks.ai/inference/v1"),
    "together_ai": Provider("https://api.together.xyz/v1"),
    "custom": Provider(None, free=True),
}

DEFAULT_AZURE_API_VERSION = "2024-10-21"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where calls go and with which key.

    Attributes:
        base_url: set for every provider but `azure_openai`, which has `azure_endpoint` and `api_version`.
        api_key: in the clear; never shown by `repr`.
        key_id: of the team's key; None for the operator's own (trial).
        key_revision: differs when the key was replaced or changed, so that what is known of the old one is forgotten.
    """

    provider: str
    api_key: str = field(repr=False)
    base_url: str | None = None
    azure_endpoint: str | None = None
    api_version: str | None = None
    key_id: str | None = None
    key_revision: str = ""
    key_type: Literal["own", "trial"] = "own"

    @property
    def address(self) -> str:
        """The URL that is called, without the key: what capabilities are remembered by."""
        return self.azure_endpoint or self.base_url or ""

    @property
    def key_name(self) -> str:
        """What the key is known by in gates and logs; holds nothing secret."""
        return self.key_id or f"{self.key_type}:{self.provider}"

    def identity(self) -> str:
        """Return a digest that differs between any two endpoints, key included."""
        parts = (self.provider, self.address, self.api_version or "", self.api_key)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


class EndpointError(ValueError):
    """A key without what its provider needs; the text names the field."""


def make_endpoint(
    provider: str,
    api_key: str,
    *,
    base_url: str | None = None,
    azure_endpoint: str | None = None,
    api_version: str | None = None,
    base_urls: Mapping[str, str] | None = None,
    key_id: str | None = None,
    key_revision: str = "",
    key_type: Literal["own", "trial"] = "own",
) -> Endpoint:
    """Return the endpoint of a key.

    Args:
        base_url: of a `custom` provider; for others it replaces the public endpoint.
        base_urls: the operator's gateway per provider; replaces the public endpoint.

    Raises:
        EndpointError: unknown provider, or `custom` without `base_url`, or `azure_openai` without `azure_endpoint`.
    """
    known = PROVIDERS.get(provider)
    if known is None:
        raise EndpointError(f"provider {provider!r} is unknown; choose one of {', '.join(PROVIDERS)}")
    url = base_url or (base_urls or {}).get(provider) or known.base_url
    if provider == "azure_openai":
        if not azure_endpoint:
            raise EndpointError("azure_endpoint is missing; give https://NAME.openai.azure.com")
        api_version = api_version or DEFAULT_AZURE_API_VERSION
    elif not url:
        raise EndpointError("base_url is missing; give the address of the endpoint, such as http://host:8000/v1")
    return Endpoint(
        provider=provider,
        api_key=api_key,
        base_url=None if provider == "azure_openai" else url,
        azure_endpoint=azure_endpoint if provider == "azure_openai" else None,
        api_version=api_version if provider == "azure_openai" else None,
        key_id=key_id,
        key_revision=key_revision,
        key_type=key_type,
    )
