"""The way back from a place in the judge's text to the message, the part and the character."""

from __future__ import annotations

import base64
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evaluators.llm_judge.transcript import MessagePlace, places_in_message, places_in_output, transcript_of
from evaluators.messages import ChatMessage, ChatPart

DATA = base64.b64encode(random.Random(3).randbytes(600)).decode()
WORDS = st.text(st.sampled_from("ab é\n\r\x0b\u2028\ud800\U0001f600"), max_size=30)
PARTS = st.builds(
    lambda kind, text, name, identity: ChatPart(kind, "" if kind == "call" else text, name, identity, text),
    st.sampled_from(["text", "thinking", "refusal", "call", "media", "sources"]),
    WORDS,
    st.sampled_from(["", "find"]),
    st.sampled_from(["", "c1"]),
)
MESSAGES = st.builds(ChatMessage, st.sampled_from(["", "user", "tool[c1]"]), st.lists(PARTS, max_size=4).map(tuple))


def place_in_message(message: ChatMessage, at: int) -> tuple[int, int]:
    [found] = places_in_message(message, [at])
    return found


def place_in_output(answer: list[ChatMessage], at: int) -> MessagePlace:
    [found] = places_in_output(answer, [at])
    return found


def words(message: ChatMessage, part: int) -> str:
    return message.parts[part].framed()[1]


@given(st.lists(MESSAGES, max_size=3), st.data())
def test_a_place_of_the_text_is_followed_by_the_same_characters_in_the_message(
    messages: list[ChatMessage], data: st.DataObject
) -> None:
    transcript = transcript_of(messages, [], [])
    for message, text in zip(messages, transcript.messages, strict=True):
        at = data.draw(st.integers(0, len(text)))
        part, char = place_in_message(message, at)
        if part == len(message.parts):
            continue
        follows = text[at : at + 1]
        assert 0 <= char <= len(words(message, part))
        said = words(message, part)[char : char + 1]
        in_frame = char in (0, len(words(message, part)))
        is_break = said.isspace() or follows.isspace()  # the judge has other breaks, with indentations
        assert said == follows or in_frame or is_break or (said, follows) == ("\ud800", "?")


@given(MESSAGES)
def test_places_never_go_back(message: ChatMessage) -> None:
    [text] = transcript_of([message], [], []).messages
    places = [place_in_message(message, at) for at in range(len(text) + 1)]
    assert places == sorted(places)


def test_encoded_data_before_a_place_moves_nothing() -> None:
    message = ChatMessage("user", (ChatPart("text", f"see {DATA} and\nthe words"), ChatPart("text", "then more")))
    [text] = transcript_of([message], [], []).messages
    assert text == "user: see [data] and\n  the words then more"
    for word, part in (("see", 0), ("words", 0), ("more", 1)):
        at = place_in_message(message, text.index(word))
        assert at == (part, message.parts[part].text.index(word))
    assert place_in_message(message, text.index("data")) == (0, 4), "within a mark, where its data begins"


def test_places_of_an_output_of_several_messages_name_the_message() -> None:
    answer = [ChatMessage("assistant", (ChatPart("text", f"reply {n}\nof three"),)) for n in range(3)]
    output = transcript_of([], answer, []).output
    for n in range(3):
        assert place_in_output(answer, output.index(f"reply {n}")) == (n, 0, 0)
        assert place_in_output(answer, output.index(f"{n}\n") + 4) == (n, 0, 8), "behind the indentation"


@pytest.mark.parametrize("text", ["one\ntwo", "\ud800 one"])
def test_places_of_a_single_output_are_not_indented(text: str) -> None:
    answer = [ChatMessage("", (ChatPart("text", text),))]
    output = transcript_of([], answer, []).output
    assert [place_in_output(answer, at) for at in range(len(output) + 1)] == [(0, 0, at) for at in range(len(text) + 1)]
