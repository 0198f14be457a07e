"""The people behind `created_by`, looked up once for a whole page."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from api.schemas.parts import User
from storage.recent import Recent
from storage.sql.api_keys import ApiKeys
from storage.sql.engine import Database

Owner = Callable[[str | None], User | None]

_MOST = 10_000


class Owners:
    """User blocks of API keys. Nothing in them ever changes, so each is read once."""

    def __init__(self, database: Database) -> None:
        self._keys = ApiKeys(database)
        self._known: Recent[str, User] = Recent(_MOST)

    def of(self, actors: Iterable[str | None]) -> Owner:
        """Return a function from an actor to its user; None for an actor that is not a key. One query at the most."""
        wanted = {actor for actor in actors if actor is not None}
        found = {actor: known for actor in wanted if (known := self._known.get(actor)) is not None}
        for actor, key in self._keys.of_actors(wanted - found.keys()).items():
            found[actor] = User.of(key)
            self._known.keep(actor, found[actor])

        def owner(actor: str | None) -> User | None:
            return found.get(actor) if actor is not None else None

        return owner
