"""Stylesheet, scripts and icon: read once, served for a year under names that hold their hash."""

from __future__ import annotations

import gzip
from base64 import b32encode
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from importlib.resources import files

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

PREFIX = "/console/assets/"
_TYPES = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FOREVER = "public, max-age=31536000, immutable"


@dataclass(frozen=True, slots=True)
class Asset:
    """One file of `console/static/`, and the same compressed."""

    path: str
    content: bytes
    compressed: bytes
    media_type: str


def _read() -> tuple[Mapping[str, str], Mapping[str, Asset]]:
    addresses, found = {}, {}
    for entry in files("console.static").iterdir():
        stem, _, suffix = entry.name.rpartition(".")
        if suffix not in _TYPES:
            continue
        content = entry.read_bytes()
        digest = b32encode(sha256(content).digest()).decode()[:12].lower()
        served = f"{stem}.{digest}.{suffix}"
        addresses[entry.name] = PREFIX + served
        found[served] = Asset(PREFIX + served, content, gzip.compress(content, mtime=0), _TYPES[suffix])
    return addresses, found


_ADDRESSES, _ASSETS = _read()


def address(name: str) -> str:
    """Return the address of a file of `console/static/`. Raises `KeyError` for one that is not there."""
    return _ADDRESSES[name]


def all_assets() -> tuple[Asset, ...]:
    """Return every asset."""
    return tuple(_ASSETS.values())


async def serve(request: Request) -> Response:
    """Serve one asset. It needs no session, because it is the same for everybody."""
    asset = _ASSETS.get(request.path_params["name"])
    if asset is None:
        return PlainTextResponse("There is no such file.", 404)
    headers = {"Cache-Control": _FOREVER, "Vary": "Accept-Encoding"}
    content = asset.content
    if "gzip" in request.headers.get("accept-encoding", ""):
        headers["Content-Encoding"], content = "gzip", asset.compressed
    return Response(content, headers=headers, media_type=asset.media_type)
