from __future__ import annotations

import base64
import json
from collections.abc import Callable
from typing import Any

import pytest

from ingest import redaction
from ingest.redaction import PATTERNS, RedactionFailed, Redactor, is_card_number
from tests.hostile.growth import assert_linear


def redacted(rules: dict[str, str], properties: dict[str, Any], **patterns: str) -> Any:
    return json.loads(Redactor(rules, patterns).redact(json.dumps(properties).encode()))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("email", "write to Ann.Lee+x@mail.example.org, please", "write to [email], please"),
        ("email", "a@b is not an address", "a@b is not an address"),
        ("card", "pay with 4111 1111 1111 1111 now", "pay with [card] now"),
        ("card", "order 4111 1111 1111 1112 now", "order 4111 1111 1111 1112 now"),
        ("phone", "call +49 30 1234567 today", "call [phone] today"),
        ("api_key", "use sk-proj-abcdefghijklmnop1234", "use [api_key]"),
    ],
)
def test_each_ready_pattern(name: str, text: str, expected: str) -> None:
    assert redacted({"$ai_input": name}, {"$ai_input": text})["$ai_input"] == expected


def test_all_strings_of_a_property_are_redacted_and_no_other_property() -> None:
    given = {"$ai_input": [{"content": "a@b.org", "n": 5, "parts": [["c@d.org"]]}], "other": "a@b.org"}
    assert redacted({"$ai_input": "email"}, given) == {
        "$ai_input": [{"content": "[email]", "n": 5, "parts": [["[email]"]]}],
        "other": "a@b.org",
    }


def test_patterns_of_the_operators_own() -> None:
    assert redacted({"x": "case email"}, {"x": "CASE-123 a@b.org"}, case=r"CASE-\d+") == {"x": "[case] [email]"}


@pytest.mark.parametrize(("rules", "patterns"), [({"x": "nothing"}, {}), ({"x": "bad"}, {"bad": "(?=a)"})])
def test_a_wrong_rule_is_refused_at_the_start(rules: dict[str, str], patterns: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"ingest\.redact"):
        Redactor(rules, patterns)


def test_without_rules_the_text_is_left_as_it_is() -> None:
    assert Redactor({}, {}).redact(b'{ "a":1 }') == b'{ "a":1 }'


def test_a_redaction_that_fails_lets_nothing_through() -> None:
    with pytest.raises(RedactionFailed) as failed:
        Redactor({"x": "email"}, {}).redact(b'{"x": "secret@mail.org')
    assert "secret" not in str(failed.value)


CARD = "4111 1111 1111 1111"
MAIL = "ann@example.org"


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("email", {MAIL: 1, "b": {MAIL: MAIL}}, {"[email]": 1, "b": {"[email]": "[email]"}}),
        ("card", 4111111111111111, "[card]"),
        ("card", [4111111111111111, 5, True, None, 0.5], ["[card]", 5, True, None, 0.5]),
        ("card", "４１１１ １１１１ １１１１ １１１１", "[card]"),
        ("card", "٤١١١-١١١١-١١١١-١١١١", "[card]"),
        ("card", f"room 12 {CARD} 26", "room 12 [card] 26"),
        ("card", "12 3782 822463 10005", "12 [card]"),
        ("card", "1 4111111111111111 2 4111111111111111", "1 [card] 2 [card]"),
        ("card", "4111\u20111111\u20111111\u20111111", "[card]"),
        ("card", "4111\u00a01111\u00a01111\u00a01111", "[card]"),
        ("email", "a\u200bnn@exam\u00adple.org", "[email]"),
        ("email", "ａｎｎ＠ｅｘａｍｐｌｅ．ｏｒｇ", "[email]"),
        ("email", json.dumps({"to": MAIL}), '{"to": "[email]"}'),
        ("email", r'{"to": "ann\u0040example.org"}', '{"to": "[email]"}'),
        ("email", r'"{\"to\": \"ann\\u0040example.org\"}"', r'"{\"to\": \"[email]\"}"'),
        ("email", [{"type": "text", "text": "to ann@exam"}, {"type": "text", "text": "ple.org!"}],
         [{"type": "text", "text": "to [email]"}, {"type": "text", "text": "!"}]),
        ("card", ["4111 11", "11 1111", " 1111 x"], ["[card]", "", " x"]),
        ("card", [{"role": "user", "content": [{"text": "4111 1111 "}, {"content": "1111 1111"}]}],
         [{"role": "user", "content": [{"text": "[card]"}, {"content": ""}]}]),
        ("email", [{"role": "user", "content": "ann@exam"}, {"role": "user", "content": "ple.org"}],
         [{"role": "user", "content": "ann@exam"}, {"role": "user", "content": "ple.org"}]),
        ("email", ["ann@exam", 5, "ple.org"], ["ann@exam", 5, "ple.org"]),
    ],
)  # fmt: skip
def test_disguises_do_not_hide_a_pattern(name: str, value: Any, expected: Any) -> None:
    assert redacted({"x": name}, {"x": value}) == {"x": expected}


