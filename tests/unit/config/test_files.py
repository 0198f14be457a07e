"""Definition files are read as documented, and every problem has its file and line."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
import yaml

from config.definitions import Evaluation, parse_draft, to_raw
from config.files import FileEvaluation, FileProblem, file_name, read_definitions, read_file, write_definition

GOOD = "name: A\nevaluation_config: {prompt: ok}\n"


def read(tmp_path: Path, text: str | bytes) -> tuple[list[FileEvaluation], list[FileProblem]]:
    path = tmp_path / "x.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_definitions([path])


def test_documents_and_lists_of_one_file_are_all_read_in_order(tmp_path: Path) -> None:
    text = (
        f"{GOOD}---\n- {{name: B, evaluation_config: {{prompt: b}}}}\n- name: C\n  evaluation_config: {{prompt: c}}\n"
    )
    good, problems = read(tmp_path, text)
    assert problems == []
    assert [(each.draft.name, each.line) for each in good] == [("A", 1), ("B", 4), ("C", 5)]


def test_the_configuration_tells_the_type(tmp_path: Path) -> None:
    (only,), _ = read(tmp_path, GOOD)
    assert only.draft.evaluation_type == "llm_judge"


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 0, "holds no evaluation"),
        ("# only a comment\n", 0, "holds no evaluation"),
        ("---\n---\n", 0, "holds no evaluation"),
        ("name: A\n", 1, "evaluation_type"),
        ("just text", 1, "is not an evaluation"),
        ("- 1\n", 1, "is not an evaluation"),
        (f"{GOOD}enbled: true\n", 3, "enbled"),
        (f"{GOOD}enabled: yes\n", 3, "enabled"),
        (f"{GOOD}name: B\n", 3, "'name' is there twice"),
        (f"{GOOD}? [a]\n: b\n", 3, "a key must be a text"),
        (f"{GOOD}id: 5\n", 3, "must be a UUID"),
        (f"{GOOD}team_id: 5\n", 3, "team_id"),
        (f"{GOOD}conditions:\n- id: a\n- id: b\n  properties:\n  - key: k\n    operator: zz\n", 8, "zz"),
        (f"{GOOD}output_type: numeric\noutput_config:\n  min: 1\n  max: one\n", 6, "max"),
        ("name: [\n", 2, "is not YAML"),
        ("a: b: c\n", 1, "is not YAML"),
        ("\tname: A\n", 1, "is not YAML"),
        ("name: !!python/object/apply:os.system [echo]\n", 1, "is not YAML"),
        ("name: *nobody\n", 1, "is not YAML"),
        (f'{GOOD}description: "\\x00"\n', 3, "NUL"),
        (f"{GOOD}budget: {{usd: {'9' * 5000}, period: day}}\n", 1, "cannot be read"),
    ],
)
def test_a_problem_has_its_line(tmp_path: Path, text: str, line: int, words: str) -> None:
    _, problems = read(tmp_path, text)
    assert [(problem.line, words in problem.message) for problem in problems] == [(line, True)], problems
    assert str(problems[0]).startswith(f"{tmp_path}/x.yaml:")


def test_a_problem_in_hog_has_the_line_of_the_file(tmp_path: Path) -> None:
    text = "name: A\nevaluation_config:\n  source: |\n    let a := 1\n    return (\n"
    _, (problem,) = read(tmp_path, text)
    assert (problem.line, problem.column) == (5, 0), "the end of the code has no column"
    assert "line" in problem.message


@pytest.mark.parametrize(
    ("source", "place"),
    [
        ("|\n    let a := 1\n    return nope(a)\n", (5, 12)),
        ("|\n\n    let a := 1\n\n      return nope(a)\n  # a comment\n", (7, 14)),
        ("|-\n         return nope(1)", (4, 17)),
        ("|2\n      return nope(1)\n", (4, 14)),
        ("|\r\n    let a := 'ü'\r\n    return nope(a)\r\n", (5, 12)),
        ("return nope(1)\n", (3, 18)),
        ("'return nope(1)'\n", (3, 19)),
        ('"return nope(1)"\n', (3, 19)),
        ('"return\\tnope(1)"\n', (3, 0)),
        ("return\n    nope(1)\n", (3, 0)),
        (">\n    return\n    nope(1)\n", (3, 0)),
        ("&code |\n    return nope(1)\n", (4, 12)),
    ],
)
def test_a_problem_in_hog_has_its_column_in_the_file_where_the_file_has_the_code_as_it_is(
    tmp_path: Path, source: str, place: tuple[int, int]
) -> None:
    text = f"name: A\nevaluation_config:\n  source: {source}"
    _, (problem,) = read(tmp_path, text + ("" if text.endswith("\n") else "\n"))
    assert "Unknown function nope" in problem.message
    assert (problem.line, problem.column) == place
    assert str(problem).startswith(f"{tmp_path}/x.yaml:{place[0]}:{f'{place[1]}:' if place[1] else ''} ")


def test_a_broken_document_does_not_hide_the_problems_before_it(tmp_path: Path) -> None:
    good, problems = read(tmp_path, f"{GOOD}---\nname: B\nx: 1\n---\n[")
    assert [each.draft.name for each in good] == ["A"]
    assert len(problems) == 2


def test_scalars_are_those_of_yaml_1_2(tmp_path: Path) -> None:
    """In YAML 1.1, Norway, octal numbers, base-60 times and dates would change the meaning of a filter."""
    values = "[no, on, 010, 1:30, 2024-01-01, 1e3, 5, true, ~, 0x1F, '5']"
    (only,), problems = read(tmp_path, f"{GOOD}conditions:\n- id: no\n  properties:\n  - {{key: k, value: {values}}}\n")
    assert problems == []
    raw = to_raw(only.draft)["conditions"][0]
    assert raw["id"] == "no"
    assert raw["properties"][0]["value"] == ["no", "on", 10, "1:30", "2024-01-01", 1000.0, 5, True, None, "0x1F", "5"]


@pytest.mark.parametrize("content", [b"\xff\xfea\x00", b"name: \xff", b"\x00\x01\x02", b"name: \x07"])
def test_what_is_not_text_is_refused(tmp_path: Path, content: bytes) -> None:
    good, problems = read(tmp_path, content)
    assert good == []
    assert len(problems) == 1


def test_a_byte_order_mark_and_windows_line_ends_are_fine(tmp_path: Path) -> None:
    (only,), problems = read(tmp_path, b"\xef\xbb\xbf" + GOOD.replace("\n", "\r\n").encode())
    assert (only.draft.name, problems) == ("A", [])


def test_a_huge_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    _, (problem,) = read(tmp_path, b"#" * (4 * 1024 * 1024 + 1))
    assert "larger than" in problem.message


@pytest.mark.parametrize(
    "text",
    [
        "a: &a [x, x, x, x, x, x, x, x, x, x]\n"
        + "".join(f"b{n}: &b{n} [{', '.join([f'*b{n - 1}' if n else '*a'] * 10)}]\n" for n in range(9)),
        "name: &a [*a]\n",
        "[" * 20_000,
        "a: " + "{b: " * 5_000,
    ],
    ids=["billion laughs", "a list in itself", "deep lists", "deep mappings"],
)
def test_a_file_made_to_exhaust_the_reader_is_refused(tmp_path: Path, text: str) -> None:
    """A reader that expanded it would not end before the timeout of the test."""
    good, problems = read(tmp_path, text)
    assert good == []
    assert problems


def test_folders_are_read_below_and_sorted_without_test_cases_and_other_files(tmp_path: Path) -> None:
    for name in ("b/z.yml", "a.yaml", "a.cases.yaml", "note.md", "b/x.cases.yml"):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(GOOD.replace("A", name) if "cases" not in name else "[not, a, definition]")
    good, problems = read_definitions([tmp_path])
    assert problems == []
    assert [each.draft.name for each in good] == ["a.yaml", "b/z.yml"]
    _, problems = read_definitions([tmp_path / "a.cases.yaml"])
    assert len(problems) == 3


def test_paths_that_are_not_there_or_hold_nothing_are_problems(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    _, problems = read_definitions([tmp_path / "none.yaml", tmp_path / "empty"])
    assert {problem.message.split(" (")[0].split(";")[0] for problem in problems} == {
        "cannot be read",
        "holds no *.yaml file",
    }


def test_two_of_one_name_or_id_are_refused_and_both_places_named(tmp_path: Path) -> None:
    identity = "018f4b1e-7c3a-7000-8000-000000000001"
    _, (problem,) = read(tmp_path, f"{GOOD}---\n{GOOD}")
    assert problem.line == 4
    assert "x.yaml:1" in problem.message
    _, (problem,) = read(tmp_path, f"id: {identity}\n{GOOD}---\nid: {identity.upper()}\n{GOOD}")
    assert identity in problem.message
    good, problems = read(tmp_path, f"id: {identity}\n{GOOD}---\n{GOOD}")
    assert (len(good), problems) == (2, [])


def test_ids_follow_from_team_and_name_alone(tmp_path: Path) -> None:
    (first,), _ = read(tmp_path, GOOD)
    (second,), _ = read(tmp_path, f"# moved\n{GOOD}enabled: true\n")
    assert first.id_for(1) == second.id_for(1) == "d0b99dda-dc82-557c-abf1-0eb1f17032a4"
    assert first.id_for(2) != first.id_for(1)


def _evaluation(**fields: object) -> Evaluation:
    draft = parse_draft({"name": "A", "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "ok"}, **fields})
    now = datetime(2026, 1, 1, tzinfo=UTC)
    return Evaluation(
        **{name: getattr(draft, name) for name in type(draft).model_fields},
        id="018f4b1e-7c3a-7000-8000-000000000001",
        team_id=1,
        version=1,
        revision=1,
        fingerprint="f",
        status="active" if draft.enabled else "paused",
        created_at=now,
        updated_at=now,
    )


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"name": "no"},
        {"name": "123"},
        {"name": "- :{}[]#&*!|>'\"%@` ~"},
        {"evaluation_config": {"prompt": "line\n\n  indented\n\ttab\u2028end: x"}},
        {"evaluation_config": {"prompt": "---\n...\n# no comment\n"}},
        {"enabled": True, "conditions": [], "description": "Ünï 🎉"},
        {
            "conditions": [
                {"id": "010", "rollout_percentage": 0.01, "properties": [{"key": "k", "value": "2024-01-01"}]}
            ]
        },
        {"output_type": "numeric", "output_config": {"min": 0, "passing_rule": {"operator": "lte", "threshold": 1e-9}}},
        {"budget": {"usd": 0.1, "period": "day"}, "sampling_cohort": "independent"},
    ],
)
def test_what_is_written_reads_back_to_the_same(tmp_path: Path, fields: dict[str, object]) -> None:
    evaluation = _evaluation(**fields)
    text = write_definition(evaluation)
    (only,), problems = read(tmp_path, text)
    assert problems == []
    assert only.draft == evaluation.draft()
    assert only.id == evaluation.id
    assert yaml.safe_load(text)["id"] == evaluation.id


def test_file_names_hold_nothing_that_leaves_the_folder() -> None:
    assert file_name(_evaluation(name="../../etc/passwd")) == "etc-passwd-018f4b1e.yaml"
    assert file_name(_evaluation(name="🎉")) == "evaluation-018f4b1e.yaml"


def test_a_file_that_vanishes_is_a_problem(tmp_path: Path) -> None:
    (item,) = read_file(tmp_path / "gone.yaml")
    assert isinstance(item, FileProblem)
