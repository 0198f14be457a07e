-- The newest results over all evaluations of a team, by time: `evaluation_results` has no time in its key, so that the
-- newest page of it reads everything. A result that is written again lies here again; readers drop repeated ids.
CREATE TABLE IF NOT EXISTS evaluation_results_recent
(
    team_id Int64,
    timestamp DateTime64(6, 'UTC') CODEC(Delta, ZSTD(1)),
    uuid String CODEC(ZSTD(1)),
    evaluation_id LowCardinality(String),
    evaluation_name LowCardinality(String),
    evaluation_version Int64,
    runtime LowCardinality(String),
    trigger LowCardinality(String),
    outcome LowCardinality(String),
    skip_reason LowCardinality(String),
    result_type LowCardinality(String),
    numeric_result Nullable(Float64),
    categorical_result Array(LowCardinality(String)),
    reasoning String CODEC(ZSTD(1)),
    target_event_id String CODEC(ZSTD(1)),
    trace_id String CODEC(ZSTD(1)),
    model LowCardinality(String),
    prompt_name LowCardinality(String),
    prompt_version LowCardinality(String),
    evaluation_model LowCardinality(String),
    cost_usd Nullable(Float64),
    latency_s Nullable(Float64)
)
ENGINE = MergeTree
PARTITION BY toYYYYMM(timestamp)
ORDER BY (team_id, timestamp, uuid)
SETTINGS non_replicated_deduplication_window = 10000, min_bytes_for_wide_part = 134217728;

CREATE MATERIALIZED VIEW IF NOT EXISTS evaluation_results_recent_feed TO evaluation_results_recent AS
SELECT
    team_id, timestamp, uuid, evaluation_id, evaluation_name, evaluation_version, runtime, trigger, outcome,
    skip_reason, result_type, numeric_result, categorical_result, substringUTF8(reasoning, 1, 300) AS reasoning,
    target_event_id, trace_id, model, prompt_name, prompt_version, evaluation_model, cost_usd, latency_s
FROM evaluation_results;

INSERT INTO evaluation_results_recent
SELECT
    team_id, timestamp, uuid, evaluation_id, evaluation_name, evaluation_version, runtime, trigger, outcome,
    skip_reason, result_type, numeric_result, categorical_result, substringUTF8(reasoning, 1, 300) AS reasoning,
    target_event_id, trace_id, model, prompt_name, prompt_version, evaluation_model, cost_usd, latency_s
FROM evaluation_results
WHERE timestamp >= now() - INTERVAL 31 DAY;

-- Results per hour with the values that they found, so that any passing rule can be applied when they are read. Ids are
-- counted as a state that is exact while it is small: hours are read one by one and added up. A score is kept as it is,
-- because models give few different ones. Cost and latency are sums over inserts: a result that a replay wrote again
-- counts twice in them, and once in everything else.
CREATE TABLE IF NOT EXISTS evaluation_outcomes_hourly
(
    team_id Int64,
    evaluation_id LowCardinality(String),
    hour DateTime('UTC'),
    fingerprint LowCardinality(String),
    evaluation_version Int64,
    outcome LowCardinality(String),
    skip_reason LowCardinality(String),
    result_type LowCardinality(String),
    score Float64,
    categories Array(LowCardinality(String)),
    evaluation_model LowCardinality(String),
    results AggregateFunction(uniq, String),
    total_cost_usd SimpleAggregateFunction(sum, Float64),
    total_tokens SimpleAggregateFunction(sum, Int64),
    latency AggregateFunction(quantilesTDigest(0.5, 0.95), Float64)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (
    team_id, evaluation_id, hour, fingerprint, evaluation_version, outcome, skip_reason, result_type, score, categories,
    evaluation_model);

-- A migration that was cut off may run again, and sums must not grow by that.
TRUNCATE TABLE IF EXISTS evaluation_outcomes_hourly;

CREATE MATERIALIZED VIEW IF NOT EXISTS evaluation_outcomes_hourly_feed TO evaluation_outcomes_hourly AS
SELECT
    team_id,
    evaluation_id,
    toStartOfHour(toDateTime(timestamp, 'UTC')) AS hour,
    fingerprint,
    evaluation_version,
    outcome,
    skip_reason,
    result_type,
    if(outcome = 'scored' AND result_type = 'numeric', assumeNotNull(numeric_result), 0.) AS score,
    if(outcome = 'scored' AND result_type = 'categorical', categorical_result, []) AS categories,
    evaluation_model,
    uniqState(uuid) AS results,
    sum(ifNull(cost_usd, 0)) AS total_cost_usd,
    sum(ifNull(input_tokens, 0) + ifNull(output_tokens, 0)) AS total_tokens,
    quantilesTDigestStateIf(0.5, 0.95)(ifNull(latency_s, 0), isNotNull(latency_s)) AS latency
FROM evaluation_results
GROUP BY
    team_id, evaluation_id, hour, fingerprint, evaluation_version, outcome, skip_reason, result_type, score, categories,
    evaluation_model;

INSERT INTO evaluation_outcomes_hourly
SELECT
    team_id,
    evaluation_id,
    toStartOfHour(toDateTime(timestamp, 'UTC')) AS hour,
    fingerprint,
    evaluation_version,
    outcome,
    skip_reason,
    result_type,
    if(outcome = 'scored' AND result_type = 'numeric', assumeNotNull(numeric_result), 0.) AS score,
    if(outcome = 'scored' AND result_type = 'categorical', categorical_result, []) AS categories,
    evaluation_model,
    uniqState(uuid) AS results,
    sum(ifNull(cost_usd, 0)) AS total_cost_usd,
    sum(ifNull(input_tokens, 0) + ifNull(output_tokens, 0)) AS total_tokens,
    quantilesTDigestStateIf(0.5, 0.95)(ifNull(latency_s, 0), isNotNull(latency_s)) AS latency
FROM evaluation_results
WHERE timestamp >= now() - INTERVAL 31 DAY
GROUP BY
    team_id, evaluation_id, hour, fingerprint, evaluation_version, outcome, skip_reason, result_type, score, categories,
    evaluation_model;
