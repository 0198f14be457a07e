-- One row per label (`$ai_evaluation_label` event). The SQL store is the truth; this copy is for queries beside results.
-- A label that is sent again has the same id and collapses.
CREATE TABLE IF NOT EXISTS evaluation_labels
(
    uuid String CODEC(ZSTD(1)),
    team_id Int64,
    project_id Nullable(Int64),
    distinct_id String CODEC(ZSTD(1)),
    timestamp DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    created_at DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    person_mode LowCardinality(String),
    label_id String CODEC(ZSTD(1)),
    evaluation_id LowCardinality(String),
    question Int64,
    target_event_id String CODEC(ZSTD(1)),
    unsure Bool,
    applicable Nullable(Bool),
    result Nullable(Bool),
    score Nullable(Float64),
    categories Array(LowCardinality(String)),
    comment String CODEC(ZSTD(1)),
    labeller LowCardinality(String),
    source LowCardinality(String),
    seconds Nullable(Float64),
    adjudicates Bool,
    after_reveal Bool,
    properties String CODEC(ZSTD(1)),
    record_time DateTime64(3, 'UTC') CODEC(Delta, ZSTD(1)),
    precedence UInt64 MATERIALIZED 18446744073709551615 - toUInt64(greatest(toUnixTimestamp64Milli(record_time), 0)),
    ingested_at DateTime DEFAULT now(),
    INDEX by_target target_event_id TYPE bloom_filter(0.01) GRANULARITY 4
)
ENGINE = ReplacingMergeTree(precedence)
PARTITION BY toYYYYMM(timestamp)
ORDER BY (team_id, evaluation_id, question, target_event_id, uuid)
SETTINGS non_replicated_deduplication_window = 10000;
