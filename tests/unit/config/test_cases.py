"""Files of test cases are read, and each mistake in them is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.cases import BadCases, Case, cases_beside, read_cases


def written(folder: Path, text: str) -> Path:
    path = folder / "a.cases.yaml"
    path.write_text(text)
    return path


def test_long_texts_are_put_together(tmp_path: Path) -> None:
    text = "- name: long\n  expect: fail\n  properties: {a: [{join: [{repeat: ab, times: 2}, c]}], b: {c: 1}}\n"
    assert read_cases(written(tmp_path, text)) == [Case("long", {"a": ["ababc"], "b": {"c": 1}}, "fail")]


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: [", "is not YAML"),
        ("a: 1", "is not a list"),
        ("- 5", "case 1: is not a mapping"),
        ("- {expect: pass, properties: {}}", "case 1: has no name"),
        ("- {name: n, expect: maybe, properties: {}}", r"case 1 \(n\): expect is not one of"),
        ("- {name: n, expect: pass}", "properties is not a mapping"),
        ("- {name: n, expect: pass, properties: {a: {repeat: x, times: 99999999}}}", "at most"),
        ("- {name: n, expect: pass, properties: {a: {join: [1]}}}", "join takes a list of texts"),
    ],
)
def test_a_mistake_is_told_with_its_place(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(BadCases, match=f"a.cases.yaml: .*{problem}|a.cases.yaml: {problem}"):
        read_cases(written(tmp_path, text))


def test_the_cases_are_beside_the_definition() -> None:
    assert cases_beside(Path("d/no_refusal.yaml")) == Path("d/no_refusal.cases.yaml")
