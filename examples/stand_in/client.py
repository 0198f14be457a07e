"""A stand-in provider in a process of its own, and the way to command it."""

from __future__ import annotations

import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import orjson

CHECKOUT = Path(__file__).resolve().parents[2]


class StandInServer:
    """Starts the server in a process that ends with this one, even if this one is killed. Stop it with `close`.

    `url` is the root of the server, and `base_url` is the address for an OpenAI client.

    Raises:
        RuntimeError: the server ended while it started. Its own message is on standard error.
    """

    def __init__(self, *arguments: str) -> None:
        # The server ends when its standard input does, which the system closes however this process ends.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "examples.stand_in", "--until-stdin-ends", *arguments],
            cwd=CHECKOUT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,  # so that Ctrl-C reaches only the process that started it
            text=True,
        )
        output = self._process.stdout
        self.url = output.readline().strip() if output else ""
        if not self.url:
            raise RuntimeError(f"The stand-in provider ended with exit code {self._process.wait()} while starting.")

    @property
    def base_url(self) -> str:
        """The address for an OpenAI client."""
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
        """End the server. A second call has no effect."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(5)
            except subprocess.TimeoutExpired:
                self._process.kill()
        self._process.communicate()

    def _call(self, method: str, path: str, body: object = None) -> dict[str, Any]:
        data = None if body is None else orjson.dumps(body)
        try:
            with urllib.request.urlopen(
                urllib.request.Request(self.url + path, data, method=method), timeout=60
            ) as reply:
                found: dict[str, Any] = orjson.loads(reply.read())
                return found
        except urllib.error.HTTPError as refused:
            with refused:
                raise ValueError(orjson.loads(refused.read())["error"]) from None
