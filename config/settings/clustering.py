"""Settings of clustering."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from config.settings.section import Seconds, SettingsSection

MIN_SAMPLES, MAX_SAMPLES = 20, 10_000
MIN_LOOKBACK_DAYS, MAX_LOOKBACK_DAYS = 1, 90


class Clustering(SettingsSection):
    """Clustering of traces, generations and evaluation results, by the reports role."""

    embedding_model: Annotated[str, Field(min_length=1, max_length=100)] | None = None
    """Model that makes vectors of texts, at the endpoint of the team's active provider key. Without one, and for teams
    without a key, vectors are TF-IDF and SVD, and no text leaves the process for them."""
    embedding_deadline_s: Seconds = 300.0
    """Seconds that the vectors of one run may take at an endpoint; beyond them the run takes TF-IDF and SVD."""
    labels: Literal["model", "terms"] = "model"
    """Who names clusters: the default model of the team's active provider key, by one call per run, or the words that
    tell a cluster from the others. Teams without a key get the words."""
    daily_lookback_days: Annotated[int, Field(ge=MIN_LOOKBACK_DAYS, le=MAX_LOOKBACK_DAYS)] = 7
    """Days before a scheduled run that it looks at."""
    daily_max_samples: Annotated[int, Field(ge=MIN_SAMPLES, le=MAX_SAMPLES)] = 2_000
    """Most items of a scheduled run."""
