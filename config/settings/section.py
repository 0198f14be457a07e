"""The base of all sections of the settings."""

from __future__ import annotations

import json
from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

Seconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Port = Annotated[int, Field(ge=0, le=65535)]
"""A TCP port; 0 lets the system choose one."""


def _split_commas(value: Any) -> Any:
    """Read the environment's form of a list, `a,b,c` or a JSON list; a list from a file passes as it is."""
    if not isinstance(value, str):
        return value
    if value.strip().startswith("["):
        try:
            return json.loads(value)
        except ValueError as error:
            raise ValueError(f'is not a JSON list ({error}); write ["a", "b"] or a,b') from error
    return [part.strip() for part in value.split(",") if part.strip()]


CommaList = BeforeValidator(_split_commas, json_schema_input_type=list[str] | str)
"""Marks a list that the environment writes as `a,b,c` or as JSON."""


def _read_options(value: Any) -> Any:
    """Read the environment's form of the options, `{"a": 1}` or `a=1,b=2`."""
    if not isinstance(value, str):
        return value
    text = value.strip()
    if text.startswith("{"):
        try:
            return json.loads(text)
        except ValueError as error:
            raise ValueError(
                f'is not a JSON object ({error}); write {{"name": value}} or name=value,name=value'
            ) from error
    pairs = [part.partition("=") for part in text.split(",") if part.strip()]
    if any(not separator for _, separator, _ in pairs):
        raise ValueError(
            'is neither a JSON object nor name=value,name=value; write for example "socket.keepalive.enable=true"'
        )
    return {name.strip(): option.strip() for name, _, option in pairs}


OptionMap = BeforeValidator(_read_options, json_schema_input_type=dict[str, str] | str)
"""Marks a mapping that the environment writes as JSON or as `a=1,b=2`."""


class SettingsSection(BaseModel):
    """A frozen group of settings; a key that is not one of them is refused.

    The string under a field is its entry in `docs/configuration.md`.
    """

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        use_attribute_docstrings=True,
        hide_input_in_errors=True,
        validate_default=True,
    )
