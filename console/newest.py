"""Tables of the newest results. Readers of one team who look at the same moment share them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from markupsafe import Markup

from api.services.newest_results import Wanted, list_newest
from console.render import part
from console.times import Zone
from console.visit import Period, Visit, team_link

SHARED_S = 5
_ANY = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ResultTable:
    """A table of results.

    Attributes:
        html: empty if no result was found.
        cursor, previous: where the pages of older and of newer results begin; None at the ends.
    """

    html: Markup
    cursor: str | None
    previous: str | None


@dataclass(frozen=True, slots=True)
class Onlookers:
    """The readers who share a table. Its rows see no more of a reader than this, and all of it is in the table's key.

    Scopes, session, token and theme of one reader would otherwise reach the next one.
    """

    team: int
    zone: Zone
    names_zone: bool
    trail: tuple[tuple[str, str], ...]

    def result_link(self, uuid: str) -> str:
        """Return the address of the page of a result, with the filter of the list that it stands in."""
        return team_link(self.team, f"results/{uuid}/", **(dict(self.trail) | self._zone()))

    def _zone(self) -> dict[str, str | None]:
        return {"tz": self.zone.name if self.names_zone else None}

    def link(self, path: str) -> str:
        """Return the address of a page of the team, with the zone if the address of this page names it."""
        return team_link(self.team, path, **self._zone())


def newest_table(
    visit: Visit, wanted: Wanted, period: Period, caption: str, *, limit: int, with_evaluation: bool = True,
    cursor: str = "", trail: Mapping[str, str] | None = None,
) -> ResultTable:  # fmt: skip
    """Return the newest results that are wanted, as a table. It may be five seconds old. Errors as `list_newest`.

    Args:
        trail: the filter as parameters, which the pages of its results keep.
    """
    # A period that ends now has other times in each request, and the same meaning.
    same = replace(wanted, start=_ANY, end=_ANY) if period.name else wanted
    now = int(visit.now.timestamp()) // SHARED_S
    onlookers = Onlookers(visit.team, visit.zone, "tz" in visit.state(), tuple((trail or {}).items()))
    key = (now, same, period.name, visit.outlines.revision, onlookers, caption, limit, with_evaluation, cursor)

    def make() -> ResultTable:
        session = visit.reader.session
        found = list_newest(visit.services, session, visit.outlines, wanted, limit=limit, cursor=cursor)
        table = part("result_rows", onlookers, found.rows, caption, with_evaluation) if found.rows else Markup()
        return ResultTable(table, found.cursor, found.previous)

    return visit.tables.get(key, make)
