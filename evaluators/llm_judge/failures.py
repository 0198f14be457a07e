"""The kinds of failure of a call to a provider, and whose fault each of them is.

Fault      kinds                              what happens to the run                 to key and evaluation
text       content_filtered                   skip `content_filtered`                 nothing
form       unsupported_*, bad_request         again in another form of the request    `model_not_supported` at the end
context    context_too_long                   once more with less text, then skip     nothing
key        unauthorized, forbidden            parked                                  status change
quota      quota                              parked                                  status change
model      model_not_found, wrong_address     parked                                  status change
overload   rate_limited                       again later, fewer calls at a time      nothing
outage     unavailable                        again later                             nothing

A failure only proposes a status change (`ProviderFailure.proposes`). `Judge` asks a neutral probe before it opens a
breaker: when the provider answers it, the fault lies with the text or the request, and no status changes.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

FailureKind = Literal[
    "unavailable",
    "rate_limited",
    "unauthorized",
    "forbidden",
    "quota",
    "wrong_address",
    "model_not_found",
    "context_too_long",
    "content_filtered",
    "unsupported_format",
    "unsupported_temperature",
    "unsupported_system_role",
    "unsupported_token_limit",
    "bad_request",
]


class Fault(StrEnum):
    """Whose fault a failure is; see the table of this module."""

    TEXT = "text"
    FORM = "form"
    CONTEXT = "context"
    KEY = "key"
    QUOTA = "quota"
    MODEL = "model"
    OVERLOAD = "overload"
    OUTAGE = "outage"


FAULTS: dict[FailureKind, Fault] = {
    "unavailable": Fault.OUTAGE,
    "rate_limited": Fault.OVERLOAD,
    "unauthorized": Fault.KEY,
    "forbidden": Fault.KEY,
    "quota": Fault.QUOTA,
    "wrong_address": Fault.MODEL,
    "model_not_found": Fault.MODEL,
    "context_too_long": Fault.CONTEXT,
    "content_filtered": Fault.TEXT,
    "unsupported_format": Fault.FORM,
    "unsupported_temperature": Fault.FORM,
    "unsupported_system_role": Fault.FORM,
    "unsupported_token_limit": Fault.FORM,
    "bad_request": Fault.FORM,
}
TRANSIENT: frozenset[FailureKind] = frozenset({"unavailable", "rate_limited"})
"""Kinds that pass by themselves, so that the run is tried again in place."""
REASONS: dict[FailureKind, str] = {
    "unauthorized": "provider_key_invalid",
    "forbidden": "provider_key_permission_denied",
    "quota": "provider_key_quota_exceeded",
    "wrong_address": "model_not_found",
    "model_not_found": "model_not_found",
    "bad_request": "model_not_supported",
}
"""Status reason of an evaluation that cannot be judged because of a lasting failure."""


class ProviderFailure(Exception):
    """A call that gave no answer.

    Attributes:
        status: the HTTP status, or the status that an error object inside a 200 names; None if there was no reply.
        retry_after_s: seconds that the provider asked to wait; None if it asked for nothing.
        detail: the evidence, for a person: the provider's words, shortened, with everything masked that may be secret.
    """

    def __init__(
        self, kind: FailureKind, detail: str, *, status: int | None = None, retry_after_s: float | None = None
    ) -> None:
        super().__init__(detail)
        self.kind: FailureKind = kind
        self.detail = detail
        self.status = status
        self.retry_after_s = retry_after_s

    @property
    def fault(self) -> Fault:
        """Whose fault it is."""
        return FAULTS[self.kind]

    @property
    def proposes(self) -> str | None:
        """The status reason that evaluations get if the neutral probe fails too; None if no status is to change."""
        return REASONS.get(self.kind)
