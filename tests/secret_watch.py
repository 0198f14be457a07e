"""Knows the secrets that the tests really use, and looks for them wherever the project prints, logs or answers.

`watch` registers a secret when it is made, and `look` searches a text. A `Leak` names the place of a secret that was
found. `tests/secret_taps.py` calls both, because it is connected to every maker of secrets and of texts. `look` also
searches for the usual forms of secrets, because some secret may not have been registered.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote

FORMS = re.compile(r"\bsk-[a-z]+-[0-9]{9,}|\bgvl_[A-Za-z0-9_-]{20,}")
"""Provider keys as tests write them, longer than their masks, and API keys."""

SHORTEST = 6
"""Characters below which a text is too common to be searched for, whatever it is used as."""
_PREFIX = 4
_SECRET_NAMES = re.compile(r"SECRET|PASSWORD|API_KEY|TOKEN")
_URL_PASSWORD = re.compile(r"://[^\s/?#@]*?:([^\s/?#@]+)@")
_QUERY_PASSWORD = re.compile(r"[?&][a-z_]*password=([^\s&#]+)", re.IGNORECASE)


class Leak(NamedTuple):
    """A secret where none may be: its beginning, enough to find it by, and the place."""

    secret: str
    place: str

    def __str__(self) -> str:
        return f"the secret {self.secret} is in {self.place}"


_WORDS_OF_OURS = frozenset({"secret", "password"})
"""Passwords of examples that our own texts are full of: the test that uses one looks for it by itself."""
_WORD = re.compile(r"[a-z]+(_[a-z]+)*")


class SecretWatch:
    """The registered secrets, and the leaks that are not yet reported."""

    def __init__(self) -> None:
        self._by_prefix: defaultdict[str, set[str]] = defaultdict(set)
        self._logs: dict[Path, list[int]] = {}
        """The size that each log had when the first process began to write to it, a time for each that writes."""
        self._leaks: list[Leak] = []

    # -- the secrets

    def watch(self, secret: str) -> None:
        """Look for `secret` from now on. Texts too short to tell are left out."""
        secret = secret.strip()
        if len(secret) >= SHORTEST and secret not in _WORDS_OF_OURS:
            self._by_prefix[secret[:_PREFIX]].add(secret)

    def watch_value(self, value: str) -> None:
        """Look for a value that something treats as secret.

        The secret of a DSN is its password. Other values are registered only if they look like secrets, because
        generated bodies give any text as a key, and every option of librdkafka is treated as a secret. A value that
        is short, monotonous or a plain word (`read_uncommitted`) would be found everywhere.
        """
        if "://" in value:
            for password in [*_URL_PASSWORD.findall(value), *_QUERY_PASSWORD.findall(value)]:
                self.watch(password)
                self.watch(unquote(password))
        elif len(value) >= 10 and len(set(value)) >= 8 and not _WORD.fullmatch(value):
            self.watch(value)

    def watch_environment(self, environment: Mapping[str, str]) -> None:
        """Look for the secrets that a process is given by its environment."""
        for name, value in environment.items():
            if name.endswith("DSN"):
                self.watch_value(value)
            elif name.startswith("GAVEL_") and _SECRET_NAMES.search(name) and not name.endswith("_FILE"):
                for part in value.split(","):
                    self.watch_value(part)

    # -- where it is looked for

    def find(self, text: str) -> str | None:
        """Return the beginning of a secret in `text`, or None."""
        found = FORMS.search(text)
        if found is not None:
            return _shortened(found[0])
        for prefix, secrets in list(self._by_prefix.items()):
            place = text.find(prefix)
            while place >= 0:
                for secret in list(secrets):
                    if text.startswith(secret, place):
                        return _shortened(secret)
                place = text.find(prefix, place + 1)
        return None

    def look(self, text: str, place: str) -> None:
        """Note a leak if `text` holds a secret."""
        secret = self.find(text) if text else None
        if secret is not None:
            self._leaks.append(Leak(secret, place))

    def follow(self, log: Path) -> None:
        """Look through what one more process writes to `log`, when it is settled or at the end of the session."""
        starts = self._logs.setdefault(log, [])
        starts.append(starts[0] if starts else log.stat().st_size if log.exists() else 0)

    def settle(self, log: Path) -> None:
        """Search `log`, because one of its writers has ended. A second call has no effect.

        A log that is gone before it was looked through is told as a leak: nobody can say that it was none.
        """
        starts = self._logs.get(log)
        if starts is None:
            return
        start = starts.pop()
        if not starts:
            del self._logs[log]
        try:
            with log.open("rb") as file:
                file.seek(start)
                text = file.read().decode(errors="replace")
        except FileNotFoundError:
            self._leaks.append(Leak("(unknown)", f"{log}, which was removed before it was looked through"))
            return
        self.look(text, f"the log {log}")

    def settle_all(self) -> None:
        """Look through the logs of processes that nobody ended."""
        for log in list(self._logs):
            self.settle(log)

    # -- the leaks

    def report(self, leaks: Iterable[Leak]) -> None:
        """Add leaks that another process found."""
        self._leaks.extend(leaks)

    def take(self) -> list[Leak]:
        """Return the leaks since the last call."""
        taken, self._leaks = self._leaks, []
        return taken


def _shortened(secret: str) -> str:
    return f"{secret[: min(8, len(secret) // 2)]}…"


WATCH = SecretWatch()
"""That of this process: taps are everywhere, and a leak is told once."""
