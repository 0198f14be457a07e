"""The facts of the public API reference that Gavel implements, read from `data/*.yaml`.

A file of `data/` has four parts:

    bases:      the base paths under which the reference shows the endpoints, `/api/<base>/{team_id}/`
    endpoints:  "<METHOD> <path>" -> scope, status, and where the reference gives them: query and body (parameters by
                name), required (body parameters), response (a record), max_per_team
    records:    record -> fields by name; all files share one set of records
    closed:     the records that may have no other fields

A parameter or a field is a type, or a mapping with the type and more facts (`Field`). A type is one of `JSON_TYPES`,
a record, `null`, alternatives of these (`string | null`), or `[type]` for a list. `any` means that the reference shows
no type. Every parameter in a path is a string.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import yaml

DATA = Path(__file__).parent / "data"

JSON_TYPES: dict[str, dict[str, Any]] = {
    "any": {},
    "array": {"type": "array"},
    "boolean": {"type": "boolean"},
    "datetime": {"type": "string", "format": "date-time"},
    "email": {"type": "string", "format": "email"},
    "integer": {"type": "integer"},
    "object": {"type": "object"},
    "string": {"type": "string"},
    "url": {"type": "string", "format": "uri"},
    "uuid": {"type": "string", "format": "uuid"},
}
"""Type of the data files -> JSON Schema."""


@dataclass(frozen=True, slots=True)
class Field:
    """A parameter or a field of a record.

    Attributes:
        type: as in the data file.
        choices: values that the reference lists; Gavel may know more.
        shown: a value that stands in an example, so it must be valid; None: the example shows only the type.
        required: of a record's field: a client must send it.
        read_only: a client cannot set it.
    """

    name: str
    type: str | list[str]
    choices: tuple[str, ...] = ()
    shown: Any = None
    default: Any = None
    min_length: int | None = None
    max_length: int | None = None
    required: bool = False
    read_only: bool = False

    @property
    def nullable(self) -> bool:
        """Whether the reference says that null is valid."""
        return "null" in self._alternatives

    @property
    def is_list(self) -> bool:
        """Whether it is a list whose items' type is known."""
        return isinstance(self.type, list)

    @property
    def types(self) -> list[str]:
        """The alternative types of the value, or of a list's items, without null."""
        return [kind for kind in self._alternatives if kind != "null"]

    @property
    def _alternatives(self) -> list[str]:
        return (self.type[0] if isinstance(self.type, list) else self.type).split(" | ")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint of the reference.

    Attributes:
        path: behind the base path, without a slash at either end; parameters as `{name}`.
        bases: base paths under which the reference shows it.
        statuses: of success. The reference contradicts itself where there are two.
        required: body parameters without which the call is refused.
        response: name of the record that is returned; None: the reference shows no body.
        max_per_team: how many such objects a team may have; None: the reference gives no limit.
    """

    method: str
    path: str
    bases: tuple[str, ...]
    scope: str
    statuses: tuple[int, ...]
    query: tuple[Field, ...] = ()
    body: tuple[Field, ...] = ()
    required: tuple[str, ...] = ()
    response: str | None = None
    max_per_team: int | None = None

    @property
    def name(self) -> str:
        """Method and path, as the data file writes them."""
        return f"{self.method} {self.path}"

    @property
    def path_parameters(self) -> list[str]:
        """The parameters in the path, without the team's."""
        return re.findall(r"\{(\w+)\}", self.path)


@dataclass(frozen=True, slots=True)
class Excused:
    """Where answers may differ from the records, as `Record.field`.

    Attributes:
        missing: fields that are not in the answers.
        null: fields that may be null, which an example of the reference cannot show.
    """

    missing: frozenset[str] = frozenset()
    null: frozenset[str] = frozenset()


@dataclass
class Reference:
    """All endpoints and records of the data files."""

    endpoints: list[Endpoint] = field(default_factory=list)
    records: dict[str, tuple[Field, ...]] = field(default_factory=dict)
    closed: set[str] = field(default_factory=set)

    @cached_property
    def used_records(self) -> set[str]:
        """The records that an endpoint takes or returns, directly or inside another record.

        Raises:
            KeyError: a type is neither known nor a record.
        """
        found: set[str] = set()
        waiting = [name for endpoint in self.endpoints for name in _record_names(endpoint)]
        while waiting:
            if (name := waiting.pop()) not in found:
                found.add(name)
                waiting += [inner for each in self.records[name] for inner in each.types if inner not in JSON_TYPES]
        return found

    def json_schema(self, record: str, excused: Excused) -> dict[str, Any]:
        """Return the JSON Schema of a record as an answer shows it: with all its fields, and with no list empty."""
        properties = {
            each.name: self._value_schema(each, f"{record}.{each.name}" in excused.null, excused)
            for each in self.records[record]
            if f"{record}.{each.name}" not in excused.missing
        }
        schema: dict[str, Any] = {"type": "object", "properties": properties, "required": list(properties)}
        return schema | ({"additionalProperties": False} if record in self.closed else {})

    def _value_schema(self, each: Field, may_be_null: bool, excused: Excused) -> dict[str, Any]:
        schemas = [JSON_TYPES[kind] if kind in JSON_TYPES else self.json_schema(kind, excused) for kind in each.types]
        if each.is_list:
            schemas = [{"type": "array", "items": {"anyOf": schemas}, "minItems": 1}]
        if each.nullable or may_be_null:
            schemas.append({"type": "null"})
        return schemas[0] if len(schemas) == 1 else {"anyOf": schemas}


def read_reference(folder: Path = DATA) -> Reference:
    """Return what the data files hold.

    Raises:
        TypeError: a field or an endpoint has a key that is not known.
        ValueError: two files name the same endpoint or record.
    """
    found = Reference()
    for file in sorted(folder.glob("*.yaml")):
        page = yaml.safe_load(file.read_text(encoding="utf-8"))
        for heading, facts in page.get("endpoints", {}).items():
            endpoint = _endpoint(heading, page["bases"], facts)
            if any(endpoint.name == other.name for other in found.endpoints):
                raise ValueError(f"{file.name}: {endpoint.name} stands in two places")
            found.endpoints.append(endpoint)
        for name, fields in page.get("records", {}).items():
            if name in found.records:
                raise ValueError(f"{file.name}: the record {name} stands in two places")
            found.records[name] = tuple(_fields(fields))
        found.closed.update(page.get("closed", ()))
    return found


def _endpoint(heading: str, bases: list[str], facts: Mapping[str, Any]) -> Endpoint:
    method, path = heading.split(" ")
    statuses = facts["status"] if isinstance(facts["status"], list) else [facts["status"]]
    given = dict(facts) | {"query": tuple(_fields(facts.get("query"))), "body": tuple(_fields(facts.get("body")))}
    given["required"] = tuple(facts.get("required", ()))
    del given["status"]
    return Endpoint(method=method, path=path, bases=tuple(bases), statuses=tuple(statuses), **given)


def _fields(written: Mapping[str, Any] | None) -> Iterator[Field]:
    for name, facts in (written or {}).items():
        given = dict(facts) if isinstance(facts, dict) else {"type": facts}
        yield Field(name=name, **given | {"choices": tuple(given.get("choices", ()))})


def _record_names(endpoint: Endpoint) -> list[str]:
    named = [kind for each in (*endpoint.query, *endpoint.body) for kind in each.types if kind not in JSON_TYPES]
    return [*named, *([endpoint.response] if endpoint.response else [])]
