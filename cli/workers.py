"""The option `--workers`: several processes of one role under a supervisor."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NoReturn

import typer

from cli.terminal import fail
from processor.exit_codes import EXIT_USAGE

if TYPE_CHECKING:
    import socket

    from config.settings import Settings
    from processor.workers.place import Place

WorkersOption = Annotated[
    int,
    typer.Option(
        "--workers",
        min=1,
        max=64,
        help="Processes of the role under one supervisor, such as one per core. 1 is a single process without one.",
    ),
]
_BESIDE_DRAINING_S = 30.0
"""How long a worker may take to release its connections after its roles have drained."""


def supervise(
    settings: Settings,
    role: str,
    workers: int,
    words: Sequence[str],
    config: Path | None,
    *,
    listen: tuple[str, int] | None = None,
) -> NoReturn:
    """Run workers until a signal, and exit with the code of the supervisor.

    Args:
        words: the command of each worker, for `cli.worker`.
        listen: host and port that the workers share.
    """
    from config.settings.safety import refuse_workers
    from processor.runtime.logs import configure
    from processor.workers.place import reserve
    from processor.workers.supervisor import Crew, RestartLimits, Supervisor, supervisor_socket, worker_folder

    problem = refuse_workers(settings, role)
    if problem:
        fail(problem, code=EXIT_USAGE)
    configure(settings.log.level, settings.log.format)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(worker_folder()))
        try:
            port = 0
            if listen is not None:
                port = stack.enter_context(reserve(*listen)).getsockname()[1]
            limits = RestartLimits(drain_s=settings.watchdog.shutdown_s + settings.ingest.drain_s + _BESIDE_DRAINING_S)

            def start(number: int, at: Path) -> list[str]:
                place = ["--number", number, "--socket", at, "--supervisor", supervisor_socket(folder)]
                place += ["--port", port, "--lifeline", supervisor.lifeline]
                given = [] if config is None else ["--config", config]
                return [sys.executable, "-P", "-m", "cli.worker", *map(str, (*place, *given, *words))]

            crew = Crew(role, workers, start, one_is_enough=listen is not None)
            supervisor = Supervisor(crew, folder, host=settings.http.host, port=settings.http.port, limits=limits)
        except OSError as error:
            fail(f"could not start: {error}; end the process that uses the port, or set another one")
        raise typer.Exit(supervisor.run())


def listener_of(place: Place | None, host: str) -> socket.socket | None:
    """Return the socket of a worker on the port that it shares; None for a single process. Exit with 1 on failure."""
    from processor.workers.place import shared_socket

    if place is None:
        return None
    try:
        return shared_socket(host, place.port)
    except OSError as error:
        fail(f"cannot listen on {host}:{place.port}: {error}; end the process that uses the port, or set another one")


def probes_of(place: Place) -> Callable[[str], tuple[int, bytes]]:
    """Return how a worker lets its supervisor answer a probe."""
    from processor.runtime.health import ask

    return partial(ask, place.supervisor, timeout_s=5.0)
