"""The settings described: one table for the documentation, one for `gavel config show`."""

from __future__ import annotations

import os
import re
import types
import typing
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from pydantic import BaseModel, SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined

from config.settings.loading import load_settings, read_environment, settings_file, variable_name
from config.settings.loading import read_settings_file as read_file
from config.settings.root import Settings

_HIDDEN = "***"
_SECRET_PARAMETER = re.compile(r"(?i)((?:^|&)[^=&]*(?:password|passwd|secret|token|key)[^=&]*=)[^&]*")


@dataclass(frozen=True, slots=True)
class SettingInForce:
    """One setting as it is in force. `source` is a variable, a file or `default`; the value of a secret is hidden."""

    name: str
    value: Any
    source: str


def describe_settings(path: Path | None = None, *, environ: Mapping[str, str] | None = None) -> list[SettingInForce]:
    """Return every setting with its value and where it comes from.

    Raises:
        SettingsError: see `load_settings`.
    """
    environ = os.environ if environ is None else environ
    settings = load_settings(path, environ=environ)
    file = settings_file(path, environ)
    in_file = {} if file is None else read_file(file)
    in_environment = read_environment(environ)
    rows = []
    for name, _ in _fields(Settings):
        variable = variable_name(name)
        if _look_up(in_environment, name) is not None:
            source = variable if variable in environ else f"{variable}_FILE"
        else:
            source = str(file) if _look_up(in_file, name) is not None else "default"
        rows.append(SettingInForce(name, shown(_look_up(settings, name)), source))
    return rows


def _look_up(tree: Any, name: str) -> Any:
    for part in name.split("."):
        tree = tree.get(part) if isinstance(tree, Mapping) else getattr(tree, part, None)
    return tree


def shown(value: Any) -> Any:
    """Return a JSON value for people: secrets hidden, but a DSN's host and database readable."""
    if isinstance(value, SecretStr):
        secret = value.get_secret_value()
        return redact_dsn(secret) if "://" in secret else _HIDDEN
    if isinstance(value, Mapping):
        return {key: shown(inner) for key, inner in value.items()}
    if isinstance(value, tuple | list):
        return [shown(inner) for inner in value]
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, str) and "://" in value:
        return redact_dsn(value)
    return value


def redact_dsn(dsn: str) -> str:
    """Return a DSN without its password, wherever a DSN may carry one."""
    try:
        parts = urlsplit(dsn)
    except ValueError:
        return _HIDDEN
    login, at, host = parts.netloc.rpartition("@")
    if at:
        user, colon, _ = login.partition(":")
        host = f"{user}:{_HIDDEN}@{host}" if colon else f"{login}@{host}"
    query = _SECRET_PARAMETER.sub(rf"\g<1>{_HIDDEN}", parts.query)
    rest = f"?{query}" if query else ""
    return f"{parts.scheme}://{host}{parts.path}{rest}"


def _fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo]]:
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from _fields(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name, field


def settings_table() -> str:
    """Return the Markdown of all settings: a heading and a table per section."""
    sections: dict[str, list[str]] = {}
    for name, field in _fields(Settings):
        section = name.rpartition(".")[0]
        description = " ".join((field.description or "").split()).replace("|", "\\|")
        row = f"| `{name}` | `{variable_name(name)}` | {_type(field.annotation)} | {_default(field)} | {description} |"
        sections.setdefault(section, []).append(row)
    parts = []
    for section, rows in sections.items():
        parts.append(f"### {section or 'General'}\n")
        parts.append("| setting | variable | value | default | meaning |\n|---|---|---|---|---|")
        parts.append("\n".join(rows) + "\n")
    return "\n".join(parts)


def _type(annotation: Any) -> str:
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is typing.Literal:
        return ", ".join(f"`{each}`" for each in arguments)
    if origin in (typing.Union, types.UnionType):
        return _type(next(each for each in arguments if each is not type(None)))
    names = {bool: "`true`, `false`", int: "integer", float: "number", SecretStr: "text, secret", Path: "path"}
    if annotation in names:
        return names[annotation]
    if origin is tuple:
        return f"list of {_type(arguments[0])}s".replace("texts, secrets", "secrets").replace(
            "text, secrets", "secrets"
        )
    return "mapping" if origin is dict else "text"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is PydanticUndefined:
        return "in `data_dir`"
    if value is None or value == () or value == {}:
        return "–"
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"
