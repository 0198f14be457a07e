"""Keeps pages from being framed, sniffed, cached, fed with foreign code, or used by another site's forms."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Mapping
from urllib.parse import urlencode, urlsplit

from starlette.requests import Request

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types fragment",
    )
)
_MAX_NOTICE = 380
_HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "",
    "Cache-Control": "no-store",
}
SECURE_COOKIE, PLAIN_COOKIE = "__Host-gavel", "gavel"


def security_headers(hsts_s: int) -> dict[str, str]:
    """Return the headers of every response, with `Strict-Transport-Security` for so many seconds unless it is 0."""
    return _HEADERS | ({"Strict-Transport-Security": f"max-age={hsts_s}"} if hsts_s else {})


def is_encrypted(request: Request, public_url: str | None) -> bool:
    """Return whether the browser speaks HTTPS, to us or to the proxy that `public_url` names.

    Such a proxy must say so with each request, because a browser can also reach this port past the proxy. A browser
    itself never sends the header.
    """
    if request.url.scheme == "https":
        return True
    forwarded = request.headers.get("x-forwarded-proto", "").partition(",")[0].strip().lower()
    return bool(public_url and public_url.startswith("https://")) and forwarded == "https"


def may_sign_in(request: Request, public_url: str | None) -> bool:
    """Return whether a key may be typed in: over HTTPS, or between programs of one machine.

    The name in the address counts too, because a foreign name that resolves to this machine is somebody else's page.
    """
    if is_encrypted(request, public_url):
        return True
    client = request.client.host if request.client else ""
    return _is_loopback(client) and _is_loopback(request.url.hostname or "")


def _is_loopback(host: str) -> bool:
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def is_own_form(request: Request, public_url: str | None) -> bool:
    """Return whether a page of ours sent this request, as far as the browser tells.

    Pages have the referrer policy `no-referrer`, under which browsers send `Origin: null` with a form. Then
    `Sec-Fetch-Site` decides, which a page cannot set. A request with neither is refused.
    """
    origin, site = request.headers.get("origin"), request.headers.get("sec-fetch-site")
    if site is not None and site != "same-origin":
        return False
    if origin not in (None, "null"):
        return origin in _own_origins(request, public_url)
    return site == "same-origin"


def _own_origins(request: Request, public_url: str | None) -> set[str]:
    found = {f"{request.url.scheme}://{request.url.netloc}"}
    if public_url:
        parts = urlsplit(public_url)
        found.add(f"{parts.scheme}://{parts.netloc}")
    return found


def form_token(session_secret: str) -> str:
    """Return the token that every form of a session carries. It tells nothing about the session's secret."""
    return hmac.new(session_secret.encode(), b"form", hashlib.sha256).hexdigest()


def is_form_token(given: str, session_secret: str) -> bool:
    """Return whether `given` is the token of this session, in constant time."""
    return hmac.compare_digest(given.encode("utf-8", "replace"), form_token(session_secret).encode())


def form_mark(token: str, path: str, fields: Mapping[str, list[str]]) -> str:
    """Return by what the store knows a form that this session sent to `path`. Other fields give another mark."""
    sent = f"{path}?{urlencode(sorted(fields.items()), doseq=True)}"
    return hmac.new(token.encode(), b"sent:" + sent.encode(), hashlib.sha256).hexdigest()


def signed_notice(text: str, token: str) -> str:
    """Return a notice for an address that `read_notice` takes with the same form token, cut at 380 characters."""
    shown = text[:_MAX_NOTICE].strip()
    return f"{shown}~{_notice_mark(shown, token)}"


def read_notice(value: str, token: str) -> str:
    """Return the text of a notice that this session's console made; empty for one that somebody else wrote."""
    text, _, mark = value.rpartition("~")
    return text if hmac.compare_digest(mark.encode("utf-8", "replace"), _notice_mark(text, token).encode()) else ""


def _notice_mark(text: str, token: str) -> str:
    return hmac.new(token.encode(), b"notice:" + text.encode("utf-8", "replace"), hashlib.sha256).hexdigest()[:16]
