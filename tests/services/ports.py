"""TCP ports of loopback that stay free until the server that they are for has them."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path

from tests.services.cache import locked

_EPHEMERAL = Path("/proc/sys/net/ipv4/ip_local_port_range")
_LOWEST = 10_000
_ENOUGH = 2_000


def free_ports(count: int) -> list[int]:
    """Return `count` different ports of 127.0.0.1 that nothing else takes, for servers that start later.

    They are none of those that the system gives to outgoing connections and to port 0, and every call on this machine,
    from whatever process, gets the next ones: a server that is killed finds its port free when it starts again.

    Raises:
        OSError: fewer ports are free.
    """
    ports = _apart_from_ephemeral()
    found: list[int] = []
    with locked(Path(tempfile.gettempdir()) / f"gavel-test-ports.{os.getuid()}") as descriptor:
        last = int(os.pread(descriptor, 16, 0) or b"0")
        start = next((place for place, port in enumerate(ports) if port > last), 0)
        for port in ports[start:] + ports[:start]:
            if _is_free(port):
                found.append(port)
                if len(found) == count:
                    os.pwrite(descriptor, b"%-16d" % port, 0)
                    return found
    raise OSError(f"127.0.0.1 has only {len(found)} free ports of the {count} that a test needs; end other programs")


def _apart_from_ephemeral() -> list[int]:
    low, high = map(int, _EPHEMERAL.read_text().split())
    ports = [port for port in range(_LOWEST, 65536) if not low <= port <= high]
    return ports if len(ports) >= _ENOUGH else list(range(_LOWEST, 65536))


def _is_free(port: int) -> bool:
    with socket.socket() as made:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # a port that was left lately is free
        try:
            made.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def accepts(port: int) -> bool:
    """Tell whether something accepts connections on this port of 127.0.0.1."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
