-- The confidence of a verdict, from 0 to 1; NULL where the judge gave none. The sink fills it in.
ALTER TABLE evaluation_results ADD COLUMN IF NOT EXISTS confidence Nullable(Float64) CODEC(ZSTD(1));
ALTER TABLE evaluation_measurements ADD COLUMN IF NOT EXISTS confidence Nullable(Float64) CODEC(ZSTD(1));
ALTER TABLE evaluation_results_recent ADD COLUMN IF NOT EXISTS confidence Nullable(Float64) CODEC(ZSTD(1));

-- Results that are there already have it in their properties. This writes one small column, in the background.
ALTER TABLE evaluation_results
    UPDATE confidence = JSONExtract(properties, '$ai_evaluation_confidence', 'Nullable(Float64)')
    WHERE isNull(confidence) AND position(properties, '$ai_evaluation_confidence"') > 0;

-- The list of the newest results gets its confidences from the view, and those of the last 31 days as second copies:
-- readers drop repeated ids, and keep the copy that has a confidence.
ALTER TABLE evaluation_results_recent_feed MODIFY QUERY
SELECT
    team_id, timestamp, uuid, evaluation_id, evaluation_name, evaluation_version, runtime, trigger, outcome,
    skip_reason, result_type, numeric_result, categorical_result, substringUTF8(reasoning, 1, 300) AS reasoning,
    target_event_id, trace_id, model, prompt_name, prompt_version, evaluation_model, cost_usd, latency_s, confidence
FROM evaluation_results;

INSERT INTO evaluation_results_recent
SELECT
    team_id, timestamp, uuid, evaluation_id, evaluation_name, evaluation_version, runtime, trigger, outcome,
    skip_reason, result_type, numeric_result, categorical_result, substringUTF8(reasoning, 1, 300) AS reasoning,
    target_event_id, trace_id, model, prompt_name, prompt_version, evaluation_model, cost_usd, latency_s,
    JSONExtract(properties, '$ai_evaluation_confidence', 'Nullable(Float64)') AS confidence
FROM evaluation_results
WHERE timestamp >= now() - INTERVAL 31 DAY AND position(properties, '$ai_evaluation_confidence"') > 0;
