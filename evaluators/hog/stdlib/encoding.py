"""Base64, percent-encoding and ids. Null in, null out."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from urllib.parse import quote, unquote
from uuid import UUID

from evaluators.hog.runtime.context import Context
from evaluators.hog.runtime.errors import HogInputError
from evaluators.hog.runtime.functions import Function
from evaluators.hog.runtime.values import Value
from evaluators.hog.stdlib.arguments import as_text, charge_text, utf8

_BROKEN_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")


def base64_encode(ctx: Context, value: Value) -> str | None:
    """Return the text's UTF-8 bytes in Base64."""
    if value is None:
        return None
    raw = utf8(as_text("base64Encode", "its argument", value))
    charge_text(ctx, len(raw) * 4 // 3 + 4)
    return base64.b64encode(raw).decode("ascii")


def base64_decode(ctx: Context, value: Value) -> str | None:
    """Decode Base64, plain or URL-safe, padded or not. HogInputError if it is none or holds no UTF-8."""
    if value is None:
        return None
    decoded = _from_base64(ctx, as_text("base64Decode", "its argument", value))
    if decoded is None:
        raise HogInputError("base64Decode needs the Base64 of a UTF-8 text; tryBase64Decode gives '' for anything else")
    return decoded


def try_base64_decode(ctx: Context, value: Value) -> str | None:
    """Decode Base64; `''` if it is none."""
    if value is None:
        return None
    return (_from_base64(ctx, value) if type(value) is str else None) or ""


def _from_base64(ctx: Context, value: str) -> str | None:
    charge_text(ctx, len(value), value)
    ctx.step(len(value) >> 6)
    if not value.isascii():
        return None
    compact = "".join(value.split()).replace("-", "+").replace("_", "/").rstrip("=")
    try:
        return base64.b64decode(compact + "=" * (-len(compact) % 4), validate=True).decode("utf-8")
    except (binascii.Error, UnicodeDecodeError):
        return None


def encode_url_component(ctx: Context, value: Value) -> str | None:
    """Percent-encode all but letters, digits and `_.-~`."""
    if value is None:
        return None
    raw = utf8(as_text("encodeURLComponent", "its argument", value))
    charge_text(ctx, 3 * len(raw))
    ctx.step(len(raw) >> 5)
    return quote(raw, safe="")


def decode_url_component(ctx: Context, value: Value) -> str | None:
    """Decode percent-encoding; malformed sequences stay as they are."""
    if value is None:
        return None
    encoded = as_text("decodeURLComponent", "its argument", value)
    charge_text(ctx, len(encoded), encoded)
    return unquote(encoded)


def try_decode_url_component(ctx: Context, value: Value) -> str | None:
    """Decode percent-encoding; null if it is not well-formed."""
    if type(value) is not str or _BROKEN_PERCENT.search(value):
        return None
    charge_text(ctx, len(value), value)
    try:
        return unquote(value, errors="strict")
    except UnicodeDecodeError:
        return None


def generate_uuid_v4(ctx: Context) -> str:
    """Return an id that follows from the event and from how many were made before in this run."""
    digest = hashlib.sha256(utf8(f"{ctx.uuid_seed}:{ctx.serial()}")).digest()
    return str(UUID(bytes=digest[:16], version=4))


FUNCTIONS = {
    "base64Encode": Function(base64_encode, 1, 1, needs_context=True),
    "base64Decode": Function(base64_decode, 1, 1, needs_context=True),
    "tryBase64Decode": Function(try_base64_decode, 1, 1, needs_context=True),
    "encodeURLComponent": Function(encode_url_component, 1, 1, needs_context=True),
    "decodeURLComponent": Function(decode_url_component, 1, 1, needs_context=True),
    "tryDecodeURLComponent": Function(try_decode_url_component, 1, 1, needs_context=True),
    "generateUUIDv4": Function(generate_uuid_v4, 0, 0, needs_context=True, cheap=True, constant=False),
}
