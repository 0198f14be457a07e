"""Connections reach the address that was checked, and keep the name for `Host`, TLS and the mail server."""

from __future__ import annotations

import asyncio
import datetime
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from config.outbound import ForbiddenAddress
from config.outbound.http import checked_client
from config.outbound.smtp import connect_smtp
from tests.services.waiting import PATIENCE_S

NAME = "llm.example.com"
LOOPBACK = ("127.0.0.0/8",)
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class Listener:
    """A server on loopback that answers each connection with one text and keeps the bytes that it receives."""

    def __init__(self, answer: bytes, context: ssl.SSLContext | None = None, *, greets: bool = False) -> None:
        self._answer, self._context, self._greets = answer, context, greets
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.received: list[bytes] = []
        self.names: list[str | None] = []
        if context is not None:
            context.sni_callback = lambda _socket, name, _context: self.names.append(name)
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                raw, _ = self._socket.accept()
            except OSError:
                return
            try:
                with raw, self._context.wrap_socket(raw, server_side=True) if self._context else raw as stream:
                    if self._greets:
                        stream.sendall(self._answer)
                    self.received.append(stream.recv(65536))
                    if not self._greets:
                        stream.sendall(self._answer)
            except OSError:
                continue

    def close(self) -> None:
        # `close` alone does not wake up a thread that waits in `accept`.
        self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(PATIENCE_S)


@contextmanager
def listening(answer: bytes = OK, context: ssl.SSLContext | None = None, *, greets: bool = False) -> Iterator[Listener]:
    with closing(Listener(answer, context, greets=greets)) as found:
        yield found


def counting(*answers: str) -> tuple[Callable[[str, int], list[str]], list[str]]:
    """A resolver that gives one answer after the other, and the names that it was asked for."""
    asked: list[str] = []

    def resolve(host: str, _port: int) -> list[str]:
        asked.append(host)
        return [answers[min(len(asked), len(answers)) - 1]]

    return resolve, asked


def get(url: str, resolve: Callable[[str, int], list[str]], *, allowed: tuple[str, ...] = LOOPBACK) -> tuple[int, str]:
    async def ask() -> tuple[int, str]:
        async with checked_client(allowed=allowed, setting="s", timeout_s=PATIENCE_S, resolve=resolve) as client:
            response = await client.get(url)
            return response.status_code, response.text

    return asyncio.run(ask())


def test_a_name_is_resolved_once_and_stays_in_the_request() -> None:
    resolve, asked = counting("127.0.0.1")
    with listening() as server:
        assert get(f"http://{NAME}:{server.port}/v1", resolve) == (200, "ok")
        assert asked == [NAME]
        assert f"host: {NAME}:{server.port}" in server.received[0].decode().lower()


def test_a_name_in_another_script_is_resolved_in_the_form_that_is_checked() -> None:
    resolve, asked = counting("127.0.0.1")
    with listening() as server:
        get(f"http://Straße.Example:{server.port}/", resolve)
    assert asked == ["xn--strae-oqa.example"]


def test_a_name_that_changed_since_it_was_checked_is_not_called() -> None:
    """Rebinding: the first answer is public, the one at the time of the call is not."""
    resolve, _ = counting("127.0.0.1")
    with listening() as server:
        with pytest.raises(ForbiddenAddress, match="not a public address"):
            get(f"http://{NAME}:{server.port}/", resolve, allowed=())
        assert server.received == []


def test_a_redirect_is_not_followed() -> None:
    resolve, _ = counting("127.0.0.1")
    with listening() as inner:
        answer = f"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:{inner.port}/\r\nContent-Length: 0\r\n\r\n"
        with listening(answer.encode()) as server:
            assert get(f"http://{NAME}:{server.port}/", resolve) == (302, "")
        assert inner.received == []


def test_the_next_address_is_tried_when_one_does_not_answer() -> None:
    with listening() as server:
        assert get(f"http://{NAME}:{server.port}/", lambda *_: ["127.0.0.2", "127.0.0.1"]) == (200, "ok")


@pytest.fixture
def certified(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ssl.SSLContext:
    """A server's context with a certificate for NAME, which clients of this test trust."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, NAME)])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(NAME)]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    certificate, secret = tmp_path / "certificate.pem", tmp_path / "key.pem"
    certificate.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    secret.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, secret)
    return context


def test_tls_is_verified_against_the_name_and_not_the_address(certified: ssl.SSLContext) -> None:
    resolve, _ = counting("127.0.0.1")
    with listening(context=certified) as server:
        assert get(f"https://{NAME}:{server.port}/", resolve) == (200, "ok")
        assert server.names == [NAME]
        with pytest.raises(Exception, match=r"[Hh]ostname mismatch"):
            get(f"https://other.example.com:{server.port}/", resolve)


def test_mail_goes_to_the_checked_address_only() -> None:
    resolve, asked = counting("127.0.0.1")
    with listening(b"220 ready\r\n", greets=True) as server:
        with pytest.raises(ForbiddenAddress):
            connect_smtp(
                "mail.example.com", server.port, allowed=(), setting="s", timeout_s=PATIENCE_S, resolve=resolve
            )
        connection = connect_smtp(
            "mail.example.com", server.port, allowed=LOOPBACK, setting="s", timeout_s=PATIENCE_S, resolve=resolve
        )
        assert connection.sock is not None
        assert connection.sock.getpeername() == ("127.0.0.1", server.port)
        connection.close()
    assert asked == ["mail.example.com"] * 2


def test_a_mail_servers_certificate_is_verified_against_its_name(certified: ssl.SSLContext) -> None:
    resolve, _ = counting("127.0.0.1")
    with listening(b"220 ready\r\n", certified, greets=True) as server:
        connect_smtp(
            NAME, server.port, allowed=LOOPBACK, setting="s", timeout_s=PATIENCE_S, tls=True, resolve=resolve
        ).close()
        with pytest.raises(ssl.SSLCertVerificationError, match=r"[Hh]ostname mismatch"):
            connect_smtp(
                "other.example.com",
                server.port,
                allowed=LOOPBACK,
                setting="s",
                timeout_s=PATIENCE_S,
                tls=True,
                resolve=resolve,
            )
