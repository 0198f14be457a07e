"""A stand-in provider in a process of its own, and the way to command it."""

from __future__ import annotations

import shutil
import sys
import tempfile
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import orjson

from tests.services.cache import CHECKOUT
from tests.services.process import GuardedProcess

START_TIMEOUT_S = 20.0


class StandInServer:
    """Starts the server; `url` is its root, `base_url` what an OpenAI client wants. Stop it with `close`."""

    def __init__(self, *arguments: str) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="gavel-stand-in-"))
        log = self._folder / "log"
        self._process = GuardedProcess(
            [sys.executable, "-m", "tests.stand_in", *arguments],
            log=log,
            env={"PYTHONPATH": str(CHECKOUT)},
            scratch=[self._folder],
        )
        ready = lambda: log.read_text().endswith("\n")  # noqa: E731 - its first line is the address
        self._process.wait_until(ready, timeout_s=START_TIMEOUT_S, what="The stand-in provider")
        self.url = log.read_text().splitlines()[0]

    @property
    def base_url(self) -> str:
        """Where an OpenAI client finds it."""
        return f"{self.url}/v1"

    def script(self, *rules: dict[str, Any]) -> None:
        """Append rules (see `script.py`). Raise ValueError for one that cannot be."""
        self._call("POST", "/_script", {"rules": rules})

    def settings(self, **changes: Any) -> None:
        """Change `latency_s`, `jitter_s` or `max_concurrent`."""
        self._call("POST", "/_settings", changes)

    def requests(self, *, since: int = 0, bodies: bool = False) -> list[dict[str, Any]]:
        """Return the log of calls to models, oldest first."""
        found: list[dict[str, Any]] = self._call("GET", f"/_requests?since={since}&bodies={int(bodies)}")["requests"]
        return found

    def stats(self) -> dict[str, Any]:
        """Return counts: `received`, `in_flight`, `most_in_flight`, `statuses`, `rules`."""
        return self._call("GET", "/_stats")

    def reset(self) -> None:
        """Forget rules, log, counts and settings."""
        self._call("POST", "/_reset", {})

    def close(self) -> None:
        """End the server."""
        self._process.terminate(grace_s=5)
        shutil.rmtree(self._folder, ignore_errors=True)

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else orjson.dumps(body)
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.url + path, data, method=method), timeout=10
            ) as reply:
                found: dict[str, Any] = orjson.loads(reply.read())
                return found
        except urllib.error.HTTPError as refused:
            with refused:
                raise ValueError(orjson.loads(refused.read())["error"]) from None
