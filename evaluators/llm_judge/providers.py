"""The providers that judges can use, and their endpoints. All of them speak OpenAI's protocol.

Definitions, settings, the API, the console and the command line take their names from here, and so does the table of
`docs/judges.md`, which `make docs` makes.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, get_args

ProviderName = Literal[
    "openai", "azure_openai", "anthropic", "gemini", "openrouter", "fireworks", "together_ai", "custom"
]
"""The names of the table below, for types and JSON Schemas."""


@dataclass(frozen=True, slots=True)
class Provider:
    """One row of the table.

    Attributes:
        base_url: of the public endpoint; None where the key brings its own.
        default_model: for evaluations that name none; None if there is no sensible one.
        free: calls cost the operator nothing that a price table could know.
        needs: the fields that a team gives for it, as the documentation says it.
    """

    base_url: str | None
    default_model: str | None = None
    free: bool = False
    needs: str = "key"


PROVIDERS: Mapping[str, Provider] = {
    "openai": Provider("https://api.openai.com/v1", "gpt-5-mini"),
    "azure_openai": Provider(
        None, needs="key, `azure_endpoint`, `api_version`; the model is the name of the deployment"
    ),
    "anthropic": Provider("https://api.anthropic.com/v1", "claude-haiku-4-5"),
    "gemini": Provider("https://generativelanguage.googleapis.com/v1beta/openai", "gemini-2.5-flash"),
    "openrouter": Provider("https://openrouter.ai/api/v1", "openai/gpt-5-mini"),
    "fireworks": Provider("https://api.fireworks.ai/inference/v1"),
    "together_ai": Provider("https://api.together.xyz/v1"),
    "custom": Provider(None, free=True, needs="`base_url`; a key if the server wants one"),
}

if set(PROVIDERS) != set(get_args(ProviderName)):
    raise RuntimeError("the table of providers and their names differ")

DEFAULT_AZURE_API_VERSION = "2024-10-21"


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """Where calls go and with which key.

    Attributes:
        base_url: set for every provider but `azure_openai`, which has `azure_endpoint` and `api_version`.
        api_key: in the clear; never shown by `repr`.
        key_id: of the team's key; None for the operator's own (trial).
    """

    provider: str
    api_key: str = field(repr=False)
    base_url: str | None = None
    azure_endpoint: str | None = None
    api_version: str | None = None
    key_id: str | None = None
    key_type: Literal["own", "trial"] = "own"

    @property
    def address(self) -> str:
        """The URL that is called, without the key: what capabilities are remembered by."""
        return self.azure_endpoint or self.base_url or ""

    @property
    def key_name(self) -> str:
        """The name of the key in gates and logs; it holds nothing secret."""
        return self.key_id or f"{self.key_type}:{self.provider}"

    def identity(self) -> str:
        """Return a digest that differs between any two endpoints, key included."""
        parts = (self.provider, self.address, self.api_version or "", self.api_key)
        return hashlib.sha256("\0".join(parts).encode("utf-8", "replace")).hexdigest()


class EndpointError(ValueError):
    """A key lacks a field that its provider needs; the text names the field.

    Attributes:
        attr: the field at fault.
    """

    def __init__(self, message: str, *, attr: str = "base_url") -> None:
        super().__init__(message)
        self.attr = attr


def make_endpoint(
    provider: str,
    api_key: str,
    *,
    base_url: str | None = None,
    azure_endpoint: str | None = None,
    api_version: str | None = None,
    base_urls: Mapping[str, str] | None = None,
    key_id: str | None = None,
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
        raise EndpointError(f"provider {provider!r} is unknown; choose one of {', '.join(PROVIDERS)}", attr="provider")
    url = base_url or (base_urls or {}).get(provider) or known.base_url
    if provider == "azure_openai":
        if not azure_endpoint:
            raise EndpointError("azure_endpoint is missing; give https://NAME.openai.azure.com", attr="azure_endpoint")
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
        key_type=key_type,
    )
