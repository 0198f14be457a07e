from __future__ import annotations

import pytest

from ingest.answers import Refusal
from ingest.multipart import MAX_PARTS, Part, split

TYPE = "multipart/form-data; boundary=B"


def part(name: str, content: bytes, *lines: str) -> bytes:
    head = "\r\n".join([f'Content-Disposition: form-data; name="{name}"', *lines])
    return b"--B\r\n" + head.encode() + b"\r\n\r\n" + content + b"\r\n"


def test_parts_keep_their_bytes() -> None:
    body = (
        part("event", b"{}", "Content-Type: Application/JSON; charset=utf-8")
        + part("x", b"\r\n--\r\n\0\xff")
        + b"--B--"
    )
    assert split(body, TYPE) == [Part("event", "application/json", b"{}"), Part("x", "text/plain", b"\r\n--\r\n\0\xff")]
    for content_type in ('Multipart/Form-Data; charset=x; Boundary="B"', 'multipart/form-data;boundary=B; x="y"'):
        assert split(body, content_type)[0].content == b"{}"
    assert split(b"preamble\r\n" + body + b"\r\nepilogue", TYPE)[1].name == "x"


@pytest.mark.parametrize(
    ("body", "content_type", "status"),
    [
        (b"", TYPE, 400),
        (part("a", b""), TYPE, 400),
        (part("a", b"") + b"--B", TYPE, 400),
        (b"--B\r\n\r\n--B--", TYPE, 400),
        (b"--B\r\nContent-Disposition: form-data\r\n\r\nx\r\n--B--", TYPE, 400),
        (b'--B\r\nContent-Disposition: form-data; filename="event"\r\n\r\nx\r\n--B--', TYPE, 400),
        (part("a", b"", "X: " + "x" * 5_000) + b"--B--", TYPE, 400),
        (part("a", b"") * (MAX_PARTS + 1) + b"--B--", TYPE, 400),
        (part("a", b"") + b"--B--", "multipart/form-data", 400),
        (part("a", b"") + b"--B--", "multipart/form-data; boundary=" + "B" * 71, 400),
        (part("a", b"") + b"--B--", "multipart/mixed; boundary=B", 415),
        (b"{}", "application/json", 415),
    ],
)
def test_a_damaged_body_is_refused(body: bytes, content_type: str, status: int) -> None:
    with pytest.raises(Refusal) as refused:
        split(body, content_type)
    assert refused.value.status == status


def test_the_most_parts_are_taken() -> None:
    assert len(split(part("a", b"") * MAX_PARTS + b"--B--", TYPE)) == MAX_PARTS


def test_a_body_of_boundaries_takes_linear_time() -> None:
    for unit in (b"\r\n--B", b"\r\n--", b"-", b"\r\n"):
        with pytest.raises(Refusal):
            split(unit * (4_000_000 // len(unit)), TYPE)
