-- Results per hour and outcome, for dashboards. A state of distinct ids, not a sum over inserts: a batch that is
-- inserted twice counts once.
CREATE TABLE IF NOT EXISTS evaluation_outcomes_hourly
(
    team_id Int64,
    evaluation_id LowCardinality(String),
    hour DateTime('UTC'),
    fingerprint LowCardinality(String),
    outcome LowCardinality(String),
    skip_reason LowCardinality(String),
    results AggregateFunction(uniq, String)
)
ENGINE = AggregatingMergeTree
PARTITION BY toYYYYMM(hour)
ORDER BY (team_id, evaluation_id, hour, fingerprint, outcome, skip_reason);

CREATE MATERIALIZED VIEW IF NOT EXISTS evaluation_outcomes_hourly_feed TO evaluation_outcomes_hourly AS
SELECT
    team_id,
    evaluation_id,
    toStartOfHour(toDateTime(timestamp, 'UTC')) AS hour,
    fingerprint,
    outcome,
    skip_reason,
    uniqState(uuid) AS results
FROM evaluation_results
GROUP BY team_id, evaluation_id, hour, fingerprint, outcome, skip_reason;
