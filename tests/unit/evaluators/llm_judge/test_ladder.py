"""The form in which a model is asked: the evidence that changes it, and the evidence that must not."""

from __future__ import annotations

from evaluators.llm_judge.ladder import IGNORED_LIMIT, Ladder


def test_a_server_that_ignores_the_format_is_asked_in_the_next_form() -> None:
    ladder = Ladder(lambda: 0.0)
    for _ in range(IGNORED_LIMIT):
        assert ladder.rung("a", "m") == "json_schema"
        ladder.ignored("a", "m", 0)
    assert ladder.rung("a", "m") == "tool_call"


def test_texts_that_make_a_model_ignore_the_format_change_it_for_no_other_text() -> None:
    """The form has given well-formed answers, so that a stranger's texts are at fault, however many there are."""
    ladder = Ladder(lambda: 0.0)
    ladder.answered("a", "m", 0)
    for _ in range(10 * IGNORED_LIMIT):
        ladder.ignored("a", "m", 0)
    assert ladder.rung("a", "m") == "json_schema"
