"""Bodies of multipart/form-data (RFC 7578), split in one pass. The whole body is in memory already, and bounded."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ingest.answers import Refusal, invalid

MAX_PARTS = 100
_MAX_HEAD_BYTES = 4_096
_BOUNDARY = re.compile(r'boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))', re.IGNORECASE)
_NAME = re.compile(r'(?:^|;)\s{0,9}name="([^"]{1,300})"', re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its name, its media type in lower case without parameters, and its content."""

    name: str
    media_type: str
    content: bytes


def split(body: bytes, content_type: str) -> list[Part]:
    """Return the parts of `body` in their order.

    Args:
        content_type: the header of the request, which names the boundary.

    Raises:
        Refusal: 400, it is damaged or has too many parts; 415, it is of another media type.
    """
    if content_type.partition(";")[0].strip().lower() != "multipart/form-data":
        raise Refusal(415, "unsupported_media_type", "Send multipart/form-data.")
    found = _BOUNDARY.search(content_type)
    if found is None:
        raise invalid("invalid_multipart", "The Content-Type names no boundary.")
    delimiter = b"\r\n--" + (found[1] or found[2]).encode("latin-1")
    # The first delimiter may stand at the very beginning, without a line before it.
    pieces = (b"\r\n" + body).split(delimiter, MAX_PARTS + 1)
    if len(pieces) < 2 or not pieces[-1].startswith(b"--"):
        many = len(pieces) == MAX_PARTS + 2
        reason = f"The body has more than {MAX_PARTS} parts." if many else "The body does not end with its boundary."
        raise invalid("invalid_multipart", reason)
    return [_part(piece) for piece in pieces[1:-1]]


def _part(piece: bytes) -> Part:
    head, end, content = piece.partition(b"\r\n\r\n")
    if not end or len(head) > _MAX_HEAD_BYTES:
        raise invalid("invalid_multipart", "A part has no end of its headers, or too long ones.")
    headers: dict[str, str] = {}
    for line in str(head, "utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    named = _NAME.search(headers.get("content-disposition", ""))
    if named is None:
        raise invalid("invalid_multipart", "A part has no name.")
    media_type = headers.get("content-type", "text/plain").partition(";")[0].strip().lower()
    return Part(named[1], media_type, content)
