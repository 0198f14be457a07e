"""Binary data and vectors become marks wherever they stand in a text; what people write stays as it is."""

from __future__ import annotations

import base64
import hashlib
import inspect
import json
import random
import re
import uuid
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.messages import conversation, render_tools, scrubbed
from evaluators.messages.scrub import scrubbed_with_origin, without_data_urls

DATA = base64.b64encode(bytes(random.Random(5).randbytes(900))).decode()
BYTES = random.Random(6).randbytes(160)
SHORT = [DATA[at : at + 40] for at in range(0, 480, 40)]
FOUR_LETTERS = re.findall("....", "ableacidagedalsoareaarmyawaybabybackballbandbankbasebathbearbeat")
SLICES = [DATA[at : at + 80] for at in range(0, len(DATA), 80)]
WRAPPED = "\n".join(DATA[at : at + 76] for at in range(0, len(DATA), 76))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (f"![](data:image/png;base64,{DATA}) and so on", "![]([image]) and so on"),
        (f"<img src='data:image/svg+xml;charset=utf-8;base64,{DATA}'>", "<img src='[image]'>"),
        (f"DATA:audio/wav;base64,{DATA}", "[audio]"),
        (f"data:application/pdf;base64,{DATA}", "[file]"),
        (f"Data:image/png;base64,{DATA}", "[image]"),
        (f"a data:;base64,{DATA} b", "a [file] b"),
        (f"a data:image/png; base64,{DATA} b", "a [image] b"),
        ("a data:image/gif;base64,R0lGODlhAQ== b", "a [image] b"),
        ("data:image/svg+xml," + "%3Csvg%20xmlns" * 30, "[image]"),
        (f"before {DATA} after", "before [data] after"),
        (f"before\n{WRAPPED}\nAb3=\nafter", "before\n[data]\nafter"),
        (json.dumps({"a": WRAPPED}), '{"a": "[data]"}'),
        (json.dumps({"a": DATA}).replace("/", "\\/"), '{"a": "[data]"}'),
        ("iVBORw0KGgo" + DATA, "[image]"),
        ("JVBERi0" + DATA, "[file]"),
        (f"-----BEGIN KEY-----\n{WRAPPED}\n-----END KEY-----", "-----BEGIN KEY-----\n[data]\n-----END KEY-----"),
        (bytes(range(256)).hex(), "[data]"),
        (json.dumps([0.25 + n for n in range(300)]), "[300 numbers]"),
        (json.dumps({"v": [0.5] * 64, "n": 3}), '{"v": [64 numbers], "n": 3}'),
        (json.dumps([n % 256 for n in range(400)]), "[400 numbers]"),
        (json.dumps({str(n): n % 256 for n in range(400)}), '{"data":"[data]"}'),
        ("see\n" + "\n".join(SHORT) + "\nend", "see\n[data]\nend"),
        ("see\n" + "\n".join(f"    {line}" for line in SHORT) + "\nAb3=\nend", "see\n[data]\nend"),
        ("see\n" + "\n".join(f"> {line}" for line in SHORT) + "\n> end of it", "see\n[data]\n> end of it"),
        (json.dumps("\n".join([*SHORT, "Ab3="])), '"[data]"'),
        ("see\n" + "\n".join(f"> {line}" for line in WRAPPED.split("\n")), "see\n> [data]"),
        ("see\n" + "\n".join(f"      {line}" for line in WRAPPED.split("\n")), "see\n      [data]"),
        (WRAPPED.replace("\n", " ") + " and on", "[data] and on"),
        (json.dumps(SLICES), '["[data]"]'),
        (json.dumps(json.dumps(SLICES)), '"[\\"[data]\\"]"'),
        ("s = (\n    '" + "'\n    '".join(SLICES) + "'\n)", "s = (\n    '[data]'\n)"),
        ('s = "' + '" + "'.join(SLICES) + '";', 's = "[data]";'),
        (base64.urlsafe_b64encode(bytes(range(255))).decode(), "[data]"),
        ("a " + "A" * 400 + "== b", "a [data] b"),
        ("a " + DATA.replace("+", "%2B").replace("/", "%2F") + "%3D%3D b", "a [data] b"),
        ("a " + "".join(f"%{byte:02X}" for byte in BYTES) + " b", "a [data] b"),
        ("[" + ", ".join(f"0x{byte:02x}" for byte in BYTES) + "]", "[[data]]"),
        ("a: " + BYTES.hex(" "), "a: [data]"),
        ("a: " + BYTES.hex(":") + ".", "a: [data]."),
        ("a: " + BYTES.hex(" ", 4).upper() + " " + BYTES.hex(" ", 4), "a: [data]"),
        ("a: " + b"The quick brown fox jumps over the lazy dog. ".hex(" ") * 3, "a: [data]"),
        ("\n".join(f"{at:08x}: {BYTES[at : at + 16].hex(' ', 2)}  ...." for at in range(0, 160, 16)), "[data]"),
        *(
            (
                f"see: here {sep.join(DATA[at : at + size] for at in range(0, len(DATA), size))} and on",
                "see: here [data] and on",
            )
            for size in (4, 5, 8, 10, 12, 20, 32)
            for sep in (" ", "  ")
        ),
        *(
            (f"a:{sep}{sep.join(DATA[at : at + 4] for at in range(0, len(DATA), 4))}{sep}b", f"a:{sep}[data]{sep}b")
            for sep in ("\n", "\r\n", "\\n")
        ),
        (f"a {base64.b85encode(BYTES * 2).decode()} b", "a [data] b"),
        (json.dumps({"a": base64.b85encode(BYTES * 2).decode(), "b": 1}), '{"a": "[data]", "b": 1}'),
        (f"a {base64.a85encode(BYTES * 2, adobe=True, wrapcol=70).decode()} b", "a [data] b"),
        ("a: " + " ".join(map(str, BYTES * 2)) + ".", "a: 320 numbers."),
        ("a:\n" + "\n".join(map(str, BYTES * 2)) + "\nb", "a:\n320 numbers\nb"),
    ],
)
def test_data_becomes_a_mark(text: str, expected: str) -> None:
    assert scrubbed(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Ein Text über Größe, мир, 世界 und 🙂. " * 20,
        "word " * 5000,
        "a" * 5000,
        "ACGT" * 500,
        "3." + "14159265" * 200,
        "=" * 400 + "\n" + "-" * 400 + "\n" + "_" * 400,
        ", ".join(map(str, range(1000))),
        ", ".join(f"{n / 4}" for n in range(20)),
        "The data: image/png is a type; data:image is not a picture.",
        "https://example.com/" + "/".join(["part-of-a-path"] * 40),
        "sk-ant-" + "Ab1" * 30,
        "half a pair \ud800 " * 30,
        " ".join(FOUR_LETTERS * 5),
        "\n".join(FOUR_LETTERS * 5),
        " ".join(word.title() for word in FOUR_LETTERS * 5),
        " ".join(word.upper() for word in FOUR_LETTERS * 5),
        " ".join(word + word for word in FOUR_LETTERS * 5),
        " ".join(f"{year}" for year in range(1700, 2026)),
        " ".join(f"XY{number}" for number in range(10, 99)) * 4,
        " ".join(f"AB{number}" for number in range(10, 99)) * 4,
        "\n".join(f"{number:04} F{number % 10}C{number * 7 % 10}" for number in range(99)),
        "\n".join(f"{n:04}: " + " ".join(f"DE{n * m % 90 + 10}" for m in range(8)) for n in range(99)),
        ", ".join(f"{a}{b}{c}{c}" for a in "ABCDEF" for b in "ABCDEF" for c in range(10)),
        "\n".join(f"{n} {n * 37 % 256}" for n in range(256)),
        "\n".join(" ".join(f"{n * line * 7 % 256}" for n in range(20)) for line in range(1, 30)),
        " ".join(f"{n * 7 % 101}" for n in range(400)),
        "\n".join(map(str, range(256))),
        "".join(inspect.getsource(conversation).split()),
        "<~" + "markup is not data " * 30 + "~>",
        "f(a,b){return(a>b?a-b:b-a)};" * 30,
        "\n".join(f"{year} " + " ".join(str(year * n % 9000 + 1000) for n in range(5)) for year in range(1990, 2020)),
        ", ".join(f"{n * 7 % 90 + 10}" for n in range(200)),
        "\n".join(hashlib.sha1(bytes([n])).hexdigest() for n in range(20)),
        json.dumps([hashlib.sha256(bytes([n])).hexdigest() for n in range(20)]),
        json.dumps(
            [f"Users/Shared/{'part-' * n}Of-A-Path/in-the-store-of-2026/with-Names/object" for n in range(6, 20)]
        ),
        "\n".join(str(uuid.UUID(int=n << 64 | n * 77)) for n in range(20)),
        "\n".join(["ComponentButtonPrimary", "ComponentButtonSecondary", "InputFieldWithLabel2"] * 8),
        "https://ru.wikipedia.org/wiki/" + quote("Список-стран-по-населению" * 4),
        "\n".join(["* " + "be ad fa ce of it" for _ in range(40)]),
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U",
    ],
)
def test_what_people_write_stays(text: str) -> None:
    assert scrubbed(text) == text


