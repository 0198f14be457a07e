-- One row per result (`$ai_evaluation` event). A result that is written again - a batch that was repeated, a replay -
-- has the same id and collapses: merges and FINAL keep the row whose Kafka record is the oldest, so doing a stretch
-- of the stream again changes nothing.
--
-- The sort key holds only what a result id determines: its time is not in it, because a replay stamps the
-- generation's own time. Months of one id may therefore differ, so reads use FINAL across partitions.
CREATE TABLE IF NOT EXISTS evaluation_results
(
    uuid String CODEC(ZSTD(1)),
    team_id Int64,
    project_id Nullable(Int64),
    distinct_id String CODEC(ZSTD(1)),
    timestamp DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    created_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    person_mode LowCardinality(String),
    evaluation_id LowCardinality(String),
    evaluation_name LowCardinality(String),
    evaluation_type LowCardinality(String),
    runtime LowCardinality(String),
    result_type LowCardinality(String),
    result Nullable(Bool),
    numeric_result Nullable(Float64),
    numeric_result_min Nullable(Float64),
    numeric_result_max Nullable(Float64),
    categorical_result Array(LowCardinality(String)),
    allows_na Bool,
    applicable Nullable(Bool),
    reasoning String CODEC(ZSTD(1)),
    skipped Bool,
    skip_reason LowCardinality(String),
    start_time DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    trigger LowCardinality(String),
    backfill_id String CODEC(ZSTD(1)),
    evaluation_version Int64,
    fingerprint LowCardinality(String),
    condition_id LowCardinality(String),
    target_event_id String CODEC(ZSTD(1)),
    target_event_type LowCardinality(String),
    target_id String CODEC(ZSTD(1)),
    target_type LowCardinality(String),
    trace_id String CODEC(ZSTD(1)),
    ai_session_id String CODEC(ZSTD(1)),
    session_id String CODEC(ZSTD(1)),
    prompt_name LowCardinality(String),
    prompt_version LowCardinality(String),
    model LowCardinality(String),
    provider LowCardinality(String),
    evaluation_model LowCardinality(String),
    evaluation_provider LowCardinality(String),
    input_tokens Nullable(Int64),
    output_tokens Nullable(Int64),
    cost_usd Nullable(Float64),
    latency_s Nullable(Float64),
    key_type LowCardinality(String),
    key_id String CODEC(ZSTD(1)),
    cached Nullable(Bool),
    truncated Bool,
    properties String CODEC(ZSTD(1)),
    record_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    precedence UInt64 MATERIALIZED 18446744073709551615 - toUInt64(greatest(toUnixTimestamp64Milli(record_time), 0)),
    ingested_at DateTime DEFAULT now(),
    -- What was found, before polarity and passing rules, which are applied when results are read. Whatever is no
    -- verdict is `skipped` or `not_applicable`, never a fail and never a pass.
    outcome LowCardinality(String) MATERIALIZED multiIf(
        skipped, 'skipped',
        ifNull(applicable, true) = false, 'not_applicable',
        result_type = 'boolean', multiIf(isNull(result), 'not_applicable', assumeNotNull(result), 'true', 'false'),
        result_type = 'numeric', if(isNull(numeric_result), 'not_applicable', 'scored'),
        empty(categorical_result), 'not_applicable', 'scored'),
    INDEX by_uuid uuid TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_target target_event_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_trace trace_id TYPE bloom_filter(0.01) GRANULARITY 4,
    INDEX by_time timestamp TYPE minmax GRANULARITY 1
)
ENGINE = ReplacingMergeTree(precedence)
PARTITION BY toYYYYMM(timestamp)
ORDER BY (team_id, evaluation_id, target_event_id, uuid)
-- Whole columns of a 10 000-row batch in one file: half the time of an insert.
SETTINGS non_replicated_deduplication_window = 10000, min_bytes_for_wide_part = 134217728;
