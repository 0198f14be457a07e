"""HTTP connections of strangers: the bytes around a body and the wait for a request are bounded.

The front door and the API use this on their ports. uvicorn bounds neither: a header of a gigabyte would be kept in
memory, and a client that sends one byte now and then would keep its connection for ever. Bodies are bounded where they
are read. `ServerThread` is the server of both.
"""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from asyncio.events import TimerHandle
from typing import Any

import httptools
import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from ingest.limits import HEAD_TIMEOUT_S, MAX_HEAD_BYTES, MAX_HEADS_BYTES, MAX_PIPELINED

_START_WITHIN_S = 15.0
_MAX_HELD_BYTES = 64 * 1024
COMPLETE = "complete"
"""In the state of a request's scope once its whole body has arrived."""
_END = b"\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
_NOT_HTTP = b"HTTP/1.1 400 Bad Request" + _END
_NO_ROOM = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1" + _END
_TOO_LARGE = b"HTTP/1.1 431 Request Header Fields Too Large" + _END


class _Heads:
    """The bytes of heads that are not complete, of all connections. Two event loops may make it wrong by one head."""

    held = 0


class _JoinedWrites:
    """A transport that sends all bytes of one step of the loop together.

    uvicorn writes the head and the body of an answer apart. Each write is a call of the system, and the client wakes up
    twice.
    """

    __slots__ = ("_held", "_held_bytes", "_loop", "_transport")

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._held: list[bytes] = []
        self._held_bytes = 0

    def write(self, data: bytes) -> None:
        """Send bytes at the end of this step, or now if they are many, because the transport slows the sender down."""
        if not self._held:
            self._loop.call_soon(self._flush)
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > _MAX_HELD_BYTES:
            self._flush()

    def close(self) -> None:
        """Send the rest and close the connection."""
        self._flush()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def _flush(self) -> None:
        held, self._held, self._held_bytes = self._held, [], 0
        if held and not self._transport.is_closing():
            self._transport.write(b"".join(held))


class Connection(HttpToolsProtocol):
    """One connection. The application says what a refusal here is counted as: `count_refused(status)`.

    A client that has sent a whole request and closes its side of the connection still gets the answer.
    """

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._around = 0  # bytes of the request that are not of its body, less those that are
        self._unclaimed = 0  # bytes of the last piece that were not of a body
        self._in_head = False
        self._held = 0  # bytes of an incomplete head
        self._timer: TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as in the base class
        """Begin to wait for a request."""
        super().connection_made(transport)
        self.transport = _JoinedWrites(transport, self.loop)  # type: ignore[assignment]  # it has the methods that are used
        self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to wait."""
        self._stop_waiting()
        self._hold(0)
        super().connection_lost(exc)

    def eof_received(self) -> bool:  # type: ignore[override]  # the base class closes always
        """Keep the connection for the answer if the request is complete."""
        cycle = self.cycle
        if cycle is None or cycle.response_complete or cycle.more_body or self._in_head:
            return False
        cycle.keep_alive = False
        return True

    def data_received(self, data: bytes) -> None:
        """Parse a piece, and refuse the request if too much of it is not its body. Nothing of a stranger is logged."""
        self._unset_keepalive_if_required()
        self._unclaimed = len(data)
        self._around += len(data)
        try:
            self.parser.feed_data(data)
        except httptools.HttpParserUpgrade:
            pass  # it is answered as if it asked for nothing of the kind
        except httptools.HttpParserError:
            self._refuse(400, _NOT_HTTP)
            return
        if self.transport.is_closing():
            return
        if self._in_head:
            self._hold(self._around)
        if self._around > MAX_HEAD_BYTES:
            self._refuse(431, _TOO_LARGE)
        elif self._in_head and _Heads.held > MAX_HEADS_BYTES:
            self._refuse(503, _NO_ROOM)
        elif self._timer is None and (self._in_head or self.cycle is None or self.cycle.response_complete):
            self._wait()

    def on_message_begin(self) -> None:
        """Begin to count the bytes of a request."""
        super().on_message_begin()
        self._around = self._unclaimed
        self._in_head = True

    def on_header(self, name: bytes, value: bytes) -> None:
        """Keep a header; fields after a body (trailers) are ignored."""
        if self._in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Start the request, or close the connection of a client that sends more of them than are answered."""
        self._in_head = False
        self._hold(0)
        self._stop_waiting()
        if len(self.pipeline) >= MAX_PIPELINED:
            raise ConnectionError("too many requests at once")  # the parser stops, and the connection is closed
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """Take a piece of a body, which pays for as many bytes around it."""
        self._around -= 2 * len(body)
        self._unclaimed -= len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """Tell the application that nothing of the body can stall."""
        super().on_message_complete()
        self.scope["state"][COMPLETE] = True

    def _hold(self, size_bytes: int) -> None:
        if size_bytes != self._held:
            _Heads.held += size_bytes - self._held
            self._held = size_bytes

    def _refuse(self, status: int, answer: bytes) -> None:
        self.config.app.count_refused(status)  # type: ignore[union-attr]  # see the docstring
        if not self.pipeline:  # an answer now would be taken for that of an earlier request
            self.transport.write(answer)
        self.transport.close()

    def _wait(self) -> None:
        self._timer = self.loop.call_later(HEAD_TIMEOUT_S, self.timeout_keep_alive_handler)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


class ServerThread:
    """A uvicorn server in a thread of its own, which listens with `Connection`.

    Args:
        app: an ASGI application.
        name: of the thread, and of the settings `<name>.host` and `<name>.port`.
        address: of them: host and port.
        finish_within_s: seconds for the requests in progress when the server ends.
        listener: a bound socket to serve on, instead of the address.
        options: more of `uvicorn.Config`.
    """

    def __init__(
        self,
        app: Any,
        name: str,
        address: tuple[str, int],
        *,
        finish_within_s: int,
        listener: socket.socket | None = None,
        **options: Any,
    ) -> None:
        self._name = name
        self._address = address
        self._listeners = None if listener is None else [listener]
        config = uvicorn.Config(
            app,
            host=address[0],
            port=address[1],
            http=Connection,
            ws="none",
            interface="asgi3",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=finish_within_s,
            lifespan="off",
            **options,
        )
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._serve, name=name, daemon=True)

    @property
    def port(self) -> int:
        """The port that is listened on, also where the settings let the system choose."""
        return int(self._server.servers[0].sockets[0].getsockname()[1])

    @property
    def stopping(self) -> bool:
        """Whether the server was asked to end."""
        return self._server.should_exit

    def start(self) -> None:
        """Begin to serve. Returns when the port is open.

        Raises:
            OSError: it cannot be opened.
        """
        self._thread.start()
        give_up = time.monotonic() + _START_WITHIN_S
        while not self._server.started:
            if not self._thread.is_alive() or time.monotonic() > give_up:
                host, port = self._address
                raise OSError(f"cannot listen on {host}:{port}; set {self._name}.port, or end the process that uses it")
            time.sleep(0.01)

    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def ask_to_stop(self) -> None:
        """Let the server end soon; does not wait."""
        self._server.should_exit = True

    def join(self, within_s: float) -> None:
        """Block until the server has ended, or for `within_s`."""
        self._thread.join(within_s)

    def _serve(self) -> None:
        try:
            self._server.run(self._listeners)
        except SystemExit:
            # uvicorn ends the process when it cannot bind; `start` sees that the thread is gone and says so.
            return