def test_catalogues_of_tools_carry_no_data_either() -> None:
    assert render_tools([{"name": "f", "description": f"icon data:image/png;base64,{DATA}"}]) == ["- f: icon [image]"]
    assert render_tools(
        json.dumps([{"toolSpec": {"name": "g", "inputSchema": {"json": {"properties": {"a": {}}}}}}])
    ) == ["- g (a?)"]


def test_data_urls_alone_are_taken_out_of_what_a_program_sees() -> None:
    assert without_data_urls(f"see data:image/png;base64,{DATA} {DATA}") == f"see [image] {DATA}"


URL = f"data:image/png;base64,{DATA} "
PIECES = st.sampled_from(["words é ", DATA, WRAPPED + "\n", URL, "1.5, " * 80, "\\xff\\x00" * 200, "\n", "data:,x "])


@given(st.lists(PIECES, max_size=6).map("".join))
def test_the_origin_of_a_place_is_followed_by_the_same_text(text: str) -> None:
    made, origin = scrubbed_with_origin(text)
    assert made == scrubbed(text)
    places = [origin(at) for at in range(len(made) + 1)]
    assert places == sorted(places)
    for at, place in enumerate(places[:-1]):
        if made[at] == "w":  # no mark and no data has words
            assert text[place] == "w"
    assert places[0] == 0
