"""How several models judge together: the strategy of an LLM judge, as a person defines it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Self
from uuid import UUID

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    StrictBool,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from evaluators.hog import EVALUATOR_GLOBALS, HogCompileError, compile_program
from evaluators.llm_judge.outcome import StrategyKind
from evaluators.llm_judge.providers import ProviderName

MAX_STEPS = 6
"""Five members of a jury and the model that decides when they are split."""
MAX_MEMBERS = 5
MAX_VOTES = 5
MIN_SAMPLES = 3
"""Answers of one model from which its share of votes says anything about how sure it is."""
MAX_HOG_CHARS = 50_000


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, hide_input_in_errors=True)


class ModelStep(_Part):
    """A step that asks a model."""

    provider: ProviderName
    """Whose API is called."""
    model: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=100)]
    """Model name as the provider knows it."""
    provider_key_id: UUID | None = None
    """Id of the team's provider key to use; without one its active key."""
    votes: Annotated[int, Field(ge=1, le=MAX_VOTES, strict=True)] = 1
    """How often the model is asked; each answer is a vote."""


class HogStep(_Part):
    """A first step that runs Hog code: true and false decide, null passes on."""

    hog: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1, max_length=MAX_HOG_CHARS)]
    """Hog source that returns true (pass), false (fail) or null (the next step decides)."""

    @field_validator("hog")
    @classmethod
    def _compiles(cls, source: str) -> str:
        try:
            compile_program(source, known_globals=EVALUATOR_GLOBALS)
        except HogCompileError as error:
            raise PydanticCustomError("hog_compile", "{text}", {"text": str(error)}) from None
        return source


def _kind_of_step(value: object) -> str:
    hog = "hog" in value if isinstance(value, Mapping) else isinstance(value, HogStep)
    return "Hog" if hog else "Model"


Step = Annotated[
    Annotated[ModelStep, Tag("Model")] | Annotated[HogStep, Tag("Hog")],
    Discriminator(_kind_of_step),
]


class Strategy(_Part):
    """How the models of an evaluation reach one verdict."""

    kind: StrategyKind
    """`single`: one model. `jury`: all at once, by majority. `cascade`: one after another until one is sure."""
    steps: Annotated[tuple[Step, ...], Field(min_length=1, max_length=MAX_STEPS)]
    """The models in their order; a cascade may begin with `{hog}`."""
    escalate_below: Annotated[float, Field(gt=0, le=1, strict=True, allow_inf_nan=False)] = 0.9
    """Confidence below which a cascade asks its next step."""
    escalate_on_split: StrictBool = False
    """A cascade asks its next step when the votes of a step differ. In a jury the last step is not a member: it is
    asked when the members have no majority."""

    @model_validator(mode="after")
    def _steps_of_kind(self) -> Self:
        hogs = [at for at, step in enumerate(self.steps) if isinstance(step, HogStep)]
        if hogs and (self.kind != "cascade" or hogs != [0] or len(self.steps) == 1):
            raise ValueError("A step of Hog code may only be the first step of a cascade, with a model behind it.")
        if self.kind == "single" and len(self.steps) != 1:
            raise ValueError(f"single has {len(self.steps)} steps; give one, or choose jury or cascade.")
        if self.kind == "cascade":
            self._check_cascade()
        if self.kind == "jury":
            self._check_jury()
        return self

    def _check_cascade(self) -> None:
        if len(self.steps) < 2:
            raise ValueError("A cascade has at least two steps.")
        if any(1 < step.votes < MIN_SAMPLES for step in self.model_steps):
            raise ValueError(f"votes of a cascade's step: 1, or {MIN_SAMPLES} to {MAX_VOTES} samples.")

    def _check_jury(self) -> None:
        deciders = 1 if self.escalate_on_split else 0
        members = len(self.steps) - deciders
        if not 2 <= members <= MAX_MEMBERS:
            extra = " beside the last step, which decides when they are split" if deciders else ""
            raise ValueError(f"A jury has 2 to {MAX_MEMBERS} members{extra}; this one has {members}.")

    @property
    def model_steps(self) -> tuple[ModelStep, ...]:
        """The steps that ask a model."""
        return tuple(step for step in self.steps if isinstance(step, ModelStep))
