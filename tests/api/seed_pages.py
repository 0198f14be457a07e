"""Reads the API reference pages of `shared/seeds` as they stand: endpoints, parameters, fields, examples.

A page is text that was cut out of a web site: a title per endpoint ("List all evaluations"), then blocks
under fixed headings. Nothing here knows Gavel: what the pages hold is what comes out.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

_TITLE = re.compile(r"^(List all|Create|Retrieve|Update|Delete) [\w ]+$")
_BULLET = re.compile(r"^  • (\S+)$")
_CHOICE = re.compile(r"^    • (-?\w+) - ")
_REQUEST = re.compile(r"^(GET|POST|PUT|PATCH|DELETE) (/\S+)$")
_CURL_PATH = re.compile(r"^<ph_app_host>(/[^\s\\]+)")
_CURL_DATA = re.compile(r"^-d (\w+)=")
_STATUS = re.compile(r"^Status (\d{3})( No response body)?$")
_TYPES = ("string", "stringnull", "integer", "integernull", "boolean", "booleannull", "array", "object")
_SECTIONS = {"Path parameters": "path", "Query parameters": "query", "Request parameters": "body"}


def seeds_folder() -> Path:
    """Return the folder of the pages: `shared/seeds` beside the project.

    Raises:
        FileNotFoundError: it is not there; the conformance tests have nothing to hold the API to.
    """
    folder = Path(__file__).resolve().parents[3] / "shared" / "seeds"
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is missing: the API reference pages lie beside the project, in shared/seeds")
    return folder


@dataclass(frozen=True, slots=True)
class Parameter:
    """One bullet of a parameter block: `type` as written (`stringnull`: nullable), empty if the page has none."""

    name: str
    type: str
    default: str | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One endpoint as one page shows it.

    Attributes:
        path: of the heading, without a trailing slash, parameters as `:name`; empty if the page shows no request.
        curl_path: of the example call, with its trailing slash.
        curl_data: the fields that the example call sends, which are the required ones.
        status: of the example response.
        response: the example's JSON, or None.
    """

    page: str
    title: str
    scope: str
    method: str = ""
    path: str = ""
    curl_path: str = ""
    curl_data: tuple[str, ...] = ()
    status: int = 0
    no_body: bool = False
    response: Any = None
    parameters: dict[str, tuple[Parameter, ...]] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """A readable id for test reports."""
        return f"{self.page[:3]} {self.method} {self.path or self.title}"


def read_endpoints() -> list[Endpoint]:
    """Return every endpoint of every page, in page order; a page may show one twice."""
    return [endpoint for page in sorted(seeds_folder().glob("*.txt")) for endpoint in _read_page(page)]


def read_json_schemas() -> dict[str, dict[str, Any]]:
    """Return the JSON Schemas that are printed on the pages, by title."""
    found: dict[str, dict[str, Any]] = {}
    for page in sorted(seeds_folder().glob("*.txt")):
        text = page.read_text(encoding="utf-8")
        for start in re.finditer(r'^\{\n  "\$schema"', text, re.MULTILINE):
            schema, _ = json.JSONDecoder().raw_decode(text, start.start())
            found[schema["title"]] = schema
    return found


def method_list(page: Path) -> list[str]:
    """Return the methods under the page's "Endpoints" heading, in order: its table of contents."""
    lines = page.read_text(encoding="utf-8").splitlines()
    methods: list[str] = []
    for line in lines[lines.index("Endpoints") + 1 :]:
        if line in ("GET", "POST", "PUT", "PATCH", "DELETE"):
            methods.append(line)
        elif line:
            break
    return methods


def _read_page(page: Path) -> Iterator[Endpoint]:
    lines = page.read_text(encoding="utf-8").splitlines()
    starts = [i for i, line in enumerate(lines) if _TITLE.match(line)]
    for start, end in pairwise([*starts, len(lines)]):
        yield _read_endpoint(page.stem, lines[start:end])


def _read_endpoint(page: str, lines: list[str]) -> Endpoint:
    scope = lines[lines.index("Required API key scopes") + 2]
    values: dict[str, Any] = {"page": page, "title": lines[0], "scope": scope}
    for i, line in enumerate(lines):
        if found := _REQUEST.match(line):
            values["method"], values["path"] = found.groups()
        elif found := _CURL_PATH.match(line):
            values["curl_path"] = found.group(1)
        elif found := _CURL_DATA.match(line):
            values["curl_data"] = (*values.get("curl_data", ()), found.group(1))
        elif found := _STATUS.match(line):
            values["status"], values["no_body"] = int(found.group(1)), bool(found.group(2))
        elif line == "RESPONSE":
            values["response"], _ = json.JSONDecoder().raw_decode("\n".join(lines[i + 1 :]))
    values["parameters"] = {_SECTIONS[k]: _read_bullets(lines, k) for k in _SECTIONS if k in lines}
    return Endpoint(**values)


def _read_bullets(lines: list[str], heading: str) -> tuple[Parameter, ...]:
    """Read the bullets under `heading` up to the next line that is not indented."""
    found: list[dict[str, Any]] = []
    for line in lines[lines.index(heading) + 1 :]:
        if line and not line.startswith(" "):
            break
        if bullet := _BULLET.match(line):
            found.append({"name": bullet.group(1), "type": ""})
        elif choice := _CHOICE.match(line):
            found[-1]["choices"] = (*found[-1].get("choices", ()), choice.group(1))
        elif (text := line.strip()) in _TYPES:
            found[-1]["type"] = text
        elif text.startswith("Default: "):
            found[-1]["default"] = text.removeprefix("Default: ")
        elif text.startswith("One of: "):
            found[-1]["choices"] = tuple(re.findall(r'"(\w+)"', text))
    return tuple(Parameter(**bullet) for bullet in found)
