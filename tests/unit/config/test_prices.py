"""Prices are data with a date; a model without one costs an unknown amount, not nothing."""

from __future__ import annotations

from pathlib import Path

import pytest

from config.prices import PriceTable, PriceTableError, load_prices
from evaluators.llm_judge.providers import PROVIDERS

TABLE = PriceTable.model_validate(
    {
        "as_of": "2026-01-01",
        "prices": {
            "p": {
                "m": {"input": 1, "output": 2},
                "m-*": {"input": 3, "output": 4},
                "m-mini*": {"input": 5, "output": 6},
            }
        },
    }
)


@pytest.mark.parametrize(
    ("model", "cost"), [("m", 3.0), ("m-2026", 7.0), ("m-mini-2026", 11.0), ("n", None), ("M", None)]
)
def test_the_exact_name_wins_then_the_longest_beginning(model: str, cost: float | None) -> None:
    assert TABLE.cost("p", model, 1_000_000, 1_000_000) == cost
    assert TABLE.cost("q", model, 1, 1) is None


def test_the_bundled_table_has_a_date_all_providers_and_a_price_for_every_default_model() -> None:
    table = load_prices()
    assert table.as_of.year >= 2025
    assert set(table.prices) == set(PROVIDERS)
    for name, provider in PROVIDERS.items():
        if provider.default_model is not None:
            assert table.find(name, provider.default_model) is not None, name


@pytest.mark.parametrize(
    "text",
    [
        "",
        "prices: 3",
        "as_of: x\nprices: {}",
        "as_of: 2026-01-01\nprices: {p: {m: {input: -1, output: 0}}}",
        ": :",
        "as_of: 2026-01-01\nprices: {p: {m: {input: .nan, output: 0}}}",
    ],
)
def test_a_file_that_is_no_table_is_refused_with_its_name(text: str, tmp_path: Path) -> None:
    file = tmp_path / "prices.yaml"
    file.write_text(text)
    with pytest.raises(PriceTableError, match=r"prices\.yaml"):
        load_prices(file)
    with pytest.raises(PriceTableError, match="cannot be read"):
        load_prices(tmp_path / "absent.yaml")
