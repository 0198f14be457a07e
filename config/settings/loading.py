"""Reading the settings: command line over environment over file over defaults.

The environment writes `kafka.bootstrap_servers` as `GAVEL_KAFKA__BOOTSTRAP_SERVERS`. Any setting can be
read from a file instead, by `GAVEL_KAFKA__SASL_PASSWORD_FILE=/run/secrets/password`: what a mounted
Kubernetes or Docker secret needs. The settings file is `gavel.yaml`, or what `GAVEL_CONFIG` names.

    SettingsError                   everything that is wrong, one line each
"""

from __future__ import annotations

import difflib
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from config.given import UnreadableFile, read_given
from config.settings.root import Settings

PREFIX = "GAVEL_"
DEFAULT_FILE = Path("gavel.yaml")
_SECRET_FILE_LIMIT_BYTES = 1_048_576
_SETTINGS_FILE_LIMIT_BYTES = 1_048_576

_NOT_SETTINGS = re.compile(
    r"GAVEL_CONFIG|GAVEL_TEST_\w+"
    # Kubernetes puts these variables into every pod for a Service whose name begins with `gavel`.
    r"|GAVEL_(?:(?!\w*__)\w+_)?(?:SERVICE_HOST|SERVICE_PORT(?:_\w+)?|PORT(?:_\d+_(?:TCP|UDP|SCTP)(?:_\w+)?)?)"
)


class SettingsError(ValueError):
    """Settings that cannot be used.

    Attributes:
        problems: one line each, `setting: what is wrong; what to do`. No value of a secret is in them.
    """

    def __init__(self, problems: Sequence[str]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(self.problems))


def load_settings(
    path: Path | None = None,
    *,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Read and validate all settings.

    Args:
        path: the settings file; without one `GAVEL_CONFIG`, or `gavel.yaml` if it exists.
        environ: read in place of the process's environment.
        overrides: values over all others, nested as in the file.

    Raises:
        SettingsError: with every problem that was found.
    """
    environ = os.environ if environ is None else environ
    file = settings_file(path, environ)
    from_file = {} if file is None else read_settings_file(file)
    from_environment = read_environment(environ)

    class Loaded(Settings):
        layers = (from_environment, from_file)

    try:
        return Loaded(**(overrides or {}))
    except ValidationError as error:
        raise SettingsError([_describe(problem) for problem in error.errors(include_url=False)]) from None


def settings_file(path: Path | None, environ: Mapping[str, str]) -> Path | None:
    """Return the settings file to read, or None if there is none."""
    if path is not None:
        return path
    if environ.get("GAVEL_CONFIG"):
        return Path(environ["GAVEL_CONFIG"])
    return DEFAULT_FILE if DEFAULT_FILE.exists() else None


def setting_names(model: type[BaseModel] = Settings, prefix: str = "") -> Iterator[str]:
    """Yield the dotted name of every setting."""
    for name, field in model.model_fields.items():
        if isinstance(field.annotation, type) and issubclass(field.annotation, BaseModel):
            yield from setting_names(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name


def variable_name(setting: str) -> str:
    """Return the environment variable of a dotted setting."""
    return PREFIX + setting.replace(".", "__").upper()


def read_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Return the settings that `environ` holds, nested, as text that is not validated yet.

    Raises:
        SettingsError: a variable that is not a setting, a secret's file that cannot be read, or both forms at once.
    """
    settings = {variable_name(name): name for name in setting_names()}
    found: dict[str, Any] = {}
    problems: list[str] = []
    for variable in sorted(environ):
        if not variable.startswith(PREFIX) or _NOT_SETTINGS.fullmatch(variable):
            continue
        plain = variable.removesuffix("_FILE")
        if variable in settings:
            _put(found, settings[variable], environ[variable])
        elif plain in settings and plain in environ:
            problems.append(f"{variable}: {plain} is set too, and one of them would be ignored; unset one")
        elif plain in settings:
            try:
                _put(found, settings[plain], _read_secret(Path(environ[variable])))
            except ValueError as error:
                problems.append(f"{variable}: {error}; mount the file or correct the path")
        else:
            problems.append(f"{variable}: is not a setting{_did_you_mean(variable, settings)}")
    if problems:
        raise SettingsError(problems)
    return found


def _put(nested: dict[str, Any], setting: str, value: str) -> None:
    *sections, name = setting.split(".")
    for section in sections:
        nested = nested.setdefault(section, {})
    nested[name] = value


def _read_secret(path: Path) -> str:
    try:
        text = read_given(path, limit_bytes=_SECRET_FILE_LIMIT_BYTES).decode()
    except UnicodeDecodeError:
        raise ValueError(f"{path} is not UTF-8 text; save it as UTF-8") from None
    text = text.removesuffix("\n").removesuffix("\r")
    if not text:
        raise ValueError(f"{path} is empty; write the value into it")
    return text


def read_settings_file(path: Path) -> dict[str, Any]:
    """Return what the settings file holds, not validated yet.

    Raises:
        SettingsError: it cannot be read, or is not a YAML mapping; the problem names file and line.
    """
    try:
        content = yaml.safe_load(read_given(path, limit_bytes=_SETTINGS_FILE_LIMIT_BYTES).decode())
    except UnreadableFile as error:
        raise SettingsError([f"{error} (--config or GAVEL_CONFIG)"]) from None
    except UnicodeDecodeError:
        raise SettingsError([f"{path}: is not UTF-8 text; save it as UTF-8"]) from None
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        # `problem` is the parser's, without the line of text around it, which may hold a secret.
        raise SettingsError([f"{where}: is not YAML ({getattr(error, 'problem', 'unreadable')}); correct it"]) from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise SettingsError(
            [f"{path}: holds {type(content).__name__}; write sections such as `kafka:` with settings under them"]
        )
    return {str(key): value for key, value in content.items()}


def _describe(error: ErrorDetails) -> str:
    """Return one of pydantic's errors as `setting: what is wrong; what to do`, without the value."""
    location = [str(part) for part in error["loc"]]
    name = ".".join(location)
    text = error["msg"].removeprefix("Value error, ")
    if error["type"] == "extra_forbidden":
        siblings = [
            known for known in setting_names() if known.startswith("".join(f"{part}." for part in location[:-1]))
        ]
        sections = {".".join(known.split(".")[: len(location)]) for known in siblings}
        return f"{name}: is not a setting{_did_you_mean(name, sorted(sections | set(setting_names())))}"
    if not name:
        # The checks across settings name the setting themselves.
        return text
    if error["type"] == "value_error":
        return f"{name}: {text}"
    variable = variable_name(".".join(_of_setting(location)))
    return f"{name}: {text[:1].lower()}{text[1:]}; set {variable} or correct the file"


def _of_setting(location: Sequence[str]) -> Sequence[str]:
    """Return a location without its end inside a setting's value, such as an index, a key or a branch of a union."""
    known = set(setting_names())
    for length in range(len(location), 0, -1):
        if ".".join(location[:length]) in known:
            return location[:length]
    return location


def _did_you_mean(name: str, known: Mapping[str, Any] | Sequence[str]) -> str:
    close = difflib.get_close_matches(name, list(known), n=1, cutoff=0.75)
    if close:
        return f"; did you mean {close[0]}?"
    return "; docs/configuration.md lists all of them, and `gavel config show` what is set"
