"""`python -m cli.probe`: the image's health check. It asks the port that the container's command listens on.

Exit code 0: the process lives; 1: it does not answer, or wants to be restarted.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.error import URLError
from urllib.request import urlopen

if TYPE_CHECKING:
    from config.settings import Settings

_FIRST_PROCESS = Path("/proc/1/cmdline")
_ANSWERS_WITHIN_S = 2.0


def main() -> int:
    """Ask `/livez` of the container's first process and return the exit code."""
    from config.settings import SettingsError, load_settings

    command = read_command(_FIRST_PROCESS)
    try:
        settings = load_settings(config_of(command))
        with urlopen(f"http://127.0.0.1:{port_of(command, settings)}/livez", timeout=_ANSWERS_WITHIN_S):
            return 0
    except (SettingsError, URLError, OSError) as error:
        sys.stderr.write(f"gavel: not alive: {error}\n")
        return 1


def read_command(path: Path) -> list[str]:
    """Return the words behind `gavel` of the command line in `path`; empty if it is another command."""
    try:
        words = path.read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return []
    for place, word in enumerate(words):
        if Path(word).name == "gavel":
            return [each for each in words[place + 1 :] if each]
    return []


def config_of(command: Sequence[str]) -> Path | None:
    """Return the settings file that a command names with `--config`, or None."""
    for place, word in enumerate(command):
        if word.startswith("--config="):
            return Path(word.removeprefix("--config="))
        if word == "--config" and place + 1 < len(command):
            return Path(command[place + 1])
    return None


def port_of(command: Sequence[str], settings: Settings) -> int:
    """Return the port of `/livez`: the front door serves it beside its own paths, all others on `http.port`."""
    serves_events = command[:1] == ["ingest"] or "ingest" in command[1:]
    return settings.ingest.port if serves_events else settings.http.port


if __name__ == "__main__":
    sys.exit(main())
