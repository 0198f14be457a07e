-- Sinks of the release before write results without the column while an upgrade is under way. ClickHouse fills it in for
-- their rows, also on the way into the list of the newest results, and once in parts that lack it.
ALTER TABLE evaluation_results MODIFY COLUMN confidence Nullable(Float64)
    DEFAULT JSONExtract(properties, '$ai_evaluation_confidence', 'Nullable(Float64)') CODEC(ZSTD(1));
ALTER TABLE evaluation_results MATERIALIZE COLUMN confidence;

ALTER TABLE evaluation_measurements MODIFY COLUMN confidence Nullable(Float64)
    DEFAULT JSONExtract(properties, '$ai_evaluation_confidence', 'Nullable(Float64)') CODEC(ZSTD(1));
ALTER TABLE evaluation_measurements MATERIALIZE COLUMN confidence;
