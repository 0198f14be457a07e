"""A message, and the ways in which an attempt to send it can end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Ending = Literal["delivered", "retry", "failed", "unknown"]


@dataclass(frozen=True, slots=True)
class ReportMessage:
    """One report for one target. Every attempt to send it has the same `identity`.

    Attributes:
        identity: of the run and the target: what a receiver knows a repetition by.
        title: one line.
        text: the report in Markdown.
        html: the report as a page.
        payload: the report in JSON.
        link: address of the report in the API; empty if it is not known.
    """

    identity: str
    title: str
    text: str
    html: str
    payload: Mapping[str, Any]
    link: str = ""


@dataclass(frozen=True, slots=True)
class DeliveryOutcome:
    """How an attempt ended.

    Attributes:
        ending: `delivered`: the receiver has it. `retry`: the receiver does not have it and may take it later.
            `failed`: the receiver will not take it. `unknown`: it was sent, and no answer came.
        error: why it is not delivered; holds no secret and no body of an answer.
        retry_after_s: how long the receiver asks to wait, if it does.
    """

    ending: Ending
    error: str = ""
    retry_after_s: float | None = None


DELIVERED = DeliveryOutcome("delivered")
