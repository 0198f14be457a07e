"""The output types of an evaluation, with the options of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, StrictBool, StringConstraints, field_validator, model_validator

Number = Annotated[float, Field(allow_inf_nan=False, strict=True)]
_Key = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
MAX_OPTIONS = 100


class _Output(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    allows_na: StrictBool = False
    """Whether a generation may be judged not applicable."""


class BooleanOutput(_Output):
    """Pass or fail."""

    true_is_failure: StrictBool = False
    """Whether `true` means that something bad was found. Applied when results are read."""


class PassingScore(BaseModel):
    """Which scores pass."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    operator: Literal["gte", "lte"]
    """`gte`: the threshold or more passes; `lte`: the threshold or less."""
    threshold: Number
    """The score that just passes."""


class NumericOutput(_Output):
    """A score."""

    min: Number | None = None
    """Least score; a lower one is skipped as out of bounds."""
    max: Number | None = None
    """Highest score."""
    step: Annotated[float, Field(gt=0, allow_inf_nan=False, strict=True)] | None = None
    """Distance between two scores."""
    passing_rule: PassingScore | None = None
    """Which scores pass; without it a score is neither a pass nor a fail."""

    @model_validator(mode="after")
    def _within_bounds(self) -> Self:
        low, high = self.min, self.max
        if low is not None and high is not None and low >= high:
            raise ValueError(f"min ({low:g}) must be below max ({high:g}).")
        if self.step is not None and low is not None and high is not None and self.step > high - low:
            raise ValueError(f"step ({self.step:g}) is larger than the range from {low:g} to {high:g}.")
        rule = self.passing_rule
        if rule is not None and (
            (low is not None and rule.threshold < low) or (high is not None and rule.threshold > high)
        ):
            raise ValueError(f"passing_rule: the threshold {rule.threshold:g} is outside min and max.")
        return self


class Option(BaseModel):
    """One category."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    key: _Key
    """The key that results hold."""
    label: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=400)]
    """The text that people and the judge read."""


class PassingCategories(BaseModel):
    """Which categories pass."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)

    categories: Annotated[tuple[_Key, ...], Field(min_length=1, max_length=MAX_OPTIONS)]
    """Keys of options; a result passes if all its categories are among them."""


class CategoricalOutput(_Output):
    """One or more of named categories."""

    options: Annotated[tuple[Option, ...], Field(min_length=1, max_length=MAX_OPTIONS)]
    """The categories."""
    selection_mode: Literal["single", "multiple"] = "single"
    """How many of them a verdict names."""
    passing_rule: PassingCategories | None = None
    """Which categories pass; without it a result is neither a pass nor a fail."""

    @field_validator("options")
    @classmethod
    def _distinct(cls, options: tuple[Option, ...]) -> tuple[Option, ...]:
        seen: set[str] = set()
        for option in options:
            if option.key in seen:
                raise ValueError(f"The key {option.key!r} is there twice; give each option a key of its own.")
            seen.add(option.key)
        return options

    @model_validator(mode="after")
    def _rule_of_options(self) -> Self:
        if self.passing_rule is not None:
            unknown = sorted(set(self.passing_rule.categories) - {option.key for option in self.options})
            if unknown:
                raise ValueError(f"passing_rule: {unknown[0]!r} is not the key of an option.")
        return self


OutputConfig = BooleanOutput | NumericOutput | CategoricalOutput
OUTPUT_CONFIGS: Mapping[str, type[BooleanOutput | NumericOutput | CategoricalOutput]] = {
    "boolean": BooleanOutput,
    "numeric": NumericOutput,
    "categorical": CategoricalOutput,
}


def question_of(output_type: str, output: OutputConfig) -> tuple[object, ...]:
    """Return what makes the answers of people comparable: the kind of answer, its options and its bounds.

    Two definitions with equal values ask people the same question, whatever their prompts and passing rules say.
    """
    if isinstance(output, NumericOutput):
        return output_type, output.min, output.max, output.step
    if isinstance(output, CategoricalOutput):
        return output_type, output.selection_mode, *(option.key for option in output.options)
    return (output_type,)
