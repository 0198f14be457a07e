"""One `$ai_generation` event as an evaluator sees it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec


class Generation(msgspec.Struct, frozen=True, gc=False):  # made for every event that matches; it refers to no other
    """A decoded generation event.

    Attributes:
        uuid: as it stands in the message.
        timestamp: aware, UTC. The only "now" that an evaluator may know.
        properties: all event properties, decoded; never changed by an evaluator.
        person_properties: decoded; empty if the row has none.
    """

    uuid: str
    team_id: int
    event: str
    distinct_id: str
    timestamp: datetime
    properties: Mapping[str, Any]
    person_properties: Mapping[str, Any] = msgspec.field(default_factory=dict)

    @property
    def input(self) -> Any:
        """The generation's input: the first truthy of `$ai_input` and `$ai_input_state`, else None."""
        return self.properties.get("$ai_input") or self.properties.get("$ai_input_state") or None

    @property
    def output(self) -> Any:
        """The first truthy of `$ai_output_choices`, `$ai_output` and `$ai_output_state`, else None."""
        p = self.properties
        return p.get("$ai_output_choices") or p.get("$ai_output") or p.get("$ai_output_state") or None
