"""The type and the size of media, from the object that holds them. Nothing is decoded and no address is opened.

The fields differ by provider: a text in Base64, a `data:` URL, a list of bytes, an address, or the id of a file that
the provider keeps.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

_DEEPEST, _MOST_OBJECTS = 2, 16
"""How deep the data of a block stands in it, and how many objects of a level are looked through for it."""
_TYPES = frozenset({"mimeType", "mime_type", "media_type", "mediaType", "contentType", "content_type", "format"})
_DATA = frozenset({"data", "bytes", "blob", "b64_json", "base64", "base64_image", "file_data", "fileData"})
"""Fields that hold data, however short it is."""
_ADDRESSES = frozenset({"url", "uri", "fileUri", "file_uri", "image_url", "audio_url", "video_url", "document_url"})
_EITHER = frozenset({"image", "audio", "video", "file"})
"""Fields that hold data, an address, or a name or an id."""
_HOLDERS = _DATA | _ADDRESSES | _EITHER
_SURELY_DATA = 256
"""Characters from which on a text in Base64's alphabet is data in a field that may hold another thing."""
_BEGINNINGS = (
    ("iVBORw0KGgo", "image/png"), ("/9j/", "image/jpeg"), ("R0lGOD", "image/gif"), ("JVBERi0", "application/pdf"),
    ("SUQz", "audio/mpeg"), ("T2dnU", "audio/ogg"), ("ZkxhQ", "audio/flac"),
)  # fmt: skip
"""The beginnings of Base64 of file formats that tell their type."""
_LOOKED_AT = 64
_LONGEST_HEAD = 300
_MOST_TYPE, _MOST_LINK = 100, 300
_ALPHABET = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/-_=\r\n")


class Attachment(NamedTuple):
    """One picture, recording or file.

    Attributes:
        kind: `image`, `audio`, `video` or `file`.
        type: as logged, such as `image/png` or `wav`, else as the data begins; empty if it is not known.
        size_bytes: of the data once decoded; None if the data is not in the event.
        link: the beginning of the address; empty if there is none.
    """

    kind: str
    type: str = ""
    size_bytes: int | None = None
    link: str = ""


def attachment_of(kind: str, holder: Mapping[str, Any]) -> Attachment:
    """Return the type and the size of the media in `holder`. It takes time in proportion to its data at the most."""
    declared = link = ""
    held: Attachment | None = None
    for level in _levels(holder):
        for name, value in level.items():
            if name in _TYPES:
                declared = declared or (value if isinstance(value, str) else "")
            elif name in _HOLDERS and held is None:
                found = _held(level, name, value)
                if found is not None and found.size_bytes is None:
                    link = link or found.link
                else:
                    held = found
    if held is not None:
        return Attachment(kind, (declared or held.type)[:_MOST_TYPE], held.size_bytes)
    return Attachment(kind, declared[:_MOST_TYPE], None, link)


def attachment_of_url(url: str) -> Attachment | None:
    """Return the type and the size of a `data:` URL; None for another text. Its kind is that of its type."""
    comma = url.find(",", 0, _LONGEST_HEAD)
    if comma < 0 or url[:5].lower() != "data:":
        return None
    head = url[5:comma].lower()
    mime = head.partition(";")[0].strip()
    kind = mime.partition("/")[0]
    is_encoded = head.endswith("base64")
    size = _decoded_size(url, comma + 1) if is_encoded else max(0, len(url) - comma - 1 - 2 * url.count("%", comma))
    return Attachment(kind if kind in ("image", "audio", "video") else "file", mime[:_MOST_TYPE], size)


def _levels(holder: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """Return an object and those in it, the outer ones first."""
    found, begin = [holder], 0
    for _ in range(_DEEPEST):
        inner = [value for level in found[begin:] for value in level.values() if isinstance(value, Mapping)]
        if not inner:
            break
        begin = len(found)
        found += inner[:_MOST_OBJECTS]
    return found


def _held(level: Mapping[str, Any], name: str, value: Any) -> Attachment | None:
    """Return what a field holds; None if it is neither data nor an address."""
    if not isinstance(value, str):
        first = (
            value.get("0") if isinstance(value, Mapping) else value[0] if isinstance(value, list) and value else None
        )
        return Attachment("", "", len(value)) if type(first) is int else None  # bytes, one by one
    if not value:
        return None
    begin = value[:_LOOKED_AT]
    if begin[:5].lower() == "data:":
        return attachment_of_url(value)
    if "://" in begin:
        return Attachment("", "", None, value[:_MOST_LINK])
    if name in _DATA and level.get("type") in ("text", "content"):
        return Attachment("", "", len(value if value.isascii() else value.encode("utf-8", "surrogatepass")))
    if (name in _DATA or len(value) >= _SURELY_DATA) and _ALPHABET.issuperset(begin):
        mime = next((mime for beginning, mime in _BEGINNINGS if begin.startswith(beginning)), "")
        return Attachment("", mime, _decoded_size(value))
    return Attachment("", "", None, value[:_MOST_LINK]) if name in _ADDRESSES else None


def _decoded_size(text: str, start: int = 0) -> int:
    """Return how many bytes the Base64 from `start` on has once decoded; line breaks and the padding hold none."""
    breaks = text.count("\n", start) + text.count("\r", start)
    padding = text.count("=", max(start, len(text) - 4)) or text.count("%3D", max(start, len(text) - 8)) * 3
    return max(0, len(text) - start - breaks - padding) * 3 // 4
