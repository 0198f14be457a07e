"""Targets of a report, in the forms in which a client writes them, the store holds them, and the API shows them.

    written   {"type": "slack", "webhook_url": "https://hooks.slack.com/services/T/B/x"}
    stored    {"type": "slack", "webhook_url": "https://hooks.slack.com/****5f0a12c3", "sealed": "…"}
    shown     {"type": "slack", "webhook_url": "https://hooks.slack.com/****5f0a12c3"}

The address of a Slack webhook is its secret, and a webhook's `secret` signs its messages. Both are encrypted at rest
and never shown again. A client that sends a mask back changes nothing.
"""

from __future__ import annotations

import hashlib
import secrets
import string
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import SecretStr

from config.outbound import ForbiddenAddress
from config.outbound.addresses import plain_host
from config.secrets import SecretBox

TargetKind = Literal["email", "slack", "webhook"]
MASK = "****"
_NEW_SECRET_BYTES = 32
_MAX_LOCAL_CHARS = 64
_LOCAL_CHARS = frozenset(string.ascii_letters + string.digits + "!#$%&'*+-/=?^_`{|}~.")


class MaskedAddress(ValueError):
    """A client wrote the mask of an address that is not stored. `position` is that of the target."""

    def __init__(self, position: int) -> None:
        super().__init__("write the whole address of the webhook")
        self.position = position


@dataclass(frozen=True, slots=True)
class DeliveryTarget:
    """Where one message goes.

    Attributes:
        address: the e-mail address or the URL that is called.
        shown: the address as it may be shown and logged.
        secret: what signs a webhook's messages; None for the other kinds.
    """

    kind: TargetKind
    address: str
    shown: str
    secret: SecretStr | None = None


def seal_targets(
    given: Sequence[Mapping[str, Any]], stored: Iterable[Mapping[str, Any]], box: SecretBox
) -> list[dict[str, Any]]:
    """Return the targets as they are stored. A webhook without a secret gets one; `gavel reports secret` shows it.

    Args:
        given: targets as a client wrote them, validated.
        stored: the present ones, whose secrets stay where the client sends back their masks.

    Raises:
        MaskedAddress: a Slack webhook's address is a mask of none that is stored.
        NoSecretKeys: a target has a secret and nothing is configured to encrypt it with.
    """
    kept = {_identity(each): each for each in stored}
    sealed: list[dict[str, Any]] = []
    for position, target in enumerate(given):
        before = kept.get(_identity(target))
        if target["type"] == "slack" and before is None and MASK in target["webhook_url"]:
            raise MaskedAddress(position)
        if target["type"] == "email":
            sealed.append({"type": "email", "value": target["value"]})
        elif before is not None and target.get("secret") in (None, MASK):
            sealed.append(dict(before))
        elif target["type"] == "slack":
            url = target["webhook_url"]
            shown = masked_url(url) + hashlib.sha256(url.encode()).hexdigest()[:8]  # tells two of them apart
            sealed.append({"type": "slack", "webhook_url": shown, "sealed": box.seal(SecretStr(url))})
        else:
            secret = target.get("secret")
            if secret is None or secret == MASK:
                secret = secrets.token_hex(_NEW_SECRET_BYTES)
            entry = {"type": "webhook", "url": target["url"], "secret": MASK, "sealed": box.seal(SecretStr(secret))}
            sealed.append(entry)
    return sealed


def shown_targets(stored: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return stored targets as they are shown."""
    return [{name: value for name, value in each.items() if name != "sealed"} for each in stored]


def open_target(stored: Mapping[str, Any], box: SecretBox) -> DeliveryTarget:
    """Return a stored target with its secret.

    Raises:
        SecretsError: the secret cannot be decrypted.
    """
    kind = stored["type"]
    if kind == "email":
        return DeliveryTarget("email", stored["value"], stored["value"])
    opened = box.open(stored["sealed"])
    if kind == "slack":
        return DeliveryTarget("slack", opened.get_secret_value(), stored["webhook_url"])
    return DeliveryTarget("webhook", stored["url"], masked_url(stored["url"]), opened)


def masked_url(url: str) -> str:
    """Return a URL without its path and query, which may be secrets."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}/{MASK}"


def check_email(address: str) -> str:
    """Return the address if it is a plain one, such as ops@example.com.

    Raises:
        ValueError: it has a display name, a quote, a comment, or anything else that is not one plain address.
    """
    local, at, host = address.rpartition("@")
    if not at or not 0 < len(local) <= _MAX_LOCAL_CHARS or not _LOCAL_CHARS.issuperset(local) or "." not in host:
        raise ValueError("This is not an e-mail address; write one plain address, such as ops@example.com.")
    try:
        return f"{local}@{plain_host(host)}"
    except ForbiddenAddress as error:
        raise ValueError(f"The e-mail address is not valid: {error}") from error


def _identity(target: Mapping[str, Any]) -> tuple[str, str]:
    kind = target["type"]
    return kind, target[{"email": "value", "slack": "webhook_url", "webhook": "url"}[kind]]
