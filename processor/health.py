"""What a process shows from outside: `/metrics`, `/livez`, `/readyz`."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from socketserver import ThreadingMixIn
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.registry import REGISTRY

Check = Callable[[], tuple[bool, dict[str, Any]]]
"""Returns whether all is well, and the details by name."""

_Start = Callable[[str, list[tuple[str, str]]], Any]


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _QuietHandler(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name of the base class
        """Probes come every few seconds; they are no news."""


class HealthServer:
    """Serves probes and metrics on a thread of its own.

    Args:
        port: 0 takes a free one; `port` then says which.
        live: false when the process should be restarted.
        ready: false when it should get no work; what `/readyz` shows says why.

    OSError from the constructor if the port cannot be had.
    """

    def __init__(
        self, host: str, port: int, *, live: Check, ready: Check, registry: CollectorRegistry = REGISTRY
    ) -> None:
        self._checks = {"/livez": live, "/readyz": ready}
        self._metrics = make_wsgi_app(registry)
        try:
            self._server = make_server(host, port, self._serve, server_class=_Server, handler_class=_QuietHandler)
        except OSError as error:
            raise OSError(f"metrics cannot be served on {host}:{port} ({error.strerror}); set http.port") from error
        self.port: int = self._server.server_port
        self._thread = threading.Thread(target=self._server.serve_forever, name="health", daemon=True)

    def start(self) -> None:
        """Begin to serve."""
        self._thread.start()

    def stop(self) -> None:
        """Stop serving and free the port."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(timeout=5.0)

    def _serve(self, environ: dict[str, Any], start_response: _Start) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        if path == "/metrics":
            return self._metrics(environ, start_response)  # type: ignore[no-any-return]  # untyped WSGI application
        check = self._checks.get(path)
        if check is None:
            start_response("404 Not Found", [("Content-Type", "text/plain")])
            return [b"Gavel serves /metrics, /livez and /readyz here\n"]
        well, details = check()
        status = "200 OK" if well else "503 Service Unavailable"
        start_response(status, [("Content-Type", "application/json")])
        return [json.dumps({"ok": well, **details}).encode() + b"\n"]
