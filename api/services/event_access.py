"""Who may read events, for the API and the console: their conversations, properties and distinct ids.

`evaluation:read` shows verdicts with their reasoning. The contents of an event need `query:read` wherever they are
shown, also where results are counted by the values of a property.
"""

from __future__ import annotations

from collections.abc import Collection

from api.http.errors import PermissionDenied
from storage.sql.api_keys import ApiKey

READ_EVENTS = "query:read"


def may_read_events(caller: ApiKey) -> bool:
    """Return whether the key may see the contents of events."""
    return caller.allows(READ_EVENTS)


def need_events(caller: ApiKey, property_name: str | None, *, but: Collection[str] = ()) -> None:
    """Raise `PermissionDenied` if values of a property would be shown to a key that may not read events.

    Args:
        property_name: the name of the property; None or empty for none.
        but: names that are columns of results, which every reader of results sees.
    """
    if not property_name or property_name in but or may_read_events(caller):
        return
    instead = f", or choose {', '.join(but)}" if but else ""
    raise PermissionDenied(f"Properties of events need the scope {READ_EVENTS}. Use a key that has it{instead}.")
