"""The agreement of one labeller with the others."""

from __future__ import annotations

from typing import Self

from api.schemas.parts import ResponseBody
from quality.consensus import BetweenLabellers


class Between(ResponseBody):
    """One labeller against the consensus of the others."""

    labeller: str
    items: int
    agreement: float | None
    agreement_low: float | None
    agreement_high: float | None

    @classmethod
    def of(cls, found: BetweenLabellers) -> list[Self]:
        """Return each labeller's agreement with the others."""
        return [
            cls(
                labeller=each.name,
                items=each.items,
                agreement=each.agreement.value if each.agreement else None,
                agreement_low=each.agreement.interval.low if each.agreement else None,
                agreement_high=each.agreement.interval.high if each.agreement else None,
            )
            for each in found.labellers
        ]
