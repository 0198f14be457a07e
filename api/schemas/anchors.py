"""Bodies of `evaluations/{id}/trust/anchors/`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal
from uuid import UUID

from pydantic import Field

from api.schemas.parts import RequestBody, ResponseBody, User
from quality.anchors import FEWEST, MOST
from storage.sql.anchors import BaselineState

AnchorAnswer = Literal["collecting", "steady", "suspect", "judge_moved", "product_moved", "undecided"]


class AnchorsPut(RequestBody):
    """The anchors of an evaluation."""

    golden_set: UUID = Field()
    """The golden set that the anchors come from."""
    golden_set_version: Annotated[int, Field(ge=1, le=2**31 - 1)] = Field()
    """Its frozen version."""
    size: Annotated[int, Field(ge=FEWEST, le=MOST)] = 30
    """How many of its items are judged."""
    every_hours: Annotated[float, Field(ge=1, le=24)] = 24
    """Hours between two runs."""
    canaries: bool = True
    """Whether attacks on the judge are tried once a day with the anchors, where the golden set has items that fail."""
    enabled: bool = True
    """Whether runs are made by the schedule."""
    dry_run: bool = False
    """Return the calls, tokens and USD of one run, and store nothing."""


class Acknowledge(RequestBody):
    """The judge is taken as it is now."""

    dry_run: bool = False
    """Return the calls, tokens and USD of the new baseline, and change nothing."""


class ShiftOfRate(ResponseBody):
    """The shift of the live pass rate that asks who moved."""

    id: str
    direction: Literal["up", "down"]
    window_start: datetime


class AgreementWithLabels(ResponseBody):
    """How many verdicts are as people expect."""

    agreed: int
    labelled: int


class DriftShown(ResponseBody):
    """Who moved, by the anchors and the live pass rate.

    `statistic` is that of the e-detector: `suspect` from 100 on, an alarm from 1 000 on. `moved_since` is the begin of
    the newest run that spoke against a drift; a shift of the live rate since then is not the product's.
    """

    answer: AnchorAnswer
    statistic: float | None
    null_rate: float | None
    runs: int
    baseline: int | None
    version: int | None
    anchors: int | None
    flips: int | None
    to_pass: int | None
    to_fail: int | None
    agreement_before: AgreementWithLabels | None
    agreement_now: AgreementWithLabels | None
    alarm_at: datetime | None
    moved_since: datetime | None
    last_run_at: datetime | None
    shift: ShiftOfRate | None


class AnchorRunShown(ResponseBody):
    """A run of anchors that has ended. One that is not counted is not a flip, and `reason` says why."""

    run: UUID
    baseline: int
    begun_at: datetime
    ended_at: datetime
    counted: bool
    reason: str | None
    anchors: int
    flips: int | None
    to_pass: int | None
    to_fail: int | None
    agreed: int
    labelled: int
    statistic: float | None


class BaselineShown(ResponseBody):
    """A baseline: the usual verdicts of one version."""

    number: int
    version: int
    fingerprint: str
    golden_set: UUID
    golden_set_version: int
    state: BaselineState
    null_rate: float | None
    runs: int
    alarm_at: datetime | None
    started_at: datetime
    ended_at: datetime | None
    ended_by: User | None


class ServedModel(ResponseBody):
    """A model that answered, as the provider names it. A new one beside another brings a run of the anchors forward."""

    model: str
    """The model that was asked, as `provider/name`."""
    served_model: str | None
    """The model that the reply names."""
    system_fingerprint: str | None
    """The system fingerprint that the reply names."""
    changed_at: datetime | None
    """When it was new beside another; null for the first."""
    seen_at: datetime
    """When it answered last, to six hours."""


class AnchorsShown(ResponseBody):
    """The anchors of an evaluation, who moved, and the newest runs and baselines."""

    evaluation: UUID
    golden_set: UUID
    golden_set_version: int
    size: int
    every_hours: float
    canaries: bool
    enabled: bool
    next_at: datetime
    running: UUID | None
    problem: str | None
    created_by: User | None
    drift: DriftShown
    runs: list[AnchorRunShown]
    baselines: list[BaselineShown]
    served: list[ServedModel]
