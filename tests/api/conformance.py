"""Compares the facts of the reference with what Gavel's OpenAPI document says and with what Gavel answers.

Each function returns the differences as lines for a person; an empty list means that there is none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any
from uuid import UUID

from jsonschema import Draft202012Validator, FormatChecker

from tests.api.reference import JSON_TYPES, Endpoint, Excused, Field, Reference

_EXAMPLES: dict[str, Any] = {
    "array": [],
    "boolean": True,
    "datetime": "2026-01-02T03:04:05Z",
    "email": "ann@example.com",
    "integer": 1,
    "object": {},
    "string": "string",
    "url": "http://example.com/",
    "uuid": "00000000-0000-4000-8000-000000000000",
}

_FORMATS = FormatChecker(formats=())


@_FORMATS.checks("uuid", ValueError)
def _is_uuid(value: object) -> bool:
    return not isinstance(value, str) or bool(UUID(value))


@_FORMATS.checks("date-time", ValueError)
def _is_time_with_zone(value: object) -> bool:
    return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None


@_FORMATS.checks("uri")
def _is_address(value: object) -> bool:
    return not isinstance(value, str) or "://" in value


@_FORMATS.checks("email")
def _is_email_or_unknown(value: object) -> bool:
    return not isinstance(value, str) or not value or "@" in value


def answer_problems(reference: Reference, record: str, answer: Any, excused: Excused) -> list[str]:
    """Return where an answer, decoded from JSON, differs from the record that the reference shows."""
    validator = Draft202012Validator(reference.json_schema(record, excused), format_checker=_FORMATS)
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(answer)]


class Document:
    """An OpenAPI document, asked for the facts of the reference."""

    def __init__(self, document: dict[str, Any], reference: Reference, excused: Excused) -> None:
        self._document = document
        self._reference = reference
        self._excused = excused

    def operation(self, endpoint: Endpoint, base: str) -> dict[str, Any] | None:
        """Return the operation that the endpoint is, or None if the document has none."""
        operations = self._document["paths"].get(f"/api/{base}/{{team_id}}/{endpoint.path}/", {})
        found: dict[str, Any] | None = operations.get(endpoint.method.lower())
        return found

    def parameter_problems(self, endpoint: Endpoint, operation: dict[str, Any]) -> list[str]:
        """Return how the parameters of path, query and body differ."""
        served = {(each["in"], each["name"]): each["schema"] for each in operation["parameters"]}
        found = [f"path: {name} is missing" for name in endpoint.path_parameters if ("path", name) not in served]
        found += self._fields_problems(
            "query", endpoint.query, {name: schema for (place, name), schema in served.items() if place == "query"}
        )
        if not endpoint.body:
            return found
        content = operation.get("requestBody", {"content": {}})["content"]
        shapes = self._shapes(content.get("application/json", {}).get("schema", False))
        if not shapes:
            return [*found, "body: the document has none"]
        fixed = [each.name for each in self._reference.records.get(endpoint.response or "", ()) if each.read_only]
        found += [f"body.{name} can be written" for name in fixed if name in shapes[0]["properties"]]
        return found + self._fields_problems("body", endpoint.body, shapes[0]["properties"])

    def needed_too(self, endpoint: Endpoint, operation: dict[str, Any]) -> set[str]:
        """Return the body parameters that Gavel needs and the reference does not."""
        if "requestBody" not in operation:
            return set()
        (shape,) = self._shapes(operation["requestBody"]["content"]["application/json"]["schema"])
        return set(shape.get("required", ())) - set(endpoint.required)

    def response_problems(self, record: str, operation: dict[str, Any], status: int) -> list[str]:
        """Return how the documented response differs from the record."""
        schema = operation["responses"][str(status)]["content"]["application/json"]["schema"]
        return self._record_problems("response", record, schema)

    def _fields_problems(self, path: str, fields: Iterable[Field], served: dict[str, Any]) -> list[str]:
        found: list[str] = []
        for each in fields:
            place = f"{path}.{each.name}"
            if each.name in served:
                found += self._field_problems(place, each, served[each.name])
            else:
                found.append(f"{place} is missing")
        return found

    def _field_problems(self, path: str, each: Field, schema: Any) -> list[str]:
        text_too = path.startswith("query") and each.types[0] in ("boolean", "integer")
        found = [
            f"{path}: {value!r} is refused"
            for value in _valid_values(each)
            # A query is text, so a parameter that takes any text takes a number.
            if not self._accepts(schema, value) and not (text_too and self._accepts(schema, str(value)))
        ]
        found += [f"{path}: {value!r} is accepted" for value in _invalid_values(each) if self._accepts(schema, value)]
        found += [f"{path}: {choice!r} is not listed" for choice in set(each.choices) - self._choices(schema)]
        formats = {JSON_TYPES[kind]["format"] for kind in each.types if kind in ("uuid", "datetime")}
        served = {shape.get("format") for shape in self._alternatives(schema)}
        found += [f"{path}: the format is not {name}" for name in formats - served]
        if each.default is not None and schema.get("default") != each.default:
            found.append(f"{path}: the default is {schema.get('default')!r}")
        if each.is_list:
            items = [shape["items"] for shape in self._alternatives(schema) if "items" in shape]
            schema = items[0] if items else {}
        records = [name for name in each.types if name not in JSON_TYPES]
        return found + [line for name in records for line in self._record_problems(path, name, schema)]

    def _record_problems(self, path: str, record: str, schema: Any) -> list[str]:
        """Return the problems of the alternative that fits best; a free object fits every record."""
        shapes = self._shapes(schema)
        if not shapes:
            return [] if self._accepts(schema, {}) else [f"{path}: it is not an object"]
        return min((self._shape_problems(path, record, shape) for shape in shapes), key=len)

    def _shape_problems(self, path: str, record: str, shape: dict[str, Any]) -> list[str]:
        asked = [
            each for each in self._reference.records[record] if f"{record}.{each.name}" not in self._excused.missing
        ]
        if path.startswith("body"):
            asked = [each for each in asked if not each.read_only]
        found = self._fields_problems(path, asked, shape["properties"])
        needed = {each.name for each in asked if each.required} - set(shape.get("required", ()))
        found += [f"{path}.{name} is not required" for name in sorted(needed)]
        if record in self._reference.closed and shape.get("additionalProperties") is not False:
            found.append(f"{path}: other fields are accepted")
        return found

    def _accepts(self, schema: Any, value: Any) -> bool:
        whole = {**schema, "components": self._document["components"]}
        return bool(Draft202012Validator(whole).is_valid(value))

    def _alternatives(self, schema: Any) -> Iterator[dict[str, Any]]:
        """Yield the schemas of which one must hold, with references followed."""
        if not schema:
            return
        if "$ref" in schema:
            yield from self._alternatives(self._document["components"]["schemas"][schema["$ref"].rpartition("/")[2]])
        elif "anyOf" in schema or "oneOf" in schema:
            for each in [*schema.get("anyOf", ()), *schema.get("oneOf", ())]:
                yield from self._alternatives(each)
        else:
            yield schema

    def _shapes(self, schema: Any) -> list[dict[str, Any]]:
        return [each for each in self._alternatives(schema) if "properties" in each]

    def _choices(self, schema: Any) -> set[str]:
        listed: set[str] = set()
        for each in self._alternatives(schema):
            listed |= {*each.get("enum", ()), *([each["const"]] if "const" in each else ())}
            if "items" in each:
                listed |= self._choices(each["items"])
        return listed


def _valid_values(each: Field) -> Iterator[Any]:
    """Yield values that the reference says are valid; none for a record, which is compared field by field."""
    if each.nullable:
        yield None
    if each.shown is not None:
        yield each.shown
    if each.default is not None:
        yield each.default
    if each.is_list:
        yield []
    elif each.choices:
        yield from ([choice] for choice in each.choices) if each.type == "array" else each.choices
    elif each.shown is None:
        yield from (_EXAMPLES[kind] for kind in each.types if kind in _EXAMPLES)
    if each.max_length is not None:
        yield "x" * each.max_length


def _invalid_values(each: Field) -> Iterator[str]:
    if each.max_length is not None:
        yield "x" * (each.max_length + 1)
    if each.min_length:
        yield "x" * (each.min_length - 1)
