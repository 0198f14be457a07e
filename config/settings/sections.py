"""The sections of the settings, but for Kafka's."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from config.settings.section import CommaList, Count, OptionMap, Port, Seconds, Section

Fraction = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Weight = Annotated[float, Field(gt=0, le=1_000, allow_inf_nan=False)]


class Store(Section):
    """The SQL store of definitions, keys and accounts."""

    dsn: SecretStr
    """`sqlite:///path` or `postgresql://user:password@host:5432/database`. Default: `gavel.db` in `data_dir`."""
    poll_interval_s: Seconds = 1.0
    """Seconds between two looks for changed definitions."""
    connect_timeout_s: Seconds = 5.0
    """Seconds until a connection attempt to PostgreSQL has failed."""
    statement_timeout_s: Seconds = 15.0
    """Seconds that one statement, or the wait for another writer's lock, may take."""
    pool_size: Count = 5
    """Most connections that one process keeps to PostgreSQL."""


class ClickHouse(Section):
    """Where results, and the archive of events, are stored."""

    dsn: SecretStr
    """`chdb:///absolute/path` inside the process, or `http://user:password@host:8123/database`
    (`https://…:8443/…`). Default: `clickhouse` in `data_dir`."""
    archive_events: bool = True
    """Also store the generation events that were read. Switch it off where another pipeline writes them."""
    connect_timeout_s: Seconds = 10.0
    """Seconds until a connection attempt has failed."""
    request_timeout_s: Seconds = 60.0
    """Seconds that one insert or query may take."""


class Http(Section):
    """Where `/metrics`, `/livez` and `/readyz` are served."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` in a container."""
    port: Port = 9464
    """Port to listen on; 0 lets the system choose."""


class Log(Section):
    """What is logged, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged. Payloads are never logged at `info` or above."""
    format: Literal["auto", "json", "console"] = "auto"
    """`auto`: `console` on a terminal, else `json`."""


class Matcher(Section):
    """The matcher role: events in, Hog verdicts and judge tasks out."""

    batch_size: Count = 1000
    """Most events taken from Kafka in one call."""
    commit_interval_s: Seconds = 0.5
    """Seconds between two transactions."""
    inline_hog_limit_s: Annotated[Seconds, Field(le=5)] = 0.05
    """Seconds that Hog code may take here; what takes longer goes to the judge role."""
    max_in_flight_records: Count = 20_000
    """Events read and not yet committed at which reading pauses. What a crash may do over."""
    max_in_flight_bytes: Count = 134_217_728
    """Bytes read and not yet committed at which reading pauses."""
    backfill_rate: Count | None = None
    """Most events a second that a backfill reads; none if not set. Backfills share the process with the matcher."""


