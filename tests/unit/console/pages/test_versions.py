"""A change that makes no version, such as one of the conditions, is shown with both values."""

from __future__ import annotations

from console.differences import Line
from console.pages.versions import _changes


def test_only_the_lines_that_changed_are_shown() -> None:
    before, after = ({"id": "production", "rollout_percentage": share} for share in (100, 10))
    [(name, lines, cut)] = _changes({"conditions": [[before], [after]]})
    assert (name, cut) == ("conditions", False)
    assert lines == [Line('    "rollout_percentage": 100', '    "rollout_percentage": 10', "changed")]


def test_a_field_that_was_not_there_has_one_side() -> None:
    assert _changes({"name": [None, "Polite"]}) == [("name", [Line("", '"Polite"', "changed")], False)]
    assert _changes({"run": "as an older release wrote it"})[0][1][0].right == '"as an older release wrote it"'


def test_a_long_change_is_cut() -> None:
    prompts = ({"prompt": "\n".join(f"{word} {number}" for number in range(90))} for word in ("old", "new"))
    [(_, lines, cut)] = _changes({"evaluation_config": list(prompts)})
    assert (len(lines), cut) == (40, True)
