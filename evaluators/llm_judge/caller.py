"""Calls to providers: an interface whose methods answer or raise `ProviderFailure`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from evaluators.llm_judge.providers import Endpoint


@dataclass(frozen=True, slots=True)
class Token:
    """One token of an answer, with the natural logarithms of the probabilities of those that might stand there."""

    text: str
    alternatives: tuple[tuple[str, float], ...]


@dataclass(frozen=True, slots=True)
class Completion:
    """One answer.

    Attributes:
        text: the arguments of the tool call if there is one, else the message's text.
        refused: the model or the provider's filter declined to answer.
        cut_off: the answer ended at the token limit.
        model: that answered, as the provider names it.
        system_fingerprint: of the model's configuration, as some providers name it; empty if the reply has none.
        tokens_estimated: the provider reported no usage, so that the tokens are estimated from the texts.
        logprobs: the tokens of the message's text; empty if the provider gave none, or the answer is a tool call.
        note: what explains that there is no text, for a person; empty if nothing does.
    """

    text: str
    refused: bool
    cut_off: bool
    model: str
    input_tokens: int
    output_tokens: int
    tokens_estimated: bool = False
    note: str = ""
    logprobs: tuple[Token, ...] = ()
    system_fingerprint: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeouts:
    """Seconds: to connect, without a byte, and for one call in all."""

    connect_s: float
    read_s: float
    call_s: float


class Caller(Protocol):
    """Calls models."""

    async def complete(self, endpoint: Endpoint, payload: Mapping[str, Any], *, marker: str) -> Completion:
        """Make one call.

        Args:
            payload: parameters of a chat completion.
            marker: the evaluation's id, for the header.

        Raises:
            ProviderFailure: there is no answer.
        """

    async def list_models(self, endpoint: Endpoint) -> list[str]:
        """Return the ids of the endpoint's models.

        Raises:
            ProviderFailure: there is no answer.
        """
