"""Generated documents equal what the models give; editors get a schema that means what the models mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from config.documents import CONFIGURATION_FILE, DOCS, SCHEMA_FILE, configuration_text, definition_schema, schema_text
from config.files import read_definitions
from config.settings.loading import setting_names, variable_name


def test_the_table_of_settings_is_that_of_the_models() -> None:
    current = (DOCS / CONFIGURATION_FILE).read_text(encoding="utf-8")
    assert current == configuration_text(current), "run `make docs`"


def test_every_setting_is_documented_with_its_variable_and_a_meaning() -> None:
    rows = [line for line in (DOCS / CONFIGURATION_FILE).read_text(encoding="utf-8").splitlines() if "`GAVEL_" in line]
    for name in setting_names():
        (row,) = [line for line in rows if line.startswith(f"| `{name}` |")]
        assert f"`{variable_name(name)}`" in row
        assert len(row.rsplit("|", 2)[1].strip()) > 10, name


def test_the_schema_file_is_that_of_the_models() -> None:
    assert (DOCS / SCHEMA_FILE).read_text(encoding="utf-8") == schema_text(), "run `make docs`"


def _errors(document: Any) -> list[str]:
    validator = jsonschema.Draft202012Validator(definition_schema())
    return [error.message for error in validator.iter_errors(document)]


GOOD: dict[str, Any] = {"name": "A", "evaluation_config": {"prompt": "p"}}


@pytest.mark.parametrize(
    "document",
    [
        GOOD,
        [GOOD, GOOD],
        {**GOOD, "id": "018f4b1e-7c3a-7000-8000-000000000001", "conditions": None},
        {**GOOD, "evaluation_type": "hog", "evaluation_config": {"source": "return true"}},
        {**GOOD, "output_type": "numeric", "output_config": {"min": 0, "max": 1}},
        {**GOOD, "conditions": [{"id": "a", "rollout_percentage": 5, "properties": [{"key": "k", "value": "v"}]}]},
        {**GOOD, "budget": {"usd": 1, "period": "day"}},
    ],
)
def test_the_schema_takes_what_is_an_evaluation(document: Any) -> None:
    assert _errors(document) == []


@pytest.mark.parametrize(
    "document",
    [
        {"name": "A"},
        {**GOOD, "enbled": True},
        {**GOOD, "evaluation_type": "hog"},
        {**GOOD, "output_type": "numeric", "output_config": {"true_is_failure": True}},
        {**GOOD, "output_type": "categorical", "output_config": {}},
        {**GOOD, "conditions": [{"id": "a", "properties": [{"key": "k", "operator": "zz", "value": 1}]}]},
        {**GOOD, "model_configuration": {"provider": "skynet", "model": "m"}},
        "text",
    ],
)
def test_the_schema_refuses_what_is_none(document: Any) -> None:
    assert _errors(document)


def test_the_schema_is_one_itself() -> None:
    jsonschema.Draft202012Validator.check_schema(json.loads(schema_text()))


def test_the_example_in_the_documentation_is_what_it_says(tmp_path: Path) -> None:
    text = (DOCS / "evaluations.md").read_text(encoding="utf-8")
    example = text.partition("```yaml\n")[2].partition("```")[0]
    (tmp_path / "example.yaml").write_text(example)
    good, problems = read_definitions([tmp_path])
    assert problems == []
    assert [each.draft.evaluation_type for each in good] == ["llm_judge", "hog"]
    for document in yaml.safe_load_all(example):
        assert _errors(document) == []
