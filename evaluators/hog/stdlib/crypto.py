"""Digests of texts, and chains of HMACs: to compare and to shorten, not to protect."""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Callable
from functools import partial
from typing import Literal

from evaluators.hog.runtime.context import Context
from evaluators.hog.runtime.errors import HogTypeError
from evaluators.hog.runtime.functions import Function
from evaluators.hog.runtime.values import Value
from evaluators.hog.stdlib.arguments import CHARS_PER_STEP, as_text, utf8, wrong_type

_Algorithm = Literal["md5", "sha1", "sha256"]
_ALGORITHMS: tuple[_Algorithm, ...] = ("md5", "sha1", "sha256")

_ENCODINGS: dict[str, Callable[[bytes], str]] = {
    "hex": bytes.hex,
    "base64": lambda digest: base64.b64encode(digest).decode("ascii"),
    "base64url": lambda digest: base64.urlsafe_b64encode(digest).decode("ascii").rstrip("="),
    "binary": lambda digest: digest.decode("latin-1"),
}


def _encoder(function: str, encoding: Value) -> Callable[[bytes], str]:
    name = "hex" if encoding is None else as_text(function, "the encoding", encoding)
    if name not in _ENCODINGS:
        raise HogTypeError(f"{function}: unknown encoding '{name[:40]}'; use one of {', '.join(_ENCODINGS)}")
    return _ENCODINGS[name]


def _digest(algorithm: _Algorithm, function: str, ctx: Context, value: Value, encoding: Value = None) -> str | None:
    """Return the digest of a text's UTF-8; null of null."""
    encode = _encoder(function, encoding)
    if value is None:
        return None
    raw = utf8(as_text(function, "its argument", value))
    ctx.step(1 + len(raw) // (4 * CHARS_PER_STEP))
    return encode(hashlib.new(algorithm, raw, usedforsecurity=False).digest())


def _hmac_chain(algorithm: _Algorithm, function: str, ctx: Context, parts: Value, encoding: Value = None) -> str:
    """Return the HMAC of the second text with the first as key, then of each further one with the result as key."""
    encode = _encoder(function, encoding)
    if type(parts) is not list and type(parts) is not tuple:
        raise wrong_type(function, "an array of strings", parts)
    if len(parts) < 2:
        raise HogTypeError(f"{function} needs an array of two strings or more")
    key = utf8(as_text(function, "each element", parts[0]))
    for part in parts[1:]:
        message = utf8(as_text(function, "each element", part))
        ctx.step(2 + (len(message) + len(key)) // (4 * CHARS_PER_STEP))
        key = hmac.digest(key, message, algorithm)
    return encode(key)


def _functions() -> dict[str, Function]:
    table: dict[str, Function] = {}

    def add(name: str, impl: Callable[..., Value], algorithm: _Algorithm) -> None:
        table[name] = Function(partial(impl, algorithm, name), 1, 2, needs_context=True)
        table[f"{name}Hex"] = Function(partial(impl, algorithm, f"{name}Hex"), 1, 1, needs_context=True)

    for algorithm in _ALGORITHMS:
        add(algorithm, _digest, algorithm)
    add("sha1HmacChain", _hmac_chain, "sha1")
    add("sha256HmacChain", _hmac_chain, "sha256")
    return table


FUNCTIONS = _functions()
