"""The agreement of one labeller with the others."""

from __future__ import annotations

from api.schemas.parts import ResponseBody


class Between(ResponseBody):
    """One labeller against the consensus of the others."""

    labeller: str
    items: int
    agreement: float | None
    agreement_low: float | None
    agreement_high: float | None