@pytest.mark.parametrize("encode", [base64.b64encode, base64.urlsafe_b64encode])
def test_base64_is_redacted_inside(encode: Callable[[bytes], bytes]) -> None:
    packed = encode(f"write to {MAIL}, {CARD} ü".encode()).decode()
    [found] = redacted({"x": "email card"}, {"x": [f"data:text/plain;base64,{packed}"]})["x"]
    assert base64.b64decode(found.partition(",")[2]).decode() == "write to [email], [card] ü"
    image = encode(bytes(range(256))).decode().rstrip("=")
    assert redacted({"x": "email"}, {"x": image}) == {"x": image}


def test_texts_without_a_match_are_left_as_they_were() -> None:
    texts = ["\u200bzero ４２", r"C:\u0041 and \u0022", "QWxsIGlzIHdlbGwgaGVyZQ==", "½ ﬁ"]
    texts.append("1 2 3 4 5 6 7 8 9 10 11 12 13 14 16")
    assert redacted({"x": " ".join(PATTERNS)}, {"x": texts}) == {"x": texts}


def test_a_name_that_is_given_twice_or_escaped_is_redacted() -> None:
    found = Redactor({"$ai_input": "email"}, {}).redact(b'{"$ai_input": "a@b.org", "\\u0024ai_input": "c@d.org"}')
    assert json.loads(found) == {"$ai_input": "[email]"}


def test_what_an_event_says_of_a_person_is_redacted_by_the_rules_of_set() -> None:
    redactor = Redactor({"$set": "email", "$set_once": "phone"}, {})
    found = redactor.redact_person(b'{"mail": "a@b.org", "tel": "+49 30 1234567"}')
    assert found is not None
    assert json.loads(found) == {"mail": "[email]", "tel": "[phone]"}
    assert redactor.redact_person(None) is None
    assert Redactor({"x": "email"}, {}).redact_person(b'{"mail":"a@b.org"}') == b'{"mail":"a@b.org"}'
    with pytest.raises(RedactionFailed) as failed:
        redactor.redact_person(b'{"mail": "secret@mail.org')
    assert "secret" not in str(failed.value)


@pytest.mark.parametrize("failing", ["unescaped", "plain_characters", "in_base64"])
def test_a_look_behind_a_disguise_that_fails_lets_nothing_through(
    failing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> str:
        raise MemoryError("secret@mail.org")

    monkeypatch.setattr(redaction, failing, fail)
    with pytest.raises(RedactionFailed) as failed:
        Redactor({"x": "email"}, {}).redact(b'{"x": "secret@mail.org"}')
    assert "secret" not in str(failed.value)


HOSTILE = (
    "1 ", "1", "4111 ", "a@", "+1", "sk-", "a.", "a@b.cc ", "\\", "\\u00", "\\u0040", "\u0661 ", "\u200b", "é@b.cc ",
    "QWxsIGlzIHdlbGwg ", "QWxs", "=",
)  # fmt: skip


@pytest.mark.parametrize("piece", HOSTILE)
def test_long_hostile_texts_take_linear_time(piece: str) -> None:
    redactor = Redactor({"x": " ".join(PATTERNS)}, {})
    assert_linear(redactor.redact, lambda n: json.dumps({"x": piece * n}, ensure_ascii=False).encode(), 1_000)


def test_lists_of_many_texts_take_linear_time() -> None:
    redactor = Redactor({"x": "email card"}, {})
    assert_linear(redactor.redact, lambda n: json.dumps({"x": ["a@", "4111 "] * n}).encode(), 500)
    assert_linear(redactor.redact, lambda n: json.dumps({"x": ["a@b", ".cc ", *["4"] * 14] * n}).encode(), 100)


@pytest.mark.parametrize(("text", "expected"), [("4111111111111111", True), ("4111111111111112", False)])
def test_the_check_of_luhn(text: str, expected: bool) -> None:
    assert is_card_number(text) is expected
