"""A TCP proxy that can be told to break: it stands in front of Kafka, ClickHouse or a provider in fault tests.

For Kafka, clients must come back to the proxy and not to the broker, so the broker is told of it:

    with TcpProxy() as proxy, KafkaServer(advertised_port=proxy.port) as broker:
        proxy.forward_to(broker.proxied_port)
        … clients bootstrap from proxy.address …
"""

from __future__ import annotations

import selectors
import socket
import threading
from collections.abc import Callable
from concurrent.futures import Future

from tests.services.ports import free_ports
from tests.services.waiting import PATIENCE_S

CHUNK_BYTES = 65536
MAX_BUFFERED_BYTES = 1024 * 1024


class _Pipe:
    """One client's connection with its connection to the target."""

    def __init__(self, client: socket.socket, target: socket.socket) -> None:
        self.ends = (client, target)
        self.pending = {client: bytearray(), target: bytearray()}
        self.ended: set[socket.socket] = set()
        """Ends that send no more."""
        self.shut: set[socket.socket] = set()
        """Ends that were told that the other one sends no more."""
        self.held = False
        """Whether what the client sends goes no further."""

    def other(self, end: socket.socket) -> socket.socket:
        return self.ends[1] if end is self.ends[0] else self.ends[0]


class TcpProxy:
    """Forwards connections from its own port of 127.0.0.1 to another, on a thread of its own.

    All commands return once they are in force.
    """

    def __init__(self, target_port: int | None = None) -> None:
        self._target_port = target_port
        self._selector = selectors.DefaultSelector()
        self._commands: list[tuple[Callable[[], None], Future[None]]] = []
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._pipes: dict[socket.socket, _Pipe] = {}
        self._late: list[tuple[socket.socket, bytearray]] = []
        self._stalled = self._closing = False
        (self.port,) = free_ports(1)  # it listens again after it stopped
        self._listener = self._listen(self.port)
        self.accepted = 0
        self._selector.register(self._wake_reader, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._run, name=f"tcp-proxy-{self.port}", daemon=True)
        self._thread.start()

    @property
    def address(self) -> str:
        """`host:port` for clients."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The address for HTTP clients."""
        return f"http://{self.address}"

    def forward_to(self, port: int) -> None:
        """Send new connections to this port of 127.0.0.1."""
        self._command(lambda: setattr(self, "_target_port", port))

    def cut(self) -> None:
        """Reset every connection, as a crashed peer or a firewall does. New connections are still taken."""
        self._command(self._drop_all)

    def stall(self) -> None:
        """Keep every connection, and take new ones, but move no byte until `resume`."""
        self._command(lambda: self._set_stalled(stalled=True))

    def hold(self) -> None:
        """Take what clients send on the connections that there are, and keep it, until `abandon`."""
        self._command(self._hold_all)

    def held(self) -> list[bytes]:
        """Return the kept bytes of each connection."""
        found: list[bytes] = []
        self._command(lambda: found.extend(self._held_bytes()))
        return found

    def abandon(self) -> None:
        """Reset held connections for their clients alone. Their bytes are still in flight: see `deliver`."""
        self._command(self._abandon_held)

    def deliver(self) -> list[bytes]:
        """Send the bytes of abandoned connections to the target, as late requests; return them."""
        self._command(self._deliver_late)
        return [bytes(sent) for _, sent in self._late]

    def refuse(self) -> None:
        """Reset every connection and take no new one until `resume`: clients get “connection refused”."""
        self._command(self._stop_listening)

    def resume(self) -> None:
        """Go back to forwarding."""
        self._command(self._go_on)

    def close(self) -> None:
        """End the proxy and all of its connections. Again: no effect."""
        if self._thread.is_alive():
            self._command(self._end)
            self._thread.join()
            self._wake_writer.close()

    def __enter__(self) -> TcpProxy:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _command(self, action: Callable[[], None]) -> None:
        done: Future[None] = Future()
        self._commands.append((action, done))
        self._wake_writer.send(b"!")
        done.result(PATIENCE_S)

    # All methods below run on the proxy's thread, except the first `_listen`.

    def _listen(self, port: int) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", port), backlog=256)
        listener.setblocking(False)
        self._selector.register(listener, selectors.EVENT_READ)
        return listener

    def _run(self) -> None:
        while not self._closing:
            for key, events in self._selector.select():
                if key.fileobj is self._wake_reader:
                    self._obey()
                elif key.fileobj is self._listener:
                    self._accept()
                elif isinstance(key.fileobj, socket.socket) and key.fileobj in self._pipes:
                    self._move(key.fileobj, events)
        self._drop_all()
        for target, _ in self._late:
            target.close()
        self._listener.close()
        self._wake_reader.close()
        self._selector.close()

    def _obey(self) -> None:
        for _ in self._wake_reader.recv(64):
            action, done = self._commands.pop(0)
            action()
            done.set_result(None)

    def _accept(self) -> None:
        try:
            client, _ = self._listener.accept()
        except OSError:  # it went away again, or the listener was closed by a command of the same round
            return
        self.accepted += 1
        target = socket.socket()
        try:
            target.connect(("127.0.0.1", self._target_port or 0))
        except OSError:
            _reset(client)
            target.close()
            return
        pipe = _Pipe(client, target)
        for end in pipe.ends:
            end.setblocking(False)
            self._pipes[end] = pipe
            self._watch(end)

    def _move(self, end: socket.socket, events: int) -> None:
        pipe = self._pipes[end]
        try:
            if events & selectors.EVENT_WRITE:
                sent = end.send(pipe.pending[end])
                del pipe.pending[end][:sent]
            if events & selectors.EVENT_READ:
                chunk = end.recv(CHUNK_BYTES)
                pipe.pending[pipe.other(end)] += chunk
                if not chunk:
                    pipe.ended.add(end)
        except BlockingIOError:
            pass  # the next round tries again
        except OSError:
            self._drop(pipe)
            return
        self._settle(pipe)

    def _settle(self, pipe: _Pipe) -> None:
        """Forward ends of data, and close a finished pipe; otherwise watch for the next event."""
        if pipe.ended == set(pipe.ends) and not any(pipe.pending.values()):
            self._drop(pipe, reset=False)
            return
        for end in pipe.ends:
            if pipe.other(end) in pipe.ended and not pipe.pending[end] and end not in pipe.shut:
                pipe.shut.add(end)
                try:
                    end.shutdown(socket.SHUT_WR)
                except OSError:
                    self._drop(pipe)
                    return
            self._watch(end)

    def _watch(self, end: socket.socket) -> None:
        pipe = self._pipes[end]
        events = 0
        if not self._stalled:
            may_read = end not in pipe.ended and len(pipe.pending[pipe.other(end)]) < MAX_BUFFERED_BYTES
            may_write = pipe.pending[end] and not (pipe.held and end is pipe.ends[1])
            events = selectors.EVENT_READ * may_read | selectors.EVENT_WRITE * bool(may_write)
        watched = end in self._selector.get_map()
        if events and watched:
            self._selector.modify(end, events)
        elif events:
            self._selector.register(end, events)
        elif watched:
            self._selector.unregister(end)

    def _drop(self, pipe: _Pipe, *, reset: bool = True) -> None:
        for end in pipe.ends:
            if end in self._selector.get_map():
                self._selector.unregister(end)
            del self._pipes[end]
            _reset(end) if reset else end.close()

    def _drop_all(self) -> None:
        for pipe in set(self._pipes.values()):
            self._drop(pipe)

    def _hold_all(self) -> None:
        for pipe in set(self._pipes.values()):
            pipe.held = True
            self._watch(pipe.ends[1])

    def _held_bytes(self) -> list[bytes]:
        return [bytes(pipe.pending[pipe.ends[1]]) for pipe in set(self._pipes.values()) if pipe.held]

    def _abandon_held(self) -> None:
        for pipe in [pipe for pipe in set(self._pipes.values()) if pipe.held]:
            client, target = pipe.ends
            for end in pipe.ends:
                if end in self._selector.get_map():
                    self._selector.unregister(end)
                del self._pipes[end]
            _reset(client)
            self._late.append((target, pipe.pending[target]))

    def _deliver_late(self) -> None:
        for target, sent in self._late:
            target.setblocking(True)
            target.sendall(sent)

    def _set_stalled(self, *, stalled: bool) -> None:
        self._stalled = stalled
        for end in self._pipes:
            self._watch(end)

    def _stop_listening(self) -> None:
        if self._listener in self._selector.get_map():
            self._selector.unregister(self._listener)
            self._listener.close()
        self._drop_all()

    def _go_on(self) -> None:
        if self._listener.fileno() == -1:
            self._listener = self._listen(self.port)
        self._set_stalled(stalled=False)

    def _end(self) -> None:
        self._closing = True


def _reset(connection: socket.socket) -> None:
    """Close with RST, not with an orderly end."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
    connection.close()
