"""The place of a worker below its supervisor: its number, its sockets, and its end when the supervisor is gone."""

from __future__ import annotations

import os
import signal
import socket
import threading
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Place:
    """The place of one worker.

    Attributes:
        number: from 0, the same after each restart: static membership and transactions go by it.
        socket: where this process serves its probes and metrics to the supervisor.
        supervisor: where the supervisor serves those of all workers.
        port: that the workers of an HTTP role share; 0 for other roles.
        lifeline: file descriptor that reads the end of its stream when the supervisor is gone.
    """

    number: int
    socket: Path
    supervisor: Path
    port: int
    lifeline: int


def end_with(lifeline: int) -> None:
    """Let this process drain and end once the supervisor is gone, however it ended."""

    def wait() -> None:
        os.read(lifeline, 1)
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=wait, name="lifeline", daemon=True).start()


def shared_socket(host: str, port: int) -> socket.socket:
    """Return a bound socket that does not listen yet; the kernel spreads connections over all that listen.

    A connection that waits in the queue of a worker that is killed is reset, and its client connects again.

    Raises:
        OSError: the port cannot be had.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        made.bind(address)
    except OSError:
        made.close()
        raise
    return made


def reserve(host: str, port: int) -> socket.socket:
    """Return a socket that keeps `port` for the workers; it never listens, so it gets no connection.

    Raises:
        OSError: another program uses the port, even if it would share it.
    """
    family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    with socket.socket(family, kind, protocol) as alone:
        alone.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        alone.bind(address)
        alone.listen(1)
        port = alone.getsockname()[1]
    return shared_socket(host, port)
