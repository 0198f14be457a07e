"""A thin HTTP front over chdb: ClickHouse's real engine behind enough of its HTTP protocol for clickhouse-connect.

It stands where no ClickHouse server can be had. Queries, parameters, settings, Native blocks, compressed inserts
and error codes go through the wire as they do with a server. It can also fail on demand.

`python -m tests.services.clickhouse_http DIRECTORY PORT` starts it as a process.
"""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import re
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import chdb
import lz4.frame
import zstandard

from tests.services.waiting import PATIENCE_S

_CODE = re.compile(r"Code: (\d+)")
_INSERT = re.compile(rb"\s*INSERT\s+INTO\s+(.+?)\s+FORMAT\s+(\w+)[ \t]*(?:\r?\n|\Z)", re.IGNORECASE | re.DOTALL)
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)
_TABLE = re.compile(r"\b(?:INTO|FROM|EXISTS)\s+(?!system\.)(\w+)", re.IGNORECASE)
_NOT_SETTINGS = {
    "buffer_size",
    "client_protocol_version",
    "compress",
    "database",
    "decompress",
    "enable_http_compression",
    "http_headers_progress_interval_ms",
    "password",
    "query",
    "query_id",
    "role",
    "send_progress_in_http_headers",
    "session_id",
    "session_timeout",
    "user",
    "wait_end_of_query",
    "cancel_http_readonly_queries_on_client_close",
}


@dataclass
class Faults:
    """The failures of inserts, their number (-1: until it is changed), and the right that the user lacks.

    Attributes:
        refuse_code, refuse_times: answer with this ClickHouse error code and store nothing.
        cut_times: store the insert, then cut the connection without an answer.
        slow_s: wait this long before any answer.
        denied: refuse statements that begin with this word (SELECT, INSERT, CREATE), as for a user without the right.
    """

    refuse_code: int = 0
    refuse_times: int = 0
    cut_times: int = 0
    slow_s: float = 0.0
    denied: str = ""

    def take(self, name: str) -> bool:
        """Return whether the fault `name` strikes now, and count it."""
        left: int = getattr(self, name)
        if left > 0:
            setattr(self, name, left - 1)
        return left != 0


class ClickHouseFront:
    """The server. `address` is `host:port`; `dsn` what Gavel is given."""

    def __init__(self, directory: Path, port: int = 0, *, password: str = "") -> None:
        self.directory = directory
        self.password = password
        self.faults = Faults()
        self.inserts: list[dict[str, str]] = []
        """Settings of every insert that was stored, in order."""
        self._lock = threading.Lock()
        self._keeper = chdb.connect(str(directory))
        self._server = _Server(("127.0.0.1", port), self)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self._thread.start()

    @property
    def dsn(self) -> str:
        """A DSN of the front, with the password if it has one."""
        who = f"default:{self.password}@" if self.password else ""
        return f"http://{who}127.0.0.1:{self.port}/gavel"

    def close(self) -> None:
        """Stop listening, cut all connections, and release the directory."""
        self._server.shutdown()
        self._server.server_close()
        self._server.cut_connections()
        self._thread.join()
        self._keeper.close()

    def __enter__(self) -> ClickHouseFront:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def held_up(self) -> Iterator[None]:
        """Answer no query meanwhile."""
        with self._lock:
            yield

    # -- one request ----------------------------------------------------------------------------------

    def execute(self, parameters: dict[str, str], body: bytes) -> tuple[bytes, str]:
        """Run what a request asks for on a connection of its own. Returns the body and its format."""
        query = parameters.get("query", "").encode()
        text = query + b"\n" + body if query else body
        settings = {k: v for k, v in parameters.items() if k not in _NOT_SETTINGS and not k.startswith("param_")}
        values = {k.removeprefix("param_"): v for k, v in parameters.items() if k.startswith("param_")}
        with self._lock:
            connection = chdb.connect(str(self.directory))
            try:
                if "database" in parameters:
                    connection.query(f"USE `{parameters['database']}`")
                for name, value in settings.items():
                    connection.query(f"SET {name} = '{value}'")
                insert = _INSERT.match(text)
                if insert:
                    return self._insert(connection, insert, text[insert.end() :], settings)
                statement = text.decode()
                found = _FORMAT.search(statement)
                result = connection.query(statement, found[1] if found else "TabSeparated", params=values)
                return result.bytes() or b"", found[1] if found else "TabSeparated"
            finally:
                connection.close()

    def _insert(
        self, connection: Any, insert: re.Match[bytes], data: bytes, settings: dict[str, str]
    ) -> tuple[bytes, str]:
        with tempfile.NamedTemporaryFile(suffix=".native") as file:
            file.write(data)
            file.flush()
            connection.query(f"INSERT INTO {insert[1].decode()} FROM INFILE '{file.name}' FORMAT {insert[2].decode()}")
        self.inserts.append(settings)
        return b"", "TabSeparated"


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], front: ClickHouseFront) -> None:
        super().__init__(address, _Handler)
        self.front = front
        self._connected: set[socket.socket] = set()

    def process_request(self, request: Any, client_address: Any) -> None:
        """Remember the connection: kept-alive ones would outlive the listener."""
        self._connected.add(request)
        super().process_request(request, client_address)

    def close_request(self, request: Any) -> None:
        """Forget the connection."""
        self._connected.discard(request)
        super().close_request(request)

    def cut_connections(self) -> None:
        """Cut every connection, as the end of a server process does."""
        for connection in list(self._connected):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def handle_error(self, request: object, client_address: object) -> None:
        """Clients that go away are part of the tests."""


