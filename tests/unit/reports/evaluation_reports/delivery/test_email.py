"""Mail over TLS with a login, to a real SMTP server on loopback."""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.smtp import AuthResult, LoginPassword
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from pydantic import SecretStr, ValidationError

from config.settings.reports import Smtp
from reports.evaluation_reports.delivery.email import EmailSender, build_mail
from reports.evaluation_reports.delivery.outcome import DeliveryOutcome, ReportMessage
from reports.evaluation_reports.targets import DeliveryTarget
from tests.integration.report_rig import Mailbox
from tests.services.waiting import PATIENCE_S

NOW = datetime.datetime(2026, 11, 28, 12, tzinfo=datetime.UTC)
MESSAGE = ReportMessage("run-1:0", "Title", "text", "<p>page</p>", {})
TARGET = DeliveryTarget("email", "ops@example.com", "ops@example.com")
PASSWORD = "not-a-real-password-1"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, ssl.SSLContext]:
    """The certificate of a private authority for localhost, and the context of its server."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now, hour = datetime.datetime.now(datetime.UTC), datetime.timedelta(hours=1)
    made = (
        x509.CertificateBuilder().subject_name(subject).issuer_name(subject).public_key(key.public_key())
        .serial_number(1).not_valid_before(now - hour).not_valid_after(now + hour)
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
    )  # fmt: skip
    file, secret = tmp_path / "certificate.pem", tmp_path / "key.pem"
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = serialization.PrivateFormat.PKCS8
    secret.write_bytes(key.private_bytes(serialization.Encoding.PEM, private, serialization.NoEncryption()))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file, secret)
    return file, context


@pytest.fixture
def mailbox(certificate: tuple[Path, ssl.SSLContext]) -> Iterator[Mailbox]:
    def check(_server: Any, _session: Any, _envelope: Any, _mechanism: str, given: LoginPassword) -> AuthResult:
        right = given.login == b"gavel" and given.password == PASSWORD.encode()
        return AuthResult(success=right, handled=False)  # the server answers a refusal itself

    found = Mailbox(tls_context=certificate[1], require_starttls=True, auth_required=True, authenticator=check)
    yield found
    found.close()


def send(mailbox: Mailbox, **options: Any) -> DeliveryOutcome:
    smtp = {
        "host": "localhost", "port": mailbox.port, "sender": "gavel@example.com", "username": "gavel",
        "password": SecretStr(PASSWORD),
    }  # fmt: skip
    return EmailSender(Smtp(**(smtp | options)), timeout_s=PATIENCE_S, now=lambda: NOW).email(TARGET, MESSAGE)


def test_a_mail_goes_out_encrypted_and_after_a_login(
    mailbox: Mailbox, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    assert send(mailbox, ca_file=certificate[0]).ending == "delivered"
    (mail,) = mailbox.mails
    assert mail["Message-ID"] == "<run-1.0@example.com>"
    assert mail["Auto-Submitted"] == "auto-generated"


@pytest.mark.parametrize(
    ("options", "error"),
    [
        ({}, "certificate is not accepted"),
        ({"ca_file": ..., "password": SecretStr("a-wrong-password-2")}, "refused the login (535)"),
        ({"security": "none"}, "does not offer"),
        ({"security": "tls"}, "certificate is not accepted"),
        ({"port": 1, "ca_file": ...}, "does not answer"),
    ],
)
def test_a_mail_that_cannot_be_sent_safely_is_not_sent(
    mailbox: Mailbox, certificate: tuple[Path, ssl.SSLContext], options: dict[str, Any], error: str
) -> None:
    given = {name: certificate[0] if value is ... else value for name, value in options.items()}
    outcome = send(mailbox, **given)
    assert outcome.ending == "retry"
    assert error in outcome.error
    assert "password" not in outcome.error
    assert mailbox.mails == []


def test_a_title_cannot_add_a_header_or_reverse_the_subject() -> None:
    title = "a\r\nBcc: x@evil.example\n\u202eb\x00" + "c" * 1_000
    mail = build_mail("gavel@example.com", "ops@example.com", ReportMessage("i", title, "t", "h", {}), NOW)
    assert mail["Bcc"] is None
    assert mail["Subject"].startswith("a Bcc: x@evil.example b c")
    assert len(mail["Subject"]) == 150
    assert b"\nBcc:" not in mail.as_bytes()


def test_a_mail_server_needs_a_sender() -> None:
    with pytest.raises(ValidationError, match="sender is not an address"):
        Smtp(host="mail.example.com")
