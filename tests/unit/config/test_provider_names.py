"""Providers have one table; definitions, settings, the API, the price table and the pages take their names from it."""

from __future__ import annotations

import re

import pytest

from api.schemas.provider_keys import ProviderKeyCreate
from api.services.drafts import PROVIDER_NAMES
from config.definition_errors import DefinitionError
from config.definitions import parse_draft
from config.documents import DOCS, definition_schema, judges_text
from config.prices import load_prices
from config.settings import SettingsError, load_settings
from evaluators.llm_judge import PROVIDERS
from tests.services.cache import CHECKOUT


def draft_with(provider: str) -> str:
    model = {"provider": provider, "model": "m"}
    raw = {"name": "a", "evaluation_type": "llm_judge", "evaluation_config": {"prompt": "p"}, "output_type": "boolean"}
    found = parse_draft({**raw, "model_configuration": model}).model_configuration
    assert found is not None
    return found.provider


@pytest.mark.parametrize("provider", PROVIDERS)
def test_a_provider_of_the_table_is_accepted_everywhere(provider: str) -> None:
    assert draft_with(provider) == provider
    assert load_settings(environ={"GAVEL_JUDGE__TRIAL_PROVIDER": provider}).judge.trial_provider == provider
    key = {"provider": provider, "name": "n", "api_key": "sk-0123456789"}
    assert ProviderKeyCreate.model_validate(key).provider == provider


def test_whoever_lists_the_providers_lists_those_of_the_table() -> None:
    (setting,) = [line for line in page("configuration.md") if line.startswith("| `judge.trial_provider`")]
    listed = {
        "price table": set(load_prices().prices),
        "API": choices(ProviderKeyCreate.model_json_schema()["properties"]["provider"]),
        "definition files": choices(definition_schema()["$defs"]["ModelConfiguration"]["properties"]["provider"]),
        "console": set(PROVIDER_NAMES),
        "page of settings": set(re.findall(r"`(\w+)`", setting.split("|")[3])),
        "page of judges": set(re.findall(r"^\| `(\w+)` \|", between_marks("judges.md", "providers"), re.MULTILINE)),
    }
    assert {where: names for where, names in listed.items() if names != set(PROVIDERS)} == {}


def test_the_page_of_judges_shows_the_table() -> None:
    present = "\n".join(page("judges.md"))
    assert present == judges_text(present), "run `make docs`"


def page(name: str) -> list[str]:
    return (DOCS / name).read_text(encoding="utf-8").split("\n")


def between_marks(name: str, table: str) -> str:
    text = "\n".join(page(name))
    return text.partition(f"<!-- {table}: begin -->")[2].partition(f"<!-- {table}: end -->")[0]


def choices(schema: object) -> set[str]:
    """Return the values of every `enum` below a JSON Schema."""
    if isinstance(schema, dict):
        return {str(value) for value in schema.get("enum", ())}.union(*map(choices, schema.values()))
    return set().union(*map(choices, schema)) if isinstance(schema, list) else set()


def test_another_name_is_refused_everywhere() -> None:
    with pytest.raises(DefinitionError, match="provider"):
        draft_with("nobody")
    with pytest.raises(SettingsError, match="trial_provider"):
        load_settings(environ={"GAVEL_JUDGE__TRIAL_PROVIDER": "nobody"})


def test_no_other_module_lists_the_names() -> None:
    listed = re.compile(r'"openai",\s*"azure_openai"')
    rooms = ("api", "cli", "config", "console", "evaluators", "ingest", "processor", "reports", "storage")
    found = [
        str(path.relative_to(CHECKOUT))
        for room in rooms
        for path in sorted((CHECKOUT / room).rglob("*.py"))
        if listed.search(path.read_text())
    ]
    assert found == ["evaluators/llm_judge/providers.py"]
