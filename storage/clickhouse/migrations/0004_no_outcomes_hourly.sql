-- Nothing read the rollup: a pass rule with a limit or options needs the results themselves, which are summarised with
-- FINAL. Every insert paid for it.
DROP VIEW IF EXISTS evaluation_outcomes_hourly_feed;

DROP TABLE IF EXISTS evaluation_outcomes_hourly;
