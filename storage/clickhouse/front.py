"""A read-only HTTP front of an embedded ClickHouse, for the other processes of this host.

chdb lets one process open a directory. That process serves this front on a loopback address, and commands read
through it with the client and the queries that they use for a server.
"""

from __future__ import annotations

import re
import secrets
import threading
from email.parser import BytesParser
from email.policy import HTTP
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from storage.clickhouse.dsn import EmbeddedDsn, embedded_directory, parse_dsn

_HOST, _USER = "127.0.0.1", "gavel"
_MAX_BODY_BYTES = 32 * 1024 * 1024
_FORMAT = re.compile(r"\bFORMAT\s+(\w+)\s*;?\s*\Z", re.IGNORECASE)
_TEXT = "TabSeparated"
_CODE = re.compile(r"Code: (\d+)")
_SETTING = re.compile(r"[a-z][a-z0-9_]{0,100}\Z")
_VALUE = re.compile(r"[\w.,+-]{0,200}\Z")
_OF_TRANSPORT = frozenset(
    re.findall(
        r"\w+",
        """buffer_size client_protocol_version compress database decompress enable_http_compression
        http_headers_progress_interval_ms password query query_id role send_progress_in_http_headers session_id
        session_timeout user wait_end_of_query cancel_http_readonly_queries_on_client_close readonly""",
    )
)
"""Parameters of a request that are not settings of its query."""


class EmbeddedFront:
    """Serves queries on one embedded directory, one at a time. Runs beside the roles of `gavel up` as a service.

    Args:
        dsn: `chdb://…`, of a directory that this process may open.
    """

    name = "clickhouse"

    def __init__(self, dsn: str) -> None:
        target = parse_dsn(dsn)
        if not isinstance(target, EmbeddedDsn):
            raise TypeError("a ClickHouse server needs no front")
        self._directory = str(embedded_directory(target))
        self._database = target.database
        self.secret = secrets.token_urlsafe(32)
        self._turn = threading.Lock()
        self._server: _Server | None = None

    @property
    def dsn(self) -> str:
        """The DSN by which other processes of this host read. It holds the secret; valid after `start`."""
        if self._server is None:
            raise RuntimeError("the front was not started")
        return f"http://{_USER}:{self.secret}@{_HOST}:{self._server.server_port}/{self._database}"

    def start(self) -> None:
        """Begin to serve on a free loopback port.

        Raises:
            OSError: no port can be opened.
        """
        self._server = _Server((_HOST, 0), self)
        threading.Thread(target=self._server.serve_forever, name="clickhouse-front", daemon=True).start()

    def stop(self) -> None:
        """Stop serving, after the query in progress."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
        with self._turn:
            return

    def run(self, parameters: dict[str, str], body: bytes) -> tuple[bytes, str]:
        """Run the query of a request and return the answer and its format.

        Raises:
            Exception: the words of the engine.
        """
        import chdb

        statement = "\n".join(part for part in (parameters.get("query", ""), body.decode()) if part)
        values = {name[6:]: value for name, value in parameters.items() if name.startswith("param_")}
        wanted = _FORMAT.search(statement)
        form = wanted[1] if wanted else _TEXT
        with self._turn:
            connection: Any = chdb.connect(self._directory)  # type: ignore[no-untyped-call]  # the package has no types
            try:
                connection.query(f"USE `{self._database}`")
                for name, value in parameters.items():
                    if name not in _OF_TRANSPORT and _SETTING.match(name) and not name.startswith("param_"):
                        if not _VALUE.match(value):
                            raise ValueError(f"the value of setting {name} is not allowed here")
                        connection.query(f"SET {name} = '{value}'")
                connection.query("SET readonly = 2")
                return connection.query(statement, form, params=values).bytes() or b"", form
            finally:
                connection.close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], front: EmbeddedFront) -> None:
        super().__init__(address, _Handler)
        self.front = front

    def handle_error(self, request: object, client_address: object) -> None:
        """Log nothing, because a client that goes away is its own affair."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60.0
    server: _Server

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002  # the name of the base class
        """Log nothing, because queries come with every command."""

    def do_GET(self) -> None:
        """Answer a query that is in the address."""
        self._serve(b"")

    def do_POST(self) -> None:
        """Answer a query that is in the body or in a form."""
        try:
            size = int(self.headers.get("Content-Length", "x"))
        except ValueError:
            size = -1
        if not 0 <= size <= _MAX_BODY_BYTES:
            self.close_connection = True
            self._refuse(411 if size < 0 else 413, 381, f"a query needs a Content-Length of at most {_MAX_BODY_BYTES}")
            return
        self._serve(self.rfile.read(size))

    def _serve(self, body: bytes) -> None:
        if not self._authorised():
            self._refuse(401, 516, "the secret is not that of this process; is the file running.json stale?")
            return
        parameters = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        kind = self.headers.get("Content-Type", "")
        try:
            if kind.startswith("multipart/form-data"):
                parameters |= _form(kind, body)
                body = b""
            content, form = self.server.front.run(parameters, body)
        except Exception as error:  # noqa: BLE001  # whatever the engine says is the answer
            found = _CODE.search(str(error))
            self._refuse(500, int(found[1]) if found else 1002, str(error))
            return
        headers = {"X-ClickHouse-Format": form} if content else {}
        self._answer(200, content, {**headers, "X-ClickHouse-Timezone": "UTC", "X-ClickHouse-Summary": "{}"})

    def _authorised(self) -> bool:
        from base64 import b64encode

        expected = b"Basic " + b64encode(f"{_USER}:{self.server.front.secret}".encode())
        return compare_digest(self.headers.get("Authorization", "").encode("utf-8", "replace"), expected)

    def _refuse(self, status: int, code: int, text: str) -> None:
        message = text if text.startswith("Code:") else f"Code: {code}. DB::Exception: {text}. ({text})"
        self._answer(status, message.encode("utf-8", "replace"), {"X-ClickHouse-Exception-Code": str(code)})

    def _answer(self, status: int, content: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)


def _form(kind: str, body: bytes) -> dict[str, str]:
    """Return the fields of a form, by which the driver sends bound values."""
    message: Any = BytesParser(policy=HTTP).parsebytes(f"Content-Type: {kind}\r\n\r\n".encode() + body)
    fields: dict[str, str] = {}
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        fields[str(name)] = part.get_payload(decode=True).decode()
    return fields
