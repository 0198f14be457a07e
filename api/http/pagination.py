"""Pages of lists: `limit` and `offset` in, `{count, next, previous, results}` out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Generic, TypeVar
from urllib.parse import urlencode

from fastapi import Depends, Query, Request
from pydantic import BaseModel

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000
MAX_OFFSET = 2**31 - 1

T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """One page. `count` is of the whole list; `next` and `previous` are addresses or null."""

    count: int
    next: str | None
    previous: str | None
    results: list[T]


@dataclass(frozen=True, slots=True)
class Window:
    """The page that a request asks for, and the links of its neighbours."""

    limit: int
    offset: int
    address: str
    parameters: tuple[tuple[str, str], ...]

    def page(self, results: Sequence[T], count: int) -> Page[T]:
        """Return `results`, which are this window's part of `count` items, as a page."""
        return Page[T].model_construct(
            count=count,
            next=self._link(self.offset + self.limit) if self.offset + self.limit < count else None,
            previous=self._link(max(0, self.offset - self.limit)) if self.offset > 0 else None,
            results=list(results),
        )

    def page_of(self, everything: Sequence[T]) -> Page[T]:
        """Return this window's part of a short list that is at hand as a whole."""
        return self.page(everything[self.offset : self.offset + self.limit], len(everything))

    def link_with(self, **changed: str) -> str:
        """Return the address with these parameters; they replace their namesakes and the present `offset`."""
        kept = [pair for pair in self.parameters if pair[0] != "offset" and pair[0] not in changed]
        return f"{self.address}?{urlencode([*kept, *changed.items()])}"

    def _link(self, offset: int) -> str:
        kept = [pair for pair in self.parameters if pair[0] not in ("limit", "offset")]
        place = [("limit", str(self.limit))] + ([("offset", str(offset))] if offset else [])
        return f"{self.address}?{urlencode([*kept, *place])}"


async def _window(
    request: Request,
    limit: Annotated[
        int,
        Query(description=f"Number of results to return per page; at least 1 and at most {MAX_LIMIT} are returned."),
    ] = DEFAULT_LIMIT,
    offset: Annotated[
        int, Query(ge=0, le=MAX_OFFSET, description="The initial index from which to return the results.")
    ] = 0,
) -> Window:
    public_url: str | None = request.app.state.services.settings.api.public_url
    base = public_url.rstrip("/") if public_url else f"{request.url.scheme}://{request.url.netloc}"
    return Window(
        min(max(limit, 1), MAX_LIMIT), offset, base + request.url.path, tuple(request.query_params.multi_items())
    )


WindowParam = Annotated[Window, Depends(_window)]


def split_commas(values: Sequence[str]) -> list[str]:
    """Return the items of a query parameter that may be repeated, separated by commas, or both."""
    return [item.strip() for value in values for item in value.split(",") if item.strip()]
