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
"""The properties that nearly every run asks for, by the attribute under which matchers carry them
(`conditions.compiled.projection`)."""

_YES = frozenset({"true", "1", "yes", "t", "y", "on"})
_NO = frozenset({"false", "0", "no", "f", "n", "off"})
_NOTHING = frozenset({"", "null", "none", "undefined", "nil", *_NO})
_LONGEST_WORD = 16
"""Characters of a text that can be one of the words above, or an HTTP status."""
_FIRST_ERROR_STATUS = 400


def is_errored(properties: Mapping[str, Any]) -> bool:
    """Return whether a generation failed, so that there is no output to judge.

    `$ai_is_error` decides if it is a boolean, a number or a word for one, such as `"True"`. Without it a generation
    failed if `$ai_error` says something or `$ai_http_status` is 400 or more. Live runs, trials, dataset runs and the
    Hog global `is_error` all ask this function. Raises what the mapping raises.
    """
    flag = _truth(properties.get("$ai_is_error"))
    if flag is not None:
        return flag
    error = properties.get("$ai_error")
    if isinstance(error, str):
        said = len(error) > _LONGEST_WORD or error.strip().lower() not in _NOTHING
    else:
        said = bool(error)
    return said or _is_error_status(properties.get("$ai_http_status"))


def _truth(flag: Any) -> bool | None:
    """Return the boolean that a flag stands for, or None if it stands for none."""
    if isinstance(flag, str):
        word = flag.strip().lower() if len(flag) <= _LONGEST_WORD else ""
        return True if word in _YES else False if word in _NO else None
    return bool(flag) if isinstance(flag, int | float) else None


def _is_error_status(status: Any) -> bool:
    if isinstance(status, str):
        digits = status.strip() if len(status) <= _LONGEST_WORD else ""
        return digits.isascii() and digits.isdigit() and int(digits) >= _FIRST_ERROR_STATUS
    return isinstance(status, int | float) and status >= _FIRST_ERROR_STATUS


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

    @property
    def errored(self) -> bool:
        """Whether the generation failed (`is_errored`)."""
        return is_errored(self.properties)
