"""How a definition that cannot be used is reported, alike by the API, the files and the store.

DefinitionError   a definition that cannot be used, with the attribute at fault
"""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import ValidationError

_CODES = {"missing": "required", "extra_forbidden": "unknown_field", "string_too_short": "blank"}
_MESSAGES = {
    "missing": "This field is required.",
    "extra_forbidden": "Unknown field; remove it or correct its name.",
    "string_too_short": "This field may not be blank.",
}


class DefinitionError(ValueError):
    """A definition that cannot be used.

    Attributes:
        attr: the attribute at fault as the API names it, parts joined by `__`; empty for the whole.
        path: the exact place, down to a filter: keys and list positions.
        code: `required`, `unknown_field`, `invalid`, ...
        message: the fault and its remedy.
        source_at: line and column within the Hog source, from 1, if that is where the problem is.
    """

    def __init__(
        self,
        message: str,
        *,
        path: Sequence[str | int] = (),
        attr: str | None = None,
        code: str = "invalid",
        source_at: tuple[int, int] | None = None,
    ) -> None:
        self.message = message
        self.path = tuple(path)
        self.attr = "__".join(str(part) for part in self.path) if attr is None else attr
        self.code = code
        self.source_at = source_at
        super().__init__(f"{self.attr}: {message}" if self.attr else message)


def first_problem(error: ValidationError) -> DefinitionError:
    """Return the first of pydantic's problems as ours. Values are left out: a prompt may be long or private."""
    problem = error.errors(include_url=False, include_input=False)[0]
    context = problem.get("ctx", {})
    kind = problem["type"]
    path = (*_without_tags(problem["loc"]), *context.get("path", ()))
    message = _MESSAGES.get(kind) or problem["msg"].removeprefix("Value error, ")
    return DefinitionError(
        message,
        path=path,
        # The API reports every problem of the conditions on the field as a whole.
        attr=str(path[0]) if kind == "conditions" else None,
        code=context.get("code") or _CODES.get(kind, "invalid"),
        source_at=context.get("source_at"),
    )


def _without_tags(location: Sequence[str | int]) -> tuple[str | int, ...]:
    """Drop the names of union members, which pydantic writes between field names."""
    return tuple(part for part in location if not (isinstance(part, str) and part[:1].isupper()))
