"""One request of one reader: who looks, at which team, in which zone and theme, with which parameters."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Literal, cast
from urllib.parse import urlencode

from starlette.requests import Request

from api.http.errors import Invalid, PermissionDenied
from api.services.console_access import Reader
from api.services.figures import FigureBook, TeamFigures
from api.services.letter_desk import LetterDesk
from api.services.resources import Services
from api.services.shared_work import SharedWork
from api.services.team_outlines import TeamOutlines
from api.services.trust_words import TrustWords
from console.parts import Parts
from console.security import read_notice, signed_notice
from console.times import Zone

Theme = Literal["system", "light", "dark"]
RANGES: Mapping[str, timedelta] = {"24h": timedelta(hours=24), "7d": timedelta(days=7), "30d": timedelta(days=30)}
_LONGEST = timedelta(days=400)
_YEARS = range(1971, 2200)
"""The years that a period may name: time before and after it can be computed."""
_MAX_TEXT = 400
_NOTICES = ("done", "refused")
"""Parameters that tell once how a change went, signed, because anybody can write a link. Addresses that a page makes
lack them, or it would be told again."""


@dataclass(frozen=True, slots=True)
class Period:
    """The stretch of time that a page shows.

    Attributes:
        name: `24h`, `7d`, `30d`, or empty if its ends were given.
        start, end: aware, UTC; `end` is excluded.
    """

    name: str
    start: datetime
    end: datetime

    @property
    def label(self) -> str:
        """The stretch in words."""
        return {"24h": "last 24 hours", "7d": "last 7 days", "30d": "last 30 days"}.get(self.name, "chosen period")

    @property
    def before(self) -> Period:
        """The stretch of the same length before this one."""
        return Period("", self.start - (self.end - self.start), self.start)


@dataclass(slots=True)
class Visit:
    """One request, as the pages see it.

    Attributes:
        services: with the limits of pages on every query of ClickHouse.
        book: outlines and figures of teams, which readers share. tables: of results, which they share too.
        words: how far their judges can be believed.
        letters: the dead letters, if this process reaches them.
        form: fields of a POST whose token was checked; empty for a GET.
        token: what forms must carry.
        parts: makes the panels that are open. host: the page around this one, if this is a panel in its place.
        team_outlines: kept for `outlines`.
    """

    request: Request
    services: Services
    book: FigureBook
    tables: SharedWork
    words: TrustWords
    reader: Reader
    zone: Zone
    theme: Theme
    token: str
    now: datetime
    form: Mapping[str, list[str]]
    parts: Parts
    host: Visit | None = None
    letters: LetterDesk | None = None
    team_outlines: TeamOutlines | None = None

    @property
    def team(self) -> int:
        """The team that is looked at."""
        return self.reader.key.team_id

    @property
    def path(self) -> Mapping[str, str]:
        """The parameters of the path."""
        return cast("Mapping[str, str]", self.request.path_params)

    @property
    def outlines(self) -> TeamOutlines:
        """The team's evaluations in outline; asked for once per request."""
        if self.team_outlines is None:
            self.team_outlines = self.book.outlines(self.services, self.team)
        return self.team_outlines

    def figures(self, period: Period) -> TeamFigures:
        """Return the figures of the team's evaluations. Errors as `BoundedArchive.client`."""
        return self.book.figures(self.services, self.reader.session, self.outlines, self.team, period)

    def last_figures(self, period: Period) -> TeamFigures | None:
        """Return the figures that were read last for such a period, in place of new ones; None if none are kept."""
        return self.book.last_figures(self.team, period)

    @property
    def base(self) -> str:
        """The address of this server as its readers know it, without a slash at the end."""
        return self.services.settings.api.public_url or str(self.request.base_url).rstrip("/")

    @property
    def whole_address(self) -> str:
        """The address of this page with its filters, for paper."""
        return self.base + self.here()

    @property
    def read_only(self) -> bool:
        """Whether changes are refused by the setting `console.read_only`."""
        return self.services.settings.console.read_only

    def may(self, scope: str) -> bool:
        """Return whether the reader has `scope`, and whether the console takes changes if `scope` is one to write."""
        return self.reader.key.allows(scope) and not (self.read_only and scope.endswith(":write"))

    def need(self, *scopes: str) -> None:
        """Raise `PermissionDenied` unless the reader `may` one of these."""
        if any(self.may(scope) for scope in scopes):
            return
        if any(self.reader.key.allows(scope) for scope in scopes):
            raise PermissionDenied("This console is read-only (setting console.read_only).")
        raise PermissionDenied(f"Your key lacks the scope {' or '.join(scopes)}. Sign in with a key that has it.")

    def query(self, name: str, default: str = "") -> str:
        """Return a parameter of the address, cut at 400 characters."""
        return self.request.query_params.get(name, default)[:_MAX_TEXT].strip()

    def notice(self, name: Literal["done", "refused"]) -> str:
        """Return what a change of this reader led to; empty if the address tells nothing, or if it is not signed."""
        return read_notice(self.query(name), self.token)

    def signed(self, **notices: str) -> dict[str, str]:
        """Return notices as the parameters of an address to which this answer leads its reader."""
        return {name: signed_notice(text, self.token) for name, text in notices.items() if text}

    def choice(self, name: str, choices: tuple[str, ...], default: str = "") -> str:
        """Return a parameter that must be one of `choices`; anything else means the default."""
        value = self.query(name)
        return value if value in choices else default

    def field(self, name: str, default: str = "") -> str:
        """Return the last value of a field of the form."""
        return self.form.get(name, [default])[-1]

    def period(self, default: str = "7d") -> Period:
        """Return the stretch of time that the address names. Raises `Invalid`."""
        if self.query("from") or self.query("to"):
            end = self._moment("to") or self.now
            start = self._moment("from") or end - RANGES[default]
            if not start < end:
                raise Invalid("The start of the period must be before its end.", attr="from")
            if end - start > _LONGEST:
                raise Invalid("A page shows 400 days at the most; choose a shorter period.", attr="from")
            return Period("", start, end)
        name = self.choice("range", tuple(RANGES), default)
        return Period(name, self.now - RANGES[name], self.now)

    def _moment(self, name: str) -> datetime | None:
        text = self.query(name)
        if not text:
            return None
        try:
            moment = datetime.fromisoformat(text)
        except ValueError as error:
            raise Invalid(f"{name} takes a time such as 2026-01-31T12:00:00Z.", attr=name) from error
        if moment.year not in _YEARS:
            raise Invalid(f"{name} takes a year from {_YEARS[0]} to {_YEARS[-1]}.", attr=name)
        # A form's own field has no zone; then it is the reader's.
        return (moment if moment.tzinfo else moment.replace(tzinfo=self.zone.info)).astimezone(UTC)

    @property
    def asked(self) -> Period | None:
        """The stretch of time that the address names; None if it names none. Raises `Invalid`."""
        return self.period() if any(self.query(name) for name in ("range", "from", "to")) else None

    def state(self, period: Period | None = None) -> Mapping[str, str]:
        """Return the parameters that other pages need to show the same zone, and the same time if it is given.

        The zone is among them only if this address names it, because it is otherwise the choice of each reader.
        """
        zone = {"tz": self.zone.name} if self.query("tz") == self.zone.name else {}
        if period is None:
            return zone
        if period.name:
            return {"range": period.name, **zone}
        return {"from": period.start.isoformat(), "to": period.end.isoformat(), **zone}

    @property
    def opened(self) -> tuple[str, ...]:
        """The names of the panels that the address opens in their places."""
        names = self.query("open").split()
        return tuple(dict.fromkeys(name for name in names if name.isascii() and name.isalnum()))

    def opening(self, name: str) -> str:
        """Return the value of `open` that opens one more panel."""
        return " ".join(dict.fromkeys((*self.opened, name)))

    def kept(self, *without: str) -> Mapping[str, str]:
        """Return the parameters of the address for a form that changes those `without`. A notice is not among them."""
        left_out = (*without, *_NOTICES)
        kept = {name: value for name, value in self.request.query_params.items() if name not in left_out}
        return kept | ({"open": " ".join(self.opened)} if self.opened else {})

    def link(self, path: str = "", period: Period | None = None, **query: str | None) -> str:
        """Return the address of a page of the team, which shows the `state`, with its notices signed.

        Empty parameters are left out.
        """
        notices = {name: query.pop(name) or "" for name in _NOTICES if name in query}
        return team_link(self.team, path, **query, **self.signed(**notices), **self.state(period))

    def here(self, below: str = "", **changes: str | None) -> str:
        """Return the address of this page, or of one below it, with some parameters changed; None removes one.

        A notice is not among them.
        """
        kept = {name: value for name, value in self.request.query_params.items() if name not in _NOTICES}
        for name, value in changes.items():
            kept.pop(name.rstrip("_"), None)
            if value:
                kept[name.rstrip("_")] = value
        return self.request.url.path + below + (f"?{urlencode(kept)}" if kept else "")


def team_link(team: int, path: str = "", **query: str | None) -> str:
    """Return the address of a page of a team. Parameters that are None or empty are left out."""
    kept = urlencode({name.rstrip("_"): value for name, value in query.items() if value})
    return f"/console/{team}/{path}" + (f"?{kept}" if kept else "")


def read_number(text: str) -> int | None:
    """Return a whole number of at most nine digits; None for another text."""
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else None


def is_id(text: str) -> bool:
    """Return whether a text has the form of an object's id."""
    return len(text) == 36 and all(character in "0123456789abcdef-" for character in text)
