"""All sections of the settings except `kafka`."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, SecretStr

from config.settings.section import CommaList, Count, OptionMap, Port, Seconds, SettingsSection
from evaluators.llm_judge.providers import ProviderName

Fraction = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Weight = Annotated[float, Field(gt=0, le=1_000, allow_inf_nan=False)]


class Store(SettingsSection):
    """The SQL store of definitions, keys and accounts."""

    dsn: SecretStr
    """`sqlite:///path` or `postgresql://user:password@host:5432/database`. Default: `gavel.db` in `data_dir`."""
    poll_interval_s: Seconds = 1.0
    """Seconds between two polls for changed definitions."""
    connect_timeout_s: Seconds = 5.0
    """Seconds after which a connection attempt to PostgreSQL fails."""
    statement_timeout_s: Seconds = 15.0
    """Seconds that one statement, or the wait for another writer's lock, may take."""
    pool_size: Count = 5
    """Most connections that one process keeps to PostgreSQL."""


class ClickHouse(SettingsSection):
    """ClickHouse, which stores results and the archive of events."""

    dsn: SecretStr
    """`chdb:///absolute/path` inside the process, or `http://user:password@host:8123/database`
    (`https://…:8443/…`). Default: `clickhouse` in `data_dir`."""
    archive_events: bool = True
    """Store the generation events too. Switch it off if another pipeline writes them."""
    connect_timeout_s: Seconds = 10.0
    """Seconds after which a connection attempt fails."""
    request_timeout_s: Seconds = 60.0
    """Seconds that one insert or query may take."""
    keep_results_days: Annotated[int, Field(ge=0, le=36_500)] | None = None
    """Days after which results are removed; `gavel init` sets it as the tables' TTL. 0 removes a TTL, and without a
    value the tables stay as they are."""
    keep_events_days: Annotated[int, Field(ge=0, le=36_500)] | None = None
    """The same for the archive of generation events."""


class Definitions(SettingsSection):
    """Limits of a team's definitions. A definition beyond a limit is refused when it is saved."""

    max_evaluations_per_team: Count = 10_000
    """Most evaluations of one team that are not deleted."""
    max_condition_sets: Count = 50
    """Most condition sets of one evaluation."""
    max_filters: Count = 500
    """Most filters of one evaluation, in all its condition sets together."""
    max_hogql_filters: Count = 20
    """Most filters of type `hogql` of one evaluation: each may take up to 5 ms per event."""
    max_values: Count = 5_000
    """Most values of one filter."""
    max_bytes: Count = 1_048_576
    """Largest definition, in bytes of JSON."""


class Http(SettingsSection):
    """The server of `/metrics`, `/livez` and `/readyz`."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` in a container."""
    port: Port = 9464
    """Port to listen on; 0 lets the system choose."""


LogFormat = Literal["auto", "json", "console"]


class Log(SettingsSection):
    """The log, on stderr."""

    level: Literal["debug", "info", "warning", "error"] = "info"
    """Least severe level that is logged. Payloads are never logged at `info` or above."""
    format: LogFormat = "auto"
    """`auto`: `console` on a terminal, otherwise `json`."""


class Matcher(SettingsSection):
    """The matcher role, which reads events and writes Hog verdicts and judge tasks."""

    batch_size: Count = 1000
    """Most events taken from Kafka in one call."""
    commit_interval_s: Seconds = 0.5
    """Most seconds between two transactions while batches are full. With less load the next transaction begins as soon
    as the last one has ended and something is finished, so there is no need to tune it."""
    inline_hog_limit_s: Annotated[Seconds, Field(le=5)] = 0.05
    """Seconds that Hog code may take in the matcher; a longer run goes to the judge role."""
    team_budget_s: Seconds = 2.0
    """Seconds of matching and Hog that one team may use of a batch. Beyond it the judge role does the team's work, so
    that a team with slow evaluations does not delay the others."""
    max_in_flight_records: Count = 20_000
    """Reading pauses at this number of events in flight. A crash repeats at most their work."""
    max_in_flight_bytes: Count = 134_217_728
    """Reading pauses at this number of bytes in flight."""
    backfill_rate: Count | None = None
    """Most events per second that a backfill reads; unlimited if not set. Backfills share the matcher's process."""


