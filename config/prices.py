"""The price table: what a call costs, as data with a date."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date
from importlib.resources import files
from pathlib import Path
from typing import Annotated

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError

_PER = 1_000_000


class PriceTableError(ValueError):
    """A file that is not a price table. The text says where it is wrong, and why."""


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class ModelPrice(_Part):
    """US dollars per million tokens."""

    input: Annotated[float, Field(ge=0, allow_inf_nan=False)]
    output: Annotated[float, Field(ge=0, allow_inf_nan=False)]


class PriceTable(_Part):
    """Prices per provider and model. A model name that ends in `*` matches by its beginning.

    Attributes:
        as_of: the day on which the prices held.
    """

    as_of: date
    prices: Mapping[str, Mapping[str, ModelPrice]]

    def find(self, provider: str, model: str) -> ModelPrice | None:
        """Return the price of a model: by its exact name, else by the longest beginning, else None."""
        models = self.prices.get(provider, {})
        exact = models.get(model)
        if exact is not None:
            return exact
        fits = [name for name in models if name.endswith("*") and model.startswith(name[:-1])]
        return models[max(fits, key=len)] if fits else None

    def cost(self, provider: str, model: str, input_tokens: int, output_tokens: int) -> float | None:
        """Return the US dollars of a call; None if the model has no price."""
        price = self.find(provider, model)
        if price is None:
            return None
        return (input_tokens * price.input + output_tokens * price.output) / _PER


def load_prices(path: str | Path | None = None) -> PriceTable:
    """Return the table in the file at `path`; without one the bundled table.

    Raises:
        PriceTableError: the file cannot be read, or is not a price table.
    """
    source = files("config").joinpath("prices.yaml") if path is None else Path(path)
    try:
        return PriceTable.model_validate(yaml.safe_load(source.read_text(encoding="utf-8")))
    except OSError as error:
        raise PriceTableError(
            f"the price table {path} cannot be read ({error.strerror}); correct judge.prices_path"
        ) from error
    except (yaml.YAMLError, ValidationError) as error:
        raise PriceTableError(f"{path or 'the bundled price table'} is not a price table: {error}") from error
