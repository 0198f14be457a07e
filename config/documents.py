"""The texts of the documents that are generated from the models. `make docs` writes them, and a test compares them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from config.definitions import EvaluationDraft, PromptConfig, SourceConfig
from config.outputs import OUTPUT_CONFIGS
from config.settings.reference import settings_table
from evaluators.llm_judge.providers import PROVIDERS

DOCS = Path(__file__).resolve().parent.parent / "docs"
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
        "description": "The files that `gavel evaluations apply` reads.",
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


def configuration_text(present: str) -> str:
    """Return the text of the page of settings with a new table."""
    return _with_table(present, "settings", settings_table())


def judges_text(present: str) -> str:
    """Return the text of the page of judges with a new table of providers."""
    rows = ["| provider | needs | default model |", "|---|---|---|"]
    for name, provider in PROVIDERS.items():
        default = f"`{provider.default_model}`" if provider.default_model else "–"
        rows.append(f"| `{name}` | {provider.needs} | {default} |")
    return _with_table(present, "providers", "\n".join(rows) + "\n")


def _with_table(present: str, name: str, table: str) -> str:
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, _, rest = present.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}\n\n{table}\n{end}{after}"