class Judge(SettingsSection):
    """The judge role, which calls LLMs and runs slow Hog code."""

    concurrency: Count = 64
    """Most calls in progress in one process."""
    weights: Annotated[dict[str, Weight], OptionMap] = Field(default_factory=dict)
    """Shares of the slots when runs have to wait, by the id of a team or of an evaluation (within its team), such as
    `7=4,12=0.5`. An id that is not named has the share 1."""
    commit_interval_s: Seconds = 0.5
    """Most seconds between two transactions while batches are full. With less load the next transaction begins as soon
    as the last one has ended and something is finished, so there is no need to tune it."""
    max_in_flight_records: Count = 2_000
    """Most tasks in flight in one process; more wait in lanes. A crash may judge at most these again."""
    max_in_flight_bytes: Count = 134_217_728
    """Reading pauses at this number of bytes in flight."""
    hog_limit_s: Seconds = 10.0
    """Seconds that Hog code may take in the judge, or when it is tried out; a longer run is skipped as `hog_error`."""
    connect_timeout_s: Seconds = 5.0
    """Seconds to connect to a provider."""
    read_timeout_s: Seconds = 60.0
    """Seconds without a byte from a provider."""
    call_deadline_s: Seconds = 90.0
    """Seconds that one call to a provider may take in all."""
    run_deadline_s: Seconds = 180.0
    """Seconds that one run may take with all its retries before it is parked."""
    max_attempts: Count = 4
    """Calls that one run makes before it is parked."""
    retry_initial_s: Seconds = 0.5
    """Upper bound of the random wait before the first retry, in seconds; it doubles with each retry."""
    retry_max_s: Seconds = 30.0
    """Upper bound of the random wait before any retry, in seconds."""
    park_initial_s: Seconds = 30.0
    """Seconds that a run is parked the first time; it doubles each time."""
    park_max_s: Seconds = 900.0
    """Most seconds that a run is parked at once."""
    park_limit_s: Seconds = 86_400.0
    """Seconds after its first parking at which a run becomes a dead letter (`expired`)."""
    breaker_failures: Count = 5
    """Failures in a row of one key and model at which the breaker opens; calls stop until a probe succeeds."""
    breaker_probe_s: Seconds = 15.0
    """Seconds until the first probe of an open breaker; it doubles, up to ten minutes."""
    requests_per_minute: Count | None = None
    """Most requests per minute for each key and model in one process; unlimited if not set."""
    tokens_per_minute: Count | None = None
    """Most tokens per minute for each key and model in one process; unlimited if not set."""
    max_prompt_chars: Annotated[int, Field(ge=1_000)] = 150_000
    """Most characters of judged text; a longer text is cut in the middle."""
    max_output_tokens: Annotated[int, Field(ge=100)] = 16_000
    """Most tokens of a model's answer, its thinking included. Left out where a model refuses the parameter."""
    max_reply_bytes: Annotated[int, Field(ge=65_536)] = 4_194_304
    """Most bytes of a provider's reply, unpacked; a longer one is given up as if the provider did not answer."""
    cache_ttl_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 3_600.0
    """Seconds for which the verdict on identical input is reused; 0 switches the cache off."""
    cache_entries: Count = 10_000
    """Most verdicts in the cache of one process."""
    trial_api_key: SecretStr | None = None
    """The operator's own provider key, which judges for teams without a key. There is no trial if it is not set."""
    trial_provider: ProviderName = "openai"
    """Provider of `trial_api_key`."""
    trial_model: Annotated[str, Field(min_length=1, max_length=100)] = "gpt-5-mini"
    """Model of trial runs whose evaluation names none."""
    trial_models: Annotated[tuple[str, ...], CommaList] = ()
    """Further models that trial runs may use, because they are on the operator's account. Other models need a key."""
    trial_base_url: str | None = None
    """Endpoint of `trial_provider`; its public one if not set."""
    trial_eval_limit: Annotated[int, Field(ge=0)] = 100
    """Most trial runs of a team."""
    base_urls: Annotated[dict[str, str], OptionMap] = Field(default_factory=dict)
    """Endpoints per provider, for calls through a gateway: `{"openai": "https://gateway/v1"}`."""
    allowed_hosts: Annotated[tuple[str, ...], CommaList] = ()
    """Hosts or networks (`ollama.internal`, `10.0.0.0/8`) that a team's `base_url` may name although they are
    private, link-local or metadata addresses."""
    prices_path: str | None = None
    """YAML table of prices that replaces the bundled one."""


