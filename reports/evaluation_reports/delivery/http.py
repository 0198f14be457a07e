"""Reports over HTTP: webhooks, which are signed, and incoming webhooks of Slack.

A webhook's request has these headers:

    Idempotency-Key     the same for every attempt to deliver one report to one target
    X-Gavel-Timestamp   seconds since 1970, of this attempt
    X-Gavel-Signature   v1=HMAC-SHA256(secret, timestamp + "." + body), in hexadecimal

The connection goes to the address that was checked, redirects are not followed, and nothing of an answer is read but
its status.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
from collections.abc import Callable, Mapping, Sequence

import httpx2
import orjson
from pydantic import SecretStr

from config.outbound import ForbiddenAddress
from config.outbound.addresses import Resolver, resolve_host
from config.outbound.http import checked_client
from reports.evaluation_reports.delivery.outcome import DELIVERED, DeliveryOutcome, ReportMessage
from reports.evaluation_reports.targets import DeliveryTarget

SETTING = "api.allowed_webhook_hosts"
_AGENT = "Gavel-Reports"
_LATER = frozenset({408, 425, 429})
_MAX_WAIT_S = 3_600.0
_SLACK_CHARS = 2_900
"""Slack takes 3 000 characters in one block."""


class HttpSender:
    """Sends to webhooks and to Slack. Each call blocks for `timeout_s` at the most.

    Args:
        allowed: hosts and networks that may be called although they are not public.
        now_s: seconds since 1970.
    """

    def __init__(
        self,
        *,
        allowed: Sequence[str],
        timeout_s: float,
        now_s: Callable[[], float],
        resolve: Resolver = resolve_host,
    ) -> None:
        self._allowed = tuple(allowed)
        self._timeout_s = timeout_s
        self._now_s = now_s
        self._resolve = resolve

    def webhook(self, target: DeliveryTarget, message: ReportMessage) -> DeliveryOutcome:
        """Send a signed request. One whose answer did not come is sent again: its receiver knows it by its key."""
        body = orjson.dumps(message.payload)
        headers = {
            "Content-Type": "application/json",
            "Idempotency-Key": message.identity,
            **signature(target.secret or SecretStr(""), body, int(self._now_s())),
        }
        outcome = self._post(target.address, body, headers)
        return DeliveryOutcome("retry", outcome.error) if outcome.ending == "unknown" else outcome

    def slack(self, target: DeliveryTarget, message: ReportMessage) -> DeliveryOutcome:
        """Send a message. One whose answer did not come is not sent again, because Slack would show it twice."""
        return self._post(target.address, orjson.dumps(slack_body(message)), {"Content-Type": "application/json"})

    def _post(self, url: str, body: bytes, headers: Mapping[str, str]) -> DeliveryOutcome:
        try:
            return asyncio.run(self._post_once(url, body, {"User-Agent": _AGENT, **headers}))
        except ForbiddenAddress as error:
            return DeliveryOutcome("failed", str(error))
        except (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout):
            return DeliveryOutcome("retry", "the receiver cannot be connected to")
        except (httpx2.InvalidURL, httpx2.UnsupportedProtocol):
            return DeliveryOutcome("failed", "the address is not an http or https URL")
        except (httpx2.HTTPError, TimeoutError):
            return DeliveryOutcome("unknown", "the receiver did not answer in time, or broke the connection")

    async def _post_once(self, url: str, body: bytes, headers: Mapping[str, str]) -> DeliveryOutcome:
        client = checked_client(
            allowed=self._allowed, setting=SETTING, timeout_s=self._timeout_s, resolve=self._resolve
        )
        request = client.build_request("POST", url, content=body, headers=dict(headers))
        async with asyncio.timeout(self._timeout_s), client:
            response = await client.send(request, stream=True)
            try:
                return _outcome(response.status_code, response.headers.get("Retry-After", ""))
            finally:
                await response.aclose()


def _outcome(status: int, retry_after: str) -> DeliveryOutcome:
    if 200 <= status < 300:
        return DELIVERED
    error = f"the receiver answered {status}"
    if status in _LATER or status >= 500:
        wait = float(retry_after) if retry_after.isascii() and retry_after.isdigit() and len(retry_after) < 8 else None
        return DeliveryOutcome("retry", error, None if wait is None else min(wait, _MAX_WAIT_S))
    if 300 <= status < 400:
        return DeliveryOutcome("failed", f"{error}; redirects are not followed, so write the address that it leads to")
    return DeliveryOutcome("failed", error)


def signature(secret: SecretStr, body: bytes, timestamp: int) -> dict[str, str]:
    """Return the headers that sign `body`."""
    signed = f"{timestamp}.".encode() + body
    digest = hmac.new(secret.get_secret_value().encode(), signed, hashlib.sha256).hexdigest()
    return {"X-Gavel-Timestamp": str(timestamp), "X-Gavel-Signature": f"v1={digest}"}


def slack_body(message: ReportMessage) -> dict[str, object]:
    """Return a message of Slack. Nothing in it can mention people, channels or links by Slack's own marks."""
    title = _slack_text(message.title)
    text = _slack_text(message.text)
    if len(text) > _SLACK_CHARS:
        text = text[:_SLACK_CHARS] + "…"
    more = f"\n{message.link}" if message.link else ""
    return {
        "text": title,
        "blocks": [{"type": "section", "text": {"type": "mrkdwn", "text": text + more, "verbatim": True}}],
        "unfurl_links": False,
        "unfurl_media": False,
    }


def _slack_text(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("@", "＠")