def _decompressed(data: bytes, encoding: str) -> bytes:
    """Return what a body of any number of compressed frames holds; the driver sends one for each block of rows.

    Raises:
        Exception: a frame is cut or broken.
    """
    if encoding == "lz4":
        with lz4.frame.open(io.BytesIO(data)) as frames:
            return bytes(frames.read())
    if encoding == "zstd":
        parts = []
        while data:
            frame = zstandard.ZstdDecompressor().decompressobj()
            parts.append(frame.decompress(data))
            if not frame.eof:
                raise EOFError("a compressed frame is cut")
            data = frame.unused_data
        return b"".join(parts)
    return gzip.decompress(data) if encoding == "gzip" else data


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the library's name
        """Say nothing."""

    def do_GET(self) -> None:
        if self.path.startswith("/ping"):
            self._answer(200, b"Ok.\n", {})
        else:
            self.do_POST()

    def do_POST(self) -> None:
        front = self.server.front
        body = self._body()
        if self.path == "/_faults":
            front.faults = Faults(**json.loads(body))
            self._answer(200, b"", {})
            return
        if not self._authorized():
            self._fail(516, "AUTHENTICATION_FAILED")
            return
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        parameters |= self._form(body)
        if self.headers.get("Content-Type", "").startswith("multipart/form-data"):
            body = b""
        asked = parameters.get("query", "") or body[:4096].decode(errors="replace")
        table = _TABLE.search(asked)
        if table and front.faults.denied and asked.lstrip().upper().startswith(front.faults.denied):
            self._deny(front.faults.denied, table[1])
            return
        is_insert = bool(_INSERT.match(parameters.get("query", "").encode() + b"\n" + body[:4096]))
        if front.faults.slow_s and is_insert:
            time.sleep(front.faults.slow_s)
        if is_insert and front.faults.refuse_code and front.faults.take("refuse_times"):
            self._fail(front.faults.refuse_code, "FAULT_INJECTED")
            return
        try:
            content, name = front.execute(parameters, body)
        except Exception as error:  # noqa: BLE001  # whatever the engine says is the answer
            text = str(error)
            found = _CODE.search(text)
            self._fail(int(found[1]) if found else 1002, text)
            return
        if is_insert and front.faults.take("cut_times"):
            self.close_connection = True
            self.connection.close()
            return
        headers = {"X-ClickHouse-Format": name} if content else {}
        self._answer(200, content, {**headers, "X-ClickHouse-Timezone": "UTC", "X-ClickHouse-Summary": "{}"})

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() == "chunked":
            chunks = []
            while size := int(self.rfile.readline().split(b";")[0], 16):
                chunks.append(self.rfile.read(size))
                self.rfile.readline()
            self.rfile.readline()
            data = b"".join(chunks)
        else:
            length = int(self.headers.get("Content-Length", 0))
            data = self.rfile.read(length)
            if len(data) < length:
                raise EOFError("the body is cut")
        return _decompressed(data, self.headers.get("Content-Encoding", ""))

    def _form(self, body: bytes) -> dict[str, str]:
        """Return the fields of a form: large parameters travel that way."""
        kind = self.headers.get("Content-Type", "")
        if not kind.startswith("multipart/form-data"):
            return {}
        boundary = b"--" + kind.partition("boundary=")[2].encode()
        fields = {}
        for part in body.split(boundary)[1:-1]:
            head, _, value = part.partition(b"\r\n\r\n")
            name = re.search(rb'name="([^"]*)"', head)
            if name:
                fields[name[1].decode()] = value.removesuffix(b"\r\n").decode()
        return fields

    def _authorized(self) -> bool:
        from base64 import b64encode

        password = self.server.front.password
        expected = "Basic " + b64encode(f"default:{password}".encode()).decode()
        return not password or self.headers.get("Authorization") == expected

    def _deny(self, right: str, table: str) -> None:
        """Refuse as ClickHouse 24 does: with the columns, the database and the table."""
        named = f"{right}(uuid, team_id) ON gavel.{table}"
        told = f"gavel: Not enough privileges. To execute this query, it's necessary to have the grant {named}."
        self._fail(497, f"Code: 497. DB::Exception: {told} (ACCESS_DENIED) (version 24.8.4.13 (official build))")

    def _fail(self, code: int, text: str) -> None:
        message = text if text.startswith("Code:") else f"Code: {code}. DB::Exception: {text}. ({text})"
        self._answer(500, message.encode(), {"X-ClickHouse-Exception-Code": str(code)})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def set_faults(port: int, faults: Faults) -> None:
    """Set the faults of a front that runs in another process."""
    connection = HTTPConnection("127.0.0.1", port, timeout=PATIENCE_S)
    connection.request("POST", "/_faults", json.dumps(asdict(faults)))
    if connection.getresponse().status != 200:
        raise RuntimeError(f"the front on port {port} did not take the faults")
    connection.close()


def main() -> None:
    """Serve a directory on a port until killed."""
    ClickHouseFront(Path(sys.argv[1]), int(sys.argv[2]))
    threading.Event().wait()


if __name__ == "__main__":
    main()