class Sink(SettingsSection):
    """The sink role, which writes results and events to ClickHouse."""

    batch_rows: Count = 10_000
    """Rows at which a batch is inserted."""
    batch_interval_s: Seconds = 1.0
    """Seconds after which a smaller batch is inserted too. The first rows of a quiet table are inserted at once, so a
    table has one small insert in this time at the most."""
    max_in_flight_records: Count = 100_000
    """Reading pauses at this number of records that are not yet inserted."""
    max_in_flight_bytes: Count = 268_435_456
    """Reading pauses at this number of bytes that are not yet inserted."""
    retry_initial_s: Seconds = 0.5
    """Seconds before the first retry of an insert; the wait doubles with each attempt."""
    retry_max_s: Seconds = 30.0
    """Most seconds before a retry of an insert."""


class DeadLetters(SettingsSection):
    """Limits on dead letters, because a stream of failures means that something else is wrong."""

    ratio_limit: Fraction = 0.5
    """Share of dead letters at which a role stops, because a wrong topic must not become a million dead letters."""
    ratio_window: Count = 1000
    """Number of newest records over which the share is computed."""
    max_redrives: Count = 5
    """Times that `gavel dlq redrive` sends the same record back."""
    retention_days: Count = 30
    """Days that the topic keeps dead letters, if `gavel init` makes it. A broker's own default is often 7."""


class Watchdog(SettingsSection):
    """The watchdog, which ends a process that hangs so that the orchestrator restarts it."""

    stall_s: Seconds = 600.0
    """Seconds without progress on work in flight after which the process dumps its stacks and ends."""
    shutdown_s: Seconds = 25.0
    """Seconds that a role may take to drain after SIGTERM. Keep it below the orchestrator's grace period."""


class Api(SettingsSection):
    """The HTTP API."""

    host: str = "127.0.0.1"
    """Address to listen on; `0.0.0.0` in a container."""
    port: Port = 8000
    """Port to listen on; 0 lets the system choose."""
    public_url: str | None = None
    """Address at which clients reach the API, for the links in pages of lists; the request's own if not set."""
    requests_per_minute: Count = 600
    """Requests that one API key may make per minute."""
    unauthorized_per_minute: Count = 60
    """Requests without a valid key per minute and client address; further ones get 429."""
    slow_requests: Count = 32
    """Requests that may wait for a provider, the archive or Hog code at a time; they have threads of their own."""
    slow_requests_per_team: Count = 8
    """How many of them one team may have."""
    slow_requests_per_key: Count = 4
    """How many of them one API key may have."""
    max_body_bytes: Annotated[int, Field(ge=1024)] = 2_097_152
    """Largest request body."""
    cors_origins: Annotated[tuple[str, ...], CommaList] = ()
    """Origins whose pages may call the API from a browser; none by default."""
    allowed_webhook_hosts: Annotated[tuple[str, ...], CommaList] = ()
    """Hosts or networks that a webhook may name although they are private, link-local or metadata addresses."""


class Console(SettingsSection):
    """The web pages under `/console/`, which the API's process serves."""

    enabled: bool = True
    """Serve the console."""
    read_only: bool = False
    """Refuse every change that is made in the console; looking stays possible."""
    hsts_s: Annotated[int, Field(ge=0, le=63_072_000)] = 0
    """Seconds for which browsers must use HTTPS for this host (`Strict-Transport-Security`); 0 sends no such header."""
