"""Settings of traces for an OpenTelemetry collector."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, SecretStr, field_validator

from config.settings.section import Count, OptionMap, Seconds, SettingsSection


class Otel(SettingsSection):
    """Spans of evaluations and of judges' calls, and results as `gen_ai.evaluation.result` events, sent by OTLP."""

    endpoint: str | None = None
    """Base URL of an OTLP/HTTP receiver, such as `http://collector:4318`; nothing is traced if it is not set. Needs the
    extra `otel`."""
    headers: Annotated[dict[str, SecretStr], OptionMap] = Field(default_factory=dict)
    """Headers of each export, such as `Authorization=Bearer …`."""
    sample: Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)] = 1.0
    """Share of results that are traced, with the calls of their judge."""
    queue_size: Count = 10_000
    """Most results and calls that wait for the exporter. Further ones are dropped and counted
    (`gavel_traces_dropped`); no verdict waits for them."""
    timeout_s: Seconds = 10.0
    """Seconds that one export may take with its retries."""

    @field_validator("endpoint")
    @classmethod
    def _http(cls, endpoint: str | None) -> str | None:
        if endpoint is not None and not endpoint.startswith(("http://", "https://")):
            raise ValueError("is not an HTTP URL; write for example http://collector:4318")
        return None if endpoint is None else endpoint.rstrip("/")
