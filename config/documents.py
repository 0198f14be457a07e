"""The documents that are generated from the models: `python -m config.documents` writes them anew.

A test holds them equal to what is generated.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from config.definitions import EvaluationDraft, PromptConfig, SourceConfig
from config.outputs import OUTPUT_CONFIGS
from config.settings.reference import settings_table

DOCS = Path(__file__).resolve().parent.parent / "docs"
BEGIN, END = "<!-- settings: begin -->", "<!-- settings: end -->"
SCHEMA_FILE = "evaluations.schema.json"
CONFIGURATION_FILE = "configuration.md"


def definition_schema() -> dict[str, Any]:
    """Return the JSON Schema of a YAML document: an evaluation, or a list of them."""
    draft = EvaluationDraft.model_json_schema(mode="validation")
    definitions = draft.pop("$defs")
    draft["properties"]["id"] = {
        "type": "string",
        "format": "uuid",
        "description": "Id of the evaluation; follows from team and name if left out.",
    }
    for name in ("conditions", "output_config"):
        draft["properties"][name].pop("default", None)
    conditions = draft["properties"]["conditions"]
    draft["properties"]["conditions"] = {
        "anyOf": [{key: conditions[key] for key in ("type", "items")}, {"type": "null"}],
        "description": conditions["description"],
    }
    # The configuration tells the type, so a file may leave the type out.
    draft["required"] = [name for name in draft["required"] if name != "evaluation_type"]
    draft["allOf"] = [
        _when("evaluation_type", kind, "evaluation_config", model.__name__)
        for kind, model in (("llm_judge", PromptConfig), ("hog", SourceConfig))
    ] + [_when("output_type", kind, "output_config", model.__name__) for kind, model in OUTPUT_CONFIGS.items()]
    definitions["Evaluation"] = draft
    one = {"$ref": "#/$defs/Evaluation"}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Gavel evaluations",
        "description": "What `gavel evaluations apply` reads.",
        "anyOf": [one, {"type": "array", "items": one}],
        "$defs": dict(sorted(definitions.items())),
    }


def _when(field: str, value: str, then: str, model: str) -> dict[str, Any]:
    return {
        "if": {"properties": {field: {"const": value}}, "required": [field]},
        "then": {"properties": {then: {"$ref": f"#/$defs/{model}"}}},
    }


def schema_text() -> str:
    """Return the schema file's text."""
    return json.dumps(definition_schema(), indent=2, ensure_ascii=False) + "\n"


def configuration_text(current: str) -> str:
    """Return the text of the settings' document with its table generated anew."""
    before, _, rest = current.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n\n{settings_table()}\n{END}{after}"


def main() -> None:
    """Write the documents."""
    (DOCS / SCHEMA_FILE).write_text(schema_text(), encoding="utf-8")
    configuration = DOCS / CONFIGURATION_FILE
    configuration.write_text(configuration_text(configuration.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
