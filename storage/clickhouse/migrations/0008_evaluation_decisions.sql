-- One row per decision about a run that depended on its moment (`$ai_evaluation_decision` event): a budget, a pause, a key.
-- A decision that is sent again has the same id and collapses. Decisions are kept for 90 days.
CREATE TABLE IF NOT EXISTS evaluation_decisions
(
    uuid String CODEC(ZSTD(1)),
    team_id Int64,
    project_id Nullable(Int64),
    distinct_id String CODEC(ZSTD(1)),
    timestamp DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    created_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    person_mode LowCardinality(String),
    evaluation_id LowCardinality(String),
    target_event_id String CODEC(ZSTD(1)),
    decision LowCardinality(String),
    reason LowCardinality(String),
    detail String CODEC(ZSTD(1)),
    evaluation_version Int64,
    trigger LowCardinality(String),
    properties String CODEC(ZSTD(1)),
    record_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    precedence UInt64 MATERIALIZED 18446744073709551615 - toUInt64(greatest(toUnixTimestamp64Milli(record_time), 0)),
    ingested_at DateTime DEFAULT now(),
    INDEX by_target target_event_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ReplacingMergeTree(precedence)
PARTITION BY toYYYYMM(timestamp)
ORDER BY (team_id, evaluation_id, target_event_id, uuid)
TTL ingested_at + INTERVAL 90 DAY
SETTINGS non_replicated_deduplication_window = 10000;
