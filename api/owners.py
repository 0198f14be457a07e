"""The people behind `created_by`, looked up once for a whole page."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from api.schemas.parts import User
from api.services import Services
from config.store.api_keys import ApiKeys

Owner = Callable[[str | None], User | None]


def owners(services: Services, actors: Iterable[str | None]) -> Owner:
    """Return a function from an actor to its user block; None for one that is no key. One query at the most."""
    found = {actor: User.of(key) for actor, key in ApiKeys(services.database).of_actors(actors).items()}

    def owner(actor: str | None) -> User | None:
        return found.get(actor) if actor is not None else None

    return owner
