"""Connections to mail servers that reach only the addresses that were checked."""

from __future__ import annotations

import smtplib
import socket
import ssl
from collections.abc import Sequence

from config.outbound.addresses import Resolver, checked_addresses, resolve_host


class _CheckedSMTP(smtplib.SMTP):
    """`smtplib.SMTP` to addresses that were checked; the name stays for `STARTTLS`."""

    def __init__(self, addresses: Sequence[str], host: str, port: int, timeout_s: float) -> None:
        self._addresses = addresses
        super().__init__(host, port, timeout=timeout_s)

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        for place, address in enumerate(self._addresses, 1):
            try:
                return socket.create_connection((address, port), timeout)
            except OSError:
                if place == len(self._addresses):
                    raise
        raise OSError(f"the host {host!r} has no address; correct reports.smtp.host")


class _CheckedSMTPS(_CheckedSMTP):
    """The same, with TLS from the first byte."""

    def _get_socket(self, host: str, port: int, timeout: float) -> socket.socket:
        plain = super()._get_socket(host, port, timeout)
        try:
            return ssl.create_default_context().wrap_socket(plain, server_hostname=host)
        except OSError:
            plain.close()
            raise


def connect_smtp(
    host: str,
    port: int,
    *,
    allowed: Sequence[str],
    setting: str,
    timeout_s: float,
    tls: bool = False,
    resolve: Resolver = resolve_host,
) -> smtplib.SMTP:
    """Return a connection to a mail server, greeted. Blocks up to `timeout_s` seconds per address.

    Args:
        tls: TLS from the first byte (port 465); otherwise call `starttls` with a context.

    Raises:
        ForbiddenAddress: the host may not be called; see `addresses.check_url` for `allowed` and `setting`.
        OSError, smtplib.SMTPException: it does not answer as a mail server.
    """
    addresses = checked_addresses(host, port, allowed=allowed, setting=setting, resolve=resolve)
    kind = _CheckedSMTPS if tls else _CheckedSMTP
    return kind(addresses, host, port, timeout_s)
