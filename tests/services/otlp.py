"""An OTLP/HTTP receiver over the official protobufs, which can also fail or hang as a real one does."""

from __future__ import annotations

import gzip
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest, ExportLogsServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue

from tests.services.waiting import PATIENCE_S


def attributes(pairs: Any) -> dict[str, Any]:
    """Return attributes as a dict of plain values."""

    def plain(pair: KeyValue) -> Any:
        return getattr(pair.value, pair.value.WhichOneof("value"))

    return {pair.key: plain(pair) for pair in pairs}


class OtlpReceiver:
    """A running receiver.

    Attributes:
        spans, logs: as they came, newest last; of the protobufs.
        resources: attributes of the resources that sent them.
        headers: of the newest request.
        go_on: cleared while requests are to wait for an answer.
        status: to answer with; anything but 200 keeps nothing.
    """

    def __init__(self) -> None:
        self.spans: list[Any] = []
        self.logs: list[Any] = []
        self.resources: list[dict[str, Any]] = []
        self.headers: dict[str, str] = {}
        self.requests = 0
        self.status = 200
        self.go_on = threading.Event()
        self.go_on.set()
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                receiver._take(self)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # the name of the base class
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _take(self, request: BaseHTTPRequestHandler) -> None:
        body = request.rfile.read(int(request.headers["Content-Length"]))
        if request.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.headers = {name.lower(): value for name, value in request.headers.items()}
        self.requests += 1
        self.go_on.wait(PATIENCE_S)
        answer = b""
        if self.status == 200:
            answer = self._keep(request.path, body)
        try:
            request.send_response(self.status)
            request.send_header("Content-Type", "application/x-protobuf")
            request.send_header("Content-Length", str(len(answer)))
            request.end_headers()
            request.wfile.write(answer)
        except OSError:
            return  # the client did not wait

    def _keep(self, path: str, body: bytes) -> bytes:
        if path == "/v1/traces":
            traces = ExportTraceServiceRequest.FromString(body)
            for resource in traces.resource_spans:
                self.resources.append(attributes(resource.resource.attributes))
                self.spans += [span for scope in resource.scope_spans for span in scope.spans]
            return ExportTraceServiceResponse().SerializeToString()
        assert path == "/v1/logs", path
        logs = ExportLogsServiceRequest.FromString(body)
        for each in logs.resource_logs:
            self.logs += [record for scope in each.scope_logs for record in scope.log_records]
        return ExportLogsServiceResponse().SerializeToString()

    def close(self) -> None:
        """End it."""
        self.go_on.set()
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def otlp_receiver() -> Iterator[OtlpReceiver]:
    """Give a receiver that takes everything."""
    made = OtlpReceiver()
    try:
        yield made
    finally:
        made.close()