class Judge(Section):
    """The judge role: LLM calls, and Hog code that takes long."""

    concurrency: Count = 64
    """Most runs in progress in one process."""
    weights: Annotated[dict[str, Weight], OptionMap] = Field(default_factory=dict)
    """Shares where runs have to wait, by id of a team or of an evaluation (within its team), such as `7=4,12=0.5`;
    1 for those not named."""
    commit_interval_s: Seconds = 0.5
    """Seconds between two transactions."""
    max_in_flight_records: Count = 2_000
    """Tasks in hand in one process; more stand in line. What a crash may judge again."""
    max_in_flight_bytes: Count = 134_217_728
    """Bytes read and not yet committed at which reading pauses."""
    hog_limit_s: Seconds = 10.0
    """Seconds that Hog code may take here; what takes longer is skipped as `hog_error`."""
    connect_timeout_s: Seconds = 5.0
    """Seconds to connect to a provider."""
    read_timeout_s: Seconds = 60.0
    """Seconds without a byte from a provider."""
    call_deadline_s: Seconds = 90.0
    """Seconds that one call to a provider may take in all."""
    run_deadline_s: Seconds = 180.0
    """Seconds that one run may take with all its retries; then it is parked."""
    max_attempts: Count = 4
    """Calls that one run makes before it is parked."""
    retry_initial_s: Seconds = 0.5
    """Upper bound of the random wait before the first retry; it doubles with each."""
    retry_max_s: Seconds = 30.0
    """Upper bound of the random wait before any retry."""
    park_initial_s: Seconds = 30.0
    """Seconds that a run is parked the first time; it doubles with each."""
    park_max_s: Seconds = 900.0
    """Longest time for which a run is parked at once."""
    park_limit_s: Seconds = 86_400.0
    """Seconds after the first parking at which a run becomes a dead letter (`expired`)."""
    breaker_failures: Count = 5
    """Failures in a row of one key and model after which calls stop until a probe succeeds."""
    breaker_probe_s: Seconds = 15.0
    """Seconds until the first probe of a stopped key and model; it doubles, up to ten minutes."""
    requests_per_minute: Count | None = None
    """Ceiling per key and model in one process; none if not set."""
    tokens_per_minute: Count | None = None
    """Ceiling per key and model in one process; none if not set."""
    max_prompt_chars: Annotated[int, Field(ge=1_000)] = 150_000
    """Characters of judged text above which it is cut."""
    cache_ttl_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3_600.0
    """Seconds for which the verdict on identical input is used again; 0 switches that off."""
    cache_entries: Count = 10_000
    """Verdicts kept for that in one process."""
    trial_api_key: SecretStr | None = None
    """The operator's own provider key, for teams that have none. No trial if not set."""
    trial_provider: Literal[
        "openai", "azure_openai", "anthropic", "gemini", "openrouter", "fireworks", "together_ai", "custom"
    ] = "openai"
    """Provider of `trial_api_key`."""
    trial_model: Annotated[str, Field(min_length=1, max_length=100)] = "gpt-5-mini"
    """Model that trial runs use where the evaluation names none."""
    trial_base_url: str | None = None
    """Endpoint of `trial_provider` if it is not the provider's public one."""
    trial_eval_limit: Annotated[int, Field(ge=0)] = 100
    """Trial runs that a team has."""
    base_urls: Annotated[dict[str, str], OptionMap] = Field(default_factory=dict)
    """Endpoint per provider, where calls go through a gateway: `{"openai": "https://gateway/v1"}`."""
    allowed_hosts: Annotated[tuple[str, ...], CommaList] = ()
    """Hosts or networks (`ollama.internal`, `10.0.0.0/8`) that a team's `base_url` may name although they are
    private, link-local or metadata addresses."""
    prices_path: str | None = None
    """YAML table of prices that replaces the bundled one."""


class Sink(Section):
    """The sink role: results and events into ClickHouse."""

    batch_rows: Count = 10_000
    """Rows at which a batch is inserted."""
    batch_interval_s: Seconds = 1.0
    """Seconds after which a smaller batch is inserted."""
    max_in_flight_records: Count = 100_000
    """Records read and not yet inserted at which reading pauses."""
    max_in_flight_bytes: Count = 268_435_456
    """Bytes read and not yet inserted at which reading pauses."""
    retry_initial_s: Seconds = 0.5
    """Wait before an insert is tried again; it doubles with each attempt."""
    retry_max_s: Seconds = 30.0
    """Longest wait before an insert is tried again."""


class DeadLetters(Section):
    """When a stream of failures means that something else is wrong."""

    ratio_limit: Fraction = 0.5
    """Share of dead letters at which a role stops: a wrong topic must not become a million dead letters."""
    ratio_window: Count = 1000
    """Newest records over which the share is taken."""
    max_redrives: Count = 5
    """Times that `gavel dlq redrive` sends the same record back."""


class Watchdog(Section):
    """Ends a process that hangs, so that the orchestrator starts it again."""

    stall_s: Seconds = 600.0
    """Seconds with work in hand and no progress after which the stacks are dumped and the process ends."""
    shutdown_s: Seconds = 25.0
    """Seconds that a role may take to drain after SIGTERM; below the orchestrator's grace period."""


class Api(Section):
    """The HTTP API."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` in a container."""
    port: Port = 8000
    """Port to listen on; 0 lets the system choose."""
    public_url: str | None = None
    """Address under which clients reach the API, for links in pages of lists; the request's own if not set."""
    requests_per_minute: Count = 600
    """Requests that one API key may make per minute."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 2_097_152
    """Largest request body."""
    cors_origins: Annotated[tuple[str, ...], CommaList] = ()
    """Origins whose pages may call the API from a browser; none by default."""
    allowed_webhook_hosts: Annotated[tuple[str, ...], CommaList] = ()
    """Hosts or networks that a webhook may name although they are private, link-local or metadata addresses."""
