"""Reports by e-mail, over the operator's mail server.

A report has one `Message-ID` for all attempts. If a process dies, or the connection breaks, after the message was sent
and before the server's answer was stored, it is sent again with the same id, by which mail programs and servers know a
message that they have.
"""

from __future__ import annotations

import smtplib
import ssl
import unicodedata
from collections.abc import Callable
from datetime import datetime
from email.message import EmailMessage
from email.policy import SMTP

from config.outbound import ForbiddenAddress
from config.outbound.smtp import connect_smtp
from config.settings.reports import Smtp
from reports.evaluation_reports.delivery.outcome import DELIVERED, DeliveryOutcome, ReportMessage
from reports.evaluation_reports.targets import DeliveryTarget

_MAX_SUBJECT_CHARS = 150


class EmailSender:
    """Sends by SMTP. Each step of a session blocks for `timeout_s` at the most."""

    def __init__(self, smtp: Smtp, *, timeout_s: float, now: Callable[[], datetime]) -> None:
        self._smtp = smtp
        self._timeout_s = timeout_s
        self._now = now

    def email(self, target: DeliveryTarget, message: ReportMessage) -> DeliveryOutcome:
        """Send a report to one address."""
        if self._smtp.host is None or self._smtp.sender is None:
            return DeliveryOutcome(
                "failed", "reports.smtp.host is not set, so no mail can be sent; ask the operator to set it"
            )
        mail = build_mail(self._smtp.sender, target.address, message, self._now())
        try:
            with self._connect(self._smtp.host) as server:
                server.send_message(mail)
        except smtplib.SMTPRecipientsRefused as error:
            return _refusal(next(iter(error.recipients.values()), (550, b""))[0], "the recipient")
        except smtplib.SMTPAuthenticationError as error:
            return DeliveryOutcome(
                "retry", f"the mail server refused the login ({error.smtp_code}); see reports.smtp.username"
            )
        except smtplib.SMTPResponseException as error:
            return _refusal(error.smtp_code, "the message")
        except ForbiddenAddress as error:
            return DeliveryOutcome("retry", str(error))
        except smtplib.SMTPNotSupportedError:
            return DeliveryOutcome(
                "retry", "the mail server does not offer what reports.smtp.security or the login asks for"
            )
        except ssl.SSLError:
            return DeliveryOutcome("retry", "the mail server's certificate is not accepted; see reports.smtp.ca_file")
        except (smtplib.SMTPException, OSError):
            return DeliveryOutcome("retry", "the mail server does not answer, or broke the connection")
        return DELIVERED

    def _connect(self, host: str) -> smtplib.SMTP:
        smtp = self._smtp
        # The operator chose this host, so it may be any; the check is for addresses that teams write.
        server = connect_smtp(
            host,
            smtp.port,
            allowed=(host,),
            setting="reports.smtp.host",
            timeout_s=self._timeout_s,
            tls=smtp.security == "tls",
        )
        try:
            if smtp.security == "starttls":
                server.starttls(context=ssl.create_default_context(cafile=smtp.ca_file))
            if smtp.username is not None:
                server.login(smtp.username, smtp.password.get_secret_value() if smtp.password is not None else "")
        except BaseException:
            server.close()
            raise
        return server


def build_mail(sender: str, address: str, message: ReportMessage, now: datetime) -> EmailMessage:
    """Return the mail: plain text with the page as an alternative."""
    mail = EmailMessage(policy=SMTP)
    mail["From"] = sender
    mail["To"] = address
    mail["Subject"] = _one_line(message.title)
    mail["Date"] = now
    mail["Message-ID"] = f"<{message.identity.replace(':', '.')}@{sender.rpartition('@')[2]}>"
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(message.text)
    mail.add_alternative(message.html, subtype="html")
    return mail


def _one_line(title: str) -> str:
    """Return a title without characters that could end a header's line or reverse the direction of text."""
    kept = "".join(" " if unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp") else char for char in title)
    return " ".join(kept.split())[:_MAX_SUBJECT_CHARS] or "Evaluation report"


def _refusal(code: int, what: str) -> DeliveryOutcome:
    text = f"the mail server refused {what} ({code})"
    return DeliveryOutcome("failed" if 500 <= code < 600 else "retry", text)
