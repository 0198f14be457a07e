"""Settings of evaluation reports and their delivery."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from config.settings.section import Count, Seconds, SettingsSection


class Smtp(SettingsSection):
    """The mail server that sends reports. Without `host` a report to an e-mail address fails and says so."""

    host: str | None = None
    """Name of the mail server."""
    port: Annotated[int, Field(ge=1, le=65_535)] = 587
    """Port of the mail server: 587 for `starttls`, 465 for `tls`."""
    security: Literal["starttls", "tls", "none"] = "starttls"
    """`starttls` encrypts before anything is said, `tls` from the first byte, and `none` sends passwords and reports in
    the clear."""
    username: str | None = None
    """User to log in as; no login if not set."""
    password: SecretStr | None = None
    """Password of `username`."""
    sender: str | None = None
    """Address that reports come from, such as `gavel@example.com`. It must be set with `host`."""
    ca_file: Path | None = None
    """Certificates in PEM of a private authority that signed the server's; the system's authorities if not set."""

    @model_validator(mode="after")
    def _has_a_sender(self) -> Self:
        if self.host is not None and (self.sender is None or "@" not in self.sender):
            raise ValueError("sender is not an address, which a mail server needs; write gavel@example.com")
        return self


class Reports(SettingsSection):
    """Evaluation reports, which the reports role makes and delivers."""

    poll_interval_s: Seconds = 10.0
    """Seconds between two looks for reports that are due."""
    settle_s: Annotated[float, Field(ge=0, le=3_600)] = 60.0
    """Seconds that results may take to reach ClickHouse. A report is made that long after its period ends."""
    lease_s: Annotated[float, Field(ge=10)] = 300.0
    """Seconds after which another process takes over a run whose process is gone. It must be longer than one delivery
    or one model call takes."""
    workers: Annotated[Count, Field(le=32)] = 4
    """Runs that one process works on at a time."""
    delivery_timeout_s: Annotated[Seconds, Field(le=60)] = 20.0
    """Seconds that one attempt to deliver a report may take."""
    retry_initial_s: Seconds = 30.0
    """Seconds before the second attempt to deliver, or to read figures from ClickHouse; they double, up to an hour."""
    retry_for_s: Seconds = 86_400.0
    """Seconds after the first attempt at which a delivery is given up."""
    smtp: Smtp = Smtp()
    """The mail server."""
