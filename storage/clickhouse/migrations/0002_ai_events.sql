-- The archive: every generation event that was read, whole, so that it can be judged again when the topic has
-- forgotten it. Written only where `clickhouse.archive_events` is on.
CREATE TABLE IF NOT EXISTS ai_events
(
    uuid String CODEC(ZSTD(1)),
    event LowCardinality(String),
    team_id Int64,
    project_id Nullable(Int64),
    distinct_id String CODEC(ZSTD(1)),
    timestamp DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    created_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    elements_chain String CODEC(ZSTD(1)),
    person_id String CODEC(ZSTD(1)),
    person_mode LowCardinality(String),
    person_properties String CODEC(ZSTD(1)),
    group0_properties String CODEC(ZSTD(1)),
    group1_properties String CODEC(ZSTD(1)),
    group2_properties String CODEC(ZSTD(1)),
    group3_properties String CODEC(ZSTD(1)),
    group4_properties String CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    ai_session_id String CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    span_id String CODEC(ZSTD(1)),
    model LowCardinality(String),
    provider LowCardinality(String),
    input_tokens Nullable(Int64),
    output_tokens Nullable(Int64),
    latency_s Nullable(Float64),
    cost_usd Nullable(Float64),
    http_status Nullable(Int64),
    is_error Nullable(Bool),
    prompt_name LowCardinality(String),
    prompt_version LowCardinality(String),
    properties String CODEC(ZSTD(1)),
    record_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    precedence UInt64 MATERIALIZED 18446744073709551615 - toUInt64(greatest(toUnixTimestamp64Milli(record_time), 0)),
    ingested_at DateTime DEFAULT now(),
    INDEX by_uuid uuid TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_person distinct_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ReplacingMergeTree(precedence)
PARTITION BY toYYYYMM(timestamp)
ORDER BY (team_id, timestamp, uuid)
-- Whole columns of a 10 000-row batch in one file: half the time of an insert.
SETTINGS non_replicated_deduplication_window = 10000, min_bytes_for_wide_part = 134217728;
