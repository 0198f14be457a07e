"""Settings of the live windows."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.settings.section import Seconds, SettingsSection


class Windows(SettingsSection):
    """The live windows of the reports role: counts by minute, hour and day, and the signal that a pass rate shifted."""

    source: Literal["auto", "kafka", "clickhouse"] = "auto"
    """Where results are counted. `kafka` reads the results topic with Faust; `clickhouse` asks the results table every
    `poll_interval_s`. `auto` is `kafka`, but `clickhouse` where the broker is embedded, which Faust cannot use."""
    seen_ids: Annotated[int, Field(ge=1_000)] = 100_000
    """Newest result ids that each partition remembers. A result that is written again later than this many others is
    counted twice in the live windows. Each id takes about 200 bytes of memory."""
    poll_interval_s: Seconds = 10.0
    """Seconds between two queries where `source` is `clickhouse`."""
