"""Connects the secret watch to all that makes secrets and all that makes texts; a pytest plugin.

| secrets | noted at |
|---|---|
| provider keys, secret keys, passwords, DSNs | every `SecretStr`, in settings, bodies and stores |
| API keys | `ApiKeys.create` |
| the environment of processes | `GuardedProcess`, `subprocess` |

| texts | looked at in |
|---|---|
| output and logs of tests | the report of each phase; `capsys`, `capfd`, `capture_logs`, which take them away from it |
| HTTP responses | the ASGI application and the health server, whoever asks and whichever way |
| commands in process, and as processes | `CliRunner.invoke`; `Popen.communicate`, which `subprocess.run` uses |
| logs of processes | `GuardedProcess`, when the process ends; at the end of the session the remaining ones |

Secrets are shown on purpose in the standard output of `gavel keys create`, `gavel keys new-secret` and
`gavel reports secret`.
"""

from __future__ import annotations

import functools
import itertools
import os
import subprocess
from collections.abc import Callable, Generator, Iterable, Sequence
from typing import Any

import pydantic.types
import pytest
import structlog.testing
import typer.testing
from fastapi import FastAPI

from processor.runtime.health import HealthServer
from storage.sql.api_keys import ApiKeys
from tests.secret_watch import WATCH, Leak

_SHOWN_ON_PURPOSE = (("keys", "create"), ("keys", "new-secret"), ("reports", "secret"))
_LEAKS = pytest.StashKey[list[Leak]]()


def shows_a_secret_on_purpose(arguments: Sequence[object]) -> bool:
    """Whether a command line is one of the two whose standard output is a new secret, shown this one time."""
    words = [str(argument) for argument in arguments]
    return any(pair in itertools.pairwise(words) for pair in _SHOWN_ON_PURPOSE)


# -- hooks of pytest


