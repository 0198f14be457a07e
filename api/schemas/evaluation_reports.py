"""Bodies of `llm_analytics/evaluation_reports`."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, ClassVar, Literal
from uuid import UUID

from pydantic import AfterValidator, BaseModel, ConfigDict, Discriminator, Field, StringConstraints, Tag

from api.schemas.parts import Instant, PatchBody, ResponseBody
from reports.evaluation_reports.schedule import MAX_RULE_CHARS
from reports.evaluation_reports.targets import check_email
from storage.sql.evaluation_report_runs import DeliveryState, ReportRunStatus, Trigger

MAX_TARGETS = 20
DEFAULT_THRESHOLD = 100

_Url = Annotated[str, StringConstraints(min_length=8, max_length=2000)]
_Threshold = Annotated[int, Field(ge=100, le=10_000)]


class _TargetBody(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True, hide_input_in_errors=True)


class EmailTarget(_TargetBody):
    """A report by e-mail."""

    type: Literal["email"]
    value: Annotated[str, StringConstraints(max_length=254), AfterValidator(check_email)]
    """One address."""


class SlackTarget(_TargetBody):
    """A report as a message of a Slack incoming webhook."""

    type: Literal["slack"]
    webhook_url: _Url
    """The webhook's address. It is a secret: it is stored encrypted and shown masked."""


class WebhookTarget(_TargetBody):
    """A report as a signed HTTP request."""

    type: Literal["webhook"]
    url: _Url
    """The address that is called."""
    secret: Annotated[str, StringConstraints(min_length=4, max_length=256)] | None = None
    """The key of the signature. Without one Gavel makes one; `gavel reports secret` shows it."""


def _kind(value: Any) -> str:
    kind = value.get("type") if isinstance(value, dict) else getattr(value, "type", None)
    return kind if isinstance(kind, str) else ""


Target = Annotated[
    Annotated[EmailTarget, Tag("email")]
    | Annotated[SlackTarget, Tag("slack")]
    | Annotated[WebhookTarget, Tag("webhook")],
    Discriminator(_kind),
]
_Targets = Annotated[list[Target], Field(max_length=MAX_TARGETS)]


class EvaluationReportPatch(PatchBody):
    """Fields of a report that a client may write."""

    READ_ONLY: ClassVar[frozenset[str]] = frozenset(
        {"id", "next_delivery_date", "last_delivered_at", "created_by", "created_at"}
    )

    evaluation: UUID | None = None
    """The evaluation that is reported on. It cannot be changed later."""
    frequency: Literal["every_n", "scheduled"] = "every_n"
    """`every_n`: when that many results have come. `scheduled`: by `rrule`."""
    rrule: Annotated[str, StringConstraints(max_length=MAX_RULE_CHARS)] = ""
    """`FREQ=DAILY` or `FREQ=WEEKLY;BYDAY=MO,TU,…`, for scheduled reports."""
    starts_at: Instant | None = None
    """First time of a scheduled report. Its time of day in the zone is that of all."""
    timezone_name: Annotated[str, StringConstraints(min_length=1, max_length=64)] = "UTC"
    """Time zone by its IANA name."""
    delivery_targets: _Targets | None = None
    """Where reports go. Without any, they can be read here."""
    max_sample_size: Annotated[int, Field(ge=1, le=1_000)] = 200
    """Most results that are sampled as examples for the text."""
    enabled: bool = True
    """Whether reports are made when they are due."""
    deleted: bool = False
    """Hides the report and ends it."""
    report_prompt_guidance: Annotated[str, StringConstraints(max_length=4_000)] = ""
    """Advice to the model that writes the text."""
    trigger_threshold: _Threshold | None = DEFAULT_THRESHOLD
    """Results that are not skipped after which an `every_n` report is due."""
    cooldown_minutes: Annotated[int, Field(ge=60, le=1_440)] = 60
    """Minutes between two `every_n` reports."""
    daily_run_cap: Annotated[int, Field(ge=1, le=24)] = 10
    """Most `every_n` reports of one day in the report's zone."""


class EvaluationReportCreate(EvaluationReportPatch):
    """A new report."""

    evaluation: UUID = Field()
    """The evaluation that is reported on."""


class EvaluationReport(ResponseBody):
    """A report. `created_by` is the number of the API key that made it."""

    id: UUID
    evaluation: UUID
    frequency: str
    rrule: str
    starts_at: datetime | None
    timezone_name: str
    next_delivery_date: datetime | None
    delivery_targets: Any
    max_sample_size: int
    enabled: bool
    deleted: bool
    last_delivered_at: datetime | None
    report_prompt_guidance: str
    trigger_threshold: int | None
    cooldown_minutes: int
    daily_run_cap: int
    created_by: int | None
    created_at: datetime


class ReportDelivery(ResponseBody):
    """The delivery of one run to one target."""

    target: Any
    state: DeliveryState
    attempts: int
    delivered_at: datetime | None
    error: str | None


class EvaluationReportRun(ResponseBody):
    """One run of a report.

    `content` is null until the report is made. A run whose `delivery_status` is `generated` and whose `finished_at` is
    set had no target.
    """

    id: UUID
    report: UUID
    trigger: Trigger
    content: Any
    period_start: datetime
    period_end: datetime
    delivery_status: ReportRunStatus
    delivery_errors: list[str]
    deliveries: list[ReportDelivery]
    created_at: datetime
    generated_at: datetime | None
    finished_at: datetime | None
