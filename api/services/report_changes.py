"""Changes that a client makes to a report: its fields validated together, with the next date of its schedule."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from api.http.errors import Invalid, Unavailable
from api.schemas.evaluation_reports import DEFAULT_THRESHOLD
from config.outbound import ForbiddenAddress, check_url
from config.secrets import NoSecretKeys, SecretBox
from config.settings import Settings
from reports.evaluation_reports.schedule import RuleRefused, UnknownZone, read_schedule, read_zone
from reports.evaluation_reports.targets import MASK, MaskedAddress, seal_targets
from storage.sql.evaluation_reports import EvaluationReport

WEBHOOK_SETTING = "api.allowed_webhook_hosts"
_SCHEDULE = frozenset({"frequency", "rrule", "starts_at", "timezone_name", "enabled"})


class ReportChanges:
    """Makes columns of the fields that a client sent."""

    def __init__(self, settings: Settings) -> None:
        self._box = SecretBox(settings.secret_keys)
        self._allowed = settings.api.allowed_webhook_hosts

    def columns(self, given: Mapping[str, Any], before: EvaluationReport | None, *, now: datetime) -> dict[str, Any]:
        """Return the columns to store.

        Blocks on DNS, where a target names a host.

        Args:
            given: fields of the body, without `evaluation`; all of them for a new report.
            before: the stored report that is changed, or None.

        Raises:
            Invalid: the fields do not go together, or a target may not be called.
            Unavailable: a target has a secret and the operator has set no key to encrypt with.
        """
        values = dict(given)
        if values.get("trigger_threshold", 0) is None:
            values["trigger_threshold"] = DEFAULT_THRESHOLD
        if "delivery_targets" in values:
            targets = [target.model_dump() for target in values["delivery_targets"] or ()]
            values["delivery_targets"] = self._targets(targets, before)
        if before is None or _SCHEDULE & values.keys():
            values |= _dates(values, before, now)
        return values

    def _targets(self, targets: list[dict[str, Any]], before: EvaluationReport | None) -> list[dict[str, Any]]:
        for position, target in enumerate(targets):
            for name in ("url", "webhook_url"):
                if name in target and MASK not in target[name]:
                    self._check(target[name], f"delivery_targets__{position}__{name}")
        try:
            return seal_targets(targets, before.delivery_targets if before is not None else (), self._box)
        except MaskedAddress as error:
            attr = f"delivery_targets__{error.position}__webhook_url"
            raise Invalid("Write the whole address of the webhook; this is a mask of it.", attr=attr) from error
        except NoSecretKeys as error:
            raise Unavailable(
                "secret_keys is not set, so the secrets of targets cannot be stored; ask the operator to set it.",
                code="no_secret_keys",
            ) from error

    def _check(self, url: str, attr: str) -> None:
        try:
            check_url(url, allowed=self._allowed, setting=WEBHOOK_SETTING)
        except ForbiddenAddress as error:
            raise Invalid(str(error), code="forbidden_address", attr=attr) from error


def _dates(values: Mapping[str, Any], before: EvaluationReport | None, now: datetime) -> dict[str, Any]:
    """Return the next date, and the start of the next period where the report begins or begins again."""

    def now_is(name: str) -> Any:
        return values[name] if name in values else getattr(before, name)

    zone = now_is("timezone_name")
    frequency, rule, starts_at = now_is("frequency"), now_is("rrule"), now_is("starts_at")
    try:
        read_zone(zone)
    except UnknownZone as error:
        raise Invalid(str(error), code="invalid_choice", attr="timezone_name") from error
    found: dict[str, Any] = {"next_delivery_date": None}
    begins = before is None or frequency != before.frequency or (now_is("enabled") and not before.enabled)
    if begins:
        # A scheduled report's first period is one day or week; results of an `every_n` report count from now on.
        found["covered_until"] = None if frequency == "scheduled" else now
    if frequency == "scheduled":
        for name, value in (("rrule", rule), ("starts_at", starts_at)):
            if not value:
                raise Invalid("A scheduled report needs this field.", code="required", attr=name)
        try:
            found["next_delivery_date"] = read_schedule(rule, starts_at, zone).next_after(now)
        except RuleRefused as error:
            raise Invalid(str(error), attr="rrule") from error
    elif rule:
        try:
            read_schedule(rule, starts_at or now, zone)
        except RuleRefused as error:
            raise Invalid(str(error), attr="rrule") from error
    return found
