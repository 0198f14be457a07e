"""One `$ai_generation` event as an evaluator sees it."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import msgspec

COPIED = ("$ai_trace_id", "$ai_session_id", "$session_id", "$ai_prompt_name", "$ai_prompt_version")
"""Properties that the results of a generation take over from it."""
JUDGE_MARK = "$ai_evaluation_judge"
"""A generation with this property is a judge's own call and is not judged: no loops."""
INPUTS = ("$ai_input", "$ai_input_state")
OUTPUTS = ("$ai_output_choices", "$ai_output", "$ai_output_state")
USUAL = {f"c{place}": key for place, key in enumerate((*INPUTS, *OUTPUTS, *COPIED, JUDGE_MARK))}
"""What nearly every run asks for, by the attribute under which matchers carry it (`conditions.projection`)."""


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
