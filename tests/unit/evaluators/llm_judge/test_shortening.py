"""The omitted parts of a transcript are known by place, and the judge's text is exactly the rest with marks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from evaluators.llm_judge.shortening import Gap, cut_of, shortened
from evaluators.llm_judge.transcript import Transcript


def of_sizes(messages: list[int], output: int, tools: list[int]) -> Transcript:
    texts = [chr(0x4E00 + place) * size for place, size in enumerate(messages)]
    return Transcript(tuple(texts), "o" * output, tuple("t" * size for size in tools))


def mark(gap: Gap) -> str:
    return f"\n[... {gap.chars} characters left out ...]\n"


def test_the_oldest_messages_go_first_then_the_middle_of_the_next_one() -> None:
    cut = cut_of(of_sizes([500, 4_000, 2_000], 1_000, [10, 10]), 5_000)
    assert cut is not None
    assert (cut.messages, cut.output, cut.tools) == (1, None, 2)
    assert cut.message == Gap(990, 4_000 - 990), "the output, the tools and the newest message leave 1,980"


def test_a_message_of_which_little_would_fit_is_left_out_whole() -> None:
    cut = cut_of(of_sizes([4_000, 2_000], 1_000, []), 3_100)
    assert cut is not None
    assert (cut.messages, cut.message) == (1, None)


def test_an_output_over_the_limit_loses_its_middle_and_leaves_room_for_nothing_else() -> None:
    cut = cut_of(of_sizes([50, 50], 4_000, [10]), 1_000)
    assert cut is not None
    assert (cut.messages, cut.message, cut.output, cut.tools) == (2, None, Gap(500, 3_500), 0)


SIZES = st.integers(0, 3_000)


@given(st.lists(SIZES, max_size=5), SIZES, st.lists(st.integers(0, 300), max_size=4), st.integers(1, 6_000))
def test_the_judges_text_is_the_rest_with_marks(messages: list[int], output: int, tools: list[int], limit: int) -> None:
    judged = of_sizes(messages, output, tools)
    cut = cut_of(judged, limit)
    total = sum(messages) + output + sum(tools)
    assert (cut is None) == (total <= limit)
    if cut is None:
        return
    read = shortened(judged, cut)
    kept = list(judged.messages[cut.messages :])
    if cut.message is not None:
        kept[0] = kept[0][: cut.message.start] + mark(cut.message) + kept[0][cut.message.end :]
    older = sum(messages[: cut.messages])
    begin = [f"[... {cut.messages} earlier messages with {older} characters left out ...]"] if cut.messages else []
    assert list(read.messages) == begin + kept
    said = judged.output
    assert read.output == (
        said if cut.output is None else said[: cut.output.start] + mark(cut.output) + said[cut.output.end :]
    )
    assert read.tools[: cut.tools] == judged.tools[: cut.tools]
    assert len(read.tools) == min(cut.tools + 1, len(tools))
