"""The endpoints of a process for its operators: `/metrics`, `/livez`, `/readyz`.

A worker serves them on a Unix socket, where its supervisor asks, with `/samples`: its metrics to be added up.
"""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterable
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from socketserver import TCPServer, ThreadingMixIn
from time import sleep
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import REGISTRY

from processor.runtime.samples import encode_samples

_SENDING_S = 1.0
"""How long the answer of a scrape may take on its way once it is made."""
Check = Callable[[], tuple[bool, dict[str, Any]]]
"""Returns whether all is well, and the details by name."""

_Start = Callable[[str, list[tuple[str, str]]], Any]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _SocketServer(_Server):
    """The same on a Unix socket, which has neither a host nor a port."""

    address_family = socket.AF_UNIX

    def server_bind(self) -> None:
        TCPServer.server_bind(self)
        self.server_name, self.server_port = "worker", 0
        self.setup_environ()

    def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
        return self.socket.accept()[0], ("worker", 0)


class _SocketConnection(HTTPConnection):
    def __init__(self, path: Path, timeout_s: float) -> None:
        super().__init__("worker", timeout=timeout_s)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(str(self._path))


def ask(path: Path, what: str, timeout_s: float) -> tuple[int, bytes]:
    """Return status and body of `/livez`, `/readyz`, `/metrics` or `/samples` of the process behind a Unix socket.

    Raises:
        OSError: it does not answer in time.
    """
    connection = _SocketConnection(path, timeout_s)
    try:
        connection.request("GET", what)
        answer = connection.getresponse()
        return answer.status, answer.read()
    except HTTPException as error:
        raise OSError(f"{path}: {error}") from error
    finally:
        connection.close()


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name of the base class
        """Log nothing, because probes come every few seconds."""


class HealthServer:
    """Serves probes and metrics on a thread of its own.

    Args:
        port: 0 takes a free one; `port` then says which.
        at: serve on this Unix socket instead, with `/samples`.
        live: false when the process should be restarted.
        ready: false when it should get no work; what `/readyz` shows says why.

    OSError from the constructor if the port cannot be had.
    """

    def __init__(
        self,
        host: str,
        port: int,
        *,
        live: Check,
        ready: Check,
        registry: CollectorRegistry = REGISTRY,
        at: Path | None = None,
    ) -> None:
        self._registry = registry
        self._at = at
        self._checks = {"/livez": live, "/readyz": ready}
        self._scrapes = threading.Condition()
        self._metrics = make_wsgi_app(registry)
        try:
            if at is None:
                self._server = make_server(host, port, self._serve, server_class=_Server, handler_class=_QuietHandler)
            else:
                self._server = _SocketServer(str(at), _QuietHandler)  # type: ignore[arg-type]  # a path is its address
                self._server.set_app(self._serve)
        except OSError as error:
            where = at or f"{host}:{port}"
            raise OSError(f"metrics cannot be served on {where} ({error.strerror}); set http.port") from error
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def await_scrape(self, timeout_s: float) -> bool:
        """Block until the metrics are read and sent; return False if nobody reads them in time."""
        with self._scrapes:
            read = self._scrapes.wait(timeout_s)
        if read:
            sleep(_SENDING_S)
        return read

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5.0)
        if self._at is not None:
            self._at.unlink(missing_ok=True)

    def _serve(self, environ: dict[str, Any], start_response: _Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics" or (path == "/samples" and self._at is not None):
            body = self._count(path, environ, start_response)
            with self._scrapes:
                self._scrapes.notify_all()
            return body
        check = self._checks.get(path)
        if check is None:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"Gavel serves /metrics, /livez and /readyz here\n"]
        well, details = check()
        status = "200 OK" if well else "503 Service Unavailable"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps({"ok": well, **details}).encode() + b"\n"]

    def _count(self, path: str, environ: dict[str, Any], start_response: _Start) -> Iterable[bytes]:
        if path == "/metrics":
            made: Iterable[bytes] = self._metrics(environ, start_response)
            return made
        start_response("200 OK", [("Content-Type", "application/msgpack")])
        return [encode_samples(self._registry)]
