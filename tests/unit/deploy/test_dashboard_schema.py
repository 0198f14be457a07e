"""The dashboards are what Grafana's own schema allows: its published types read them, and lose and mistake nothing."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard

from tests.services.cache import CHECKOUT

DASHBOARDS = sorted((CHECKOUT / "deploy/grafana/dashboards").glob("*.json"))

register_default_plugins()


def lost(given: Any, kept: Any, path: str = "") -> Iterator[str]:
    """Yield the fields of `given` that are not in `kept`, because the schema does not know them."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for key, value in given.items():
            if key in kept:
                yield from lost(value, kept[key], f"{path}.{key}")
            else:
                yield f"{path}.{key}"
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for number, (one, other) in enumerate(zip(given, kept, strict=True)):
            yield from lost(one, other, f"{path}[{number}]")
    elif given != kept:
        yield path


def mistaken(value: Any, hint: Any, path: str = "") -> Iterator[str]:
    """Yield where a value is not of the type that the schema's classes declare."""
    origin, arguments = get_origin(hint), get_args(hint)
    if hint is Any or hint is object:
        return
    if origin in (Union, UnionType):
        found = [[*mistaken(value, each, path)] for each in arguments]
        if all(found):
            yield from max(found, key=lambda problems: problems[0].index(":"))  # the type that fits best tells the most
    elif origin is Literal:
        if value not in arguments:
            yield f"{path}: {value!r}"
    elif origin is list:
        yield from _of_list(value, arguments[0], path)
    elif origin is dict or hint is dict:
        if not isinstance(value, dict):
            yield f"{path}: {value!r}"
    elif isinstance(hint, type) and issubclass(hint, Enum):
        if value not in {each.value for each in hint}:
            yield f"{path}: {value!r}"
    elif hint is float or hint is int:
        if isinstance(value, bool) or not isinstance(value, int | float):
            yield f"{path}: {value!r}"
    elif not isinstance(value, hint):
        yield f"{path}: {value!r}"
    elif hint not in (str, bool, NoneType):
        yield from _of_object(value, path)


def _of_list(value: Any, hint: Any, path: str) -> Iterator[str]:
    if not isinstance(value, list):
        yield f"{path}: {value!r}"
        return
    for number, each in enumerate(value):
        yield from mistaken(each, hint, f"{path}[{number}]")


def _of_object(value: Any, path: str) -> Iterator[str]:
    for name, hint in get_type_hints(type(value)).items():
        yield from mistaken(getattr(value, name), hint, f"{path}.{name}")


def problems(content: dict[str, Any]) -> list[str]:
    """Return what Grafana's schema has against a dashboard."""
    read = Dashboard.from_json(content)
    kept = json.loads(JSONEncoder().encode(read))
    return [*lost(content, kept), *mistaken(read, Dashboard)]


@pytest.mark.parametrize("path", DASHBOARDS, ids=lambda path: path.stem)
def test_a_dashboard_is_what_the_schema_of_grafana_allows(path: Path) -> None:
    assert problems(json.loads(path.read_text())) == []


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"graphTooltips": 1}, ".graphTooltips"),
        ({"graphTooltip": 7}, ".graph_tooltip: 7"),
        ({"tags": "gavel"}, ".tags: 'gavel'"),
        ({"title": 5}, ".title: 5"),
    ],
)
def test_the_check_finds_what_grafana_would_not_read(change: dict[str, Any], found: str) -> None:
    content = json.loads(DASHBOARDS[0].read_text()) | change
    assert problems(content) == [found]


@pytest.mark.parametrize(
    ("part", "change", "found"),
    [
        ("fieldConfig", {"default": {}}, "fieldConfig.default"),
        ("gridPos", {"w": "wide"}, "grid_pos.w: 'wide'"),
        ("options", {"legends": {}}, "options.legends"),
    ],
)
def test_the_check_looks_into_panels(part: str, change: dict[str, Any], found: str) -> None:
    content = copy.deepcopy(json.loads(DASHBOARDS[0].read_text()))
    panel = next(each for each in content["panels"] if each["type"] == "timeseries")
    panel[part].update(change)
    assert any(found in each for each in problems(content))