def pytest_configure(config: pytest.Config) -> None:
    """Connect everything."""
    config.stash[_LEAKS] = []
    install()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Fail the test during which, or during whose setup or teardown, a secret came out."""
    report = yield
    for text, place in (
        (report.capstdout, "the standard output"),
        (report.capstderr, "the standard error"),
        (report.caplog, "the captured log"),
    ):
        WATCH.look(text, f"{place} of {item.nodeid} ({report.when})")
    leaks = WATCH.take()
    if leaks:
        told = "\n".join(map(str, leaks))
        report.sections.append(("Secrets that came out", told))
        if report.passed:
            report.outcome = "failed"
            report.longrepr = f"{item.nodeid}: during {report.when}\n{told}"
    return report


@pytest.hookimpl(tryfirst=True)
def pytest_sessionfinish(session: pytest.Session) -> None:
    """Search the remaining texts, and fail the session if one holds a secret."""
    WATCH.settle_all()
    leaks = [*session.config.stash[_LEAKS], *WATCH.take()]
    session.config.stash[_LEAKS] = leaks
    output = getattr(session.config, "workeroutput", None)
    if output is not None:  # a worker of pytest-xdist: its controller tells
        output["leaks"] = [tuple(leak) for leak in leaks]
    elif leaks and session.exitstatus == pytest.ExitCode.OK:
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    """Say what no test could be failed for."""
    for leak in config.stash[_LEAKS]:
        terminalreporter.write_line(f"FAILED: {leak}", red=True)


class _Workers:
    """Collects what the workers of pytest-xdist found at their ends."""

    def __init__(self, leaks: list[Leak]) -> None:
        self._leaks = leaks

    @pytest.hookimpl(optionalhook=True)
    def pytest_testnodedown(self, node: Any, error: object) -> None:
        self._leaks.extend(Leak(*each) for each in getattr(node, "workeroutput", {}).get("leaks", ()))


@pytest.hookimpl(trylast=True)
def pytest_sessionstart(session: pytest.Session) -> None:
    """Listen to workers."""
    session.config.pluginmanager.register(_Workers(session.config.stash[_LEAKS]), "secret-taps-workers")


# -- taps


@functools.cache
def install() -> None:
    """Put a tap into each place of the table above; once per process."""
    WATCH.watch_environment(os.environ)
    _after(pydantic.types._SecretBase, "__init__", lambda _made, _self, value: _watch_secret(value))
    _after(ApiKeys, "create", lambda made, *_, **__: WATCH.watch(made[1]))
    _after(pytest.CaptureFixture, "readouterr", lambda read, *_: _look_at_capture(read))
    _after(typer.testing.CliRunner, "invoke", _look_at_command)
    _after(subprocess.Popen, "__init__", lambda _made, _self, *_, env=None, **__: WATCH.watch_environment(env or {}))
    _after(subprocess.Popen, "communicate", _look_at_process)
    _after(structlog.testing.LogCapture, "__init__", lambda _made, self: self.__dict__.update(entries=_Entries()))
    FastAPI.__call__ = _tapped_application(FastAPI.__call__)  # to see all that goes out
    HealthServer._serve = _tapped_health(HealthServer._serve)  # to see all that goes out


def _after(owner: Any, name: str, tap: Callable[..., object]) -> None:
    """Call `tap(result, *arguments)` after each call of a method."""
    method = getattr(owner, name)

    @functools.wraps(method)
    def tapped(*arguments: Any, **options: Any) -> Any:
        result = method(*arguments, **options)
        tap(result, *arguments, **options)
        return result

    setattr(owner, name, tapped)


def _watch_secret(value: object) -> None:
    if isinstance(value, str):
        WATCH.watch_value(value)


def _look_at_capture(read: Any) -> None:
    for text in read:
        WATCH.look(_text(text), "captured output")


def _look_at_command(result: Any, _runner: object, _app: object, args: Any = None, *_: Any, **__: Any) -> None:
    words = args.split() if isinstance(args, str) else [str(word) for word in args or ()]
    _look_at_output(words, result.stdout, result.stderr)


def _look_at_process(read: tuple[Any, Any], process: subprocess.Popen[Any], *_: Any, **__: Any) -> None:
    command = process.args if isinstance(process.args, list | tuple) else [process.args]
    _look_at_output([str(word) for word in command], *map(_text, read))


def _look_at_output(words: Sequence[str], stdout: str, stderr: str) -> None:
    place = " ".join(words)[:200]
    if not shows_a_secret_on_purpose(words):
        WATCH.look(stdout, f"the standard output of `{place}`")
    WATCH.look(stderr, f"the standard error of `{place}`")


class _Entries(list[Any]):
    """The entries of `structlog.testing.capture_logs`, looked at as they come."""

    def append(self, entry: Any) -> None:
        WATCH.look(repr(entry), f"the log event {entry.get('event')!r}")
        super().append(entry)


def _text(read: object) -> str:
    if isinstance(read, bytes):
        return read.decode(errors="replace")
    return read if isinstance(read, str) else ""


def _tapped_application(application: Callable[..., Any]) -> Callable[..., Any]:
    async def tapped(self: FastAPI, scope: Any, receive: Any, send: Any) -> None:
        parts: list[bytes] = []

        async def look_and_send(message: Any) -> None:
            if message["type"] == "http.response.start":
                parts.extend(b": ".join(field) + b"\n" for field in message.get("headers", ()))
            elif message["type"] == "http.response.body":
                parts.append(message.get("body", b""))
                if not message.get("more_body", False):
                    WATCH.look(_text(b"".join(parts)), f"the response to {scope['method']} {scope['path']}")
            await send(message)

        await application(self, scope, receive, look_and_send)

    return tapped


def _tapped_health(serve: Callable[..., Iterable[bytes]]) -> Callable[..., Iterable[bytes]]:
    def tapped(self: HealthServer, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        parts = list(serve(self, environ, start_response))
        WATCH.look(_text(b"".join(parts)), f"the response to {environ['PATH_INFO']} of the health server")
        return parts

    return tapped
