"""The loop that all roles share: records, commits, partitions, lag, and the Kafka clients."""

from __future__ import annotations

from typing import Literal

from processor.metric_catalogue.definition import SECONDS, MetricDefinition

CounterName = Literal[
    "gavel_records_consumed",
    "gavel_bytes_consumed",
    "gavel_dead_letters",
    "gavel_commits",
    "gavel_transactions_aborted",
    "gavel_rebalances",
    "gavel_lost_records",
    "gavel_lost_ranges",
    "gavel_stalls",
    "gavel_kafka_errors",
]
GaugeName = Literal[
    "gavel_records_in_flight",
    "gavel_bytes_in_flight",
    "gavel_partitions_assigned",
    "gavel_partitions_paused",
    "gavel_consumer_lag",
    "gavel_parked_records",
    "gavel_kafka_queue_messages",
    "gavel_kafka_queue_bytes",
    "gavel_kafka_broker_seconds",
    "gavel_kafka_brokers_up",
]
AgeName = Literal[
    "gavel_lag_seconds",
    "gavel_parked_oldest_seconds",
]
HistogramName = Literal[
    "gavel_batch_seconds",
    "gavel_commit_seconds",
]

METRICS: dict[CounterName | GaugeName | AgeName | HistogramName, MetricDefinition] = {
    "gavel_records_consumed": MetricDefinition(
        "counter",
        "Kafka records read; a record that waits for its time counts once, when its time has come. If it stays at "
        "0 while events are produced, compare the topic names and look at gavel_partitions_assigned",
        ("role", "topic"),
    ),
    "gavel_bytes_consumed": MetricDefinition(
        "counter",
        "Bytes of the values of the records read. If it grows, size memory and network by it",
        ("role", "topic"),
    ),
    "gavel_dead_letters": MetricDefinition(
        "counter",
        "Records sent to the dead letters. If it grows, see `gavel dlq list`, mend the cause, and redrive",
        ("role", "reason"),
    ),
    "gavel_batch_seconds": MetricDefinition(
        "histogram",
        "Seconds to work through one batch. If it grows, find slow Hog code by gavel_hog_seconds or lower "
        "matcher.batch_size",
        ("role",),
        SECONDS,
    ),
    "gavel_commit_seconds": MetricDefinition(
        "histogram",
        "Seconds to produce a batch's outputs and commit its offsets. If it nears "
        "kafka.transaction_timeout_s, lower the batch size",
        ("role",),
        SECONDS,
    ),
    "gavel_commits": MetricDefinition(
        "counter",
        "Commits of offsets with their results. If it stands still while lag grows, look at the log and the broker",
        ("role",),
    ),
    "gavel_transactions_aborted": MetricDefinition(
        "counter",
        "Transactions aborted and repeated. If it keeps growing, look for a broker that restarts or a group "
        "that rebalances",
        ("role",),
    ),
    "gavel_rebalances": MetricDefinition(
        "counter",
        "Rebalances by kind. If it keeps growing, look for processes that restart, or batches longer than "
        "kafka.max_poll_interval_s",
        ("role", "kind"),
    ),
    "gavel_records_in_flight": MetricDefinition(
        "gauge",
        "Records read, not committed. If it stays at max_in_flight_records, the role pauses; see gavel_commit_seconds",
        ("role",),
        merge="sum",
    ),
    "gavel_bytes_in_flight": MetricDefinition(
        "gauge",
        "Bytes read and not committed. If it stays at max_in_flight_bytes, the role pauses: look for slow commits",
        ("role",),
        merge="sum",
    ),
    "gavel_partitions_assigned": MetricDefinition(
        "gauge",
        "Partitions assigned to this process. If it is 0 for all processes of a role, the role does no work: "
        "look at the broker",
        ("role",),
        merge="sum",
    ),
    "gavel_partitions_paused": MetricDefinition(
        "gauge",
        "Partitions paused, for any reason. If it stays high, look at gavel_records_in_flight and gavel_sink_blocked",
        ("role",),
        merge="sum",
    ),
    "gavel_consumer_lag": MetricDefinition(
        "gauge",
        "Records between the offset that the group has committed and the end of a partition; 0 at rest. Runs that wait "
        "on purpose are not in it (gavel_parked_records). If it grows, start more processes of the role",
        ("role", "topic", "partition"),
        merge="greatest",
    ),
    "gavel_lag_seconds": MetricDefinition(
        "age",
        "Age of the next record that the group will commit; 0 at rest, and time that a parked run waits on purpose is "
        "not in it. If it grows, start more processes of the role, or look at gavel_commits and gavel_sink_blocked",
        ("role", "topic", "partition"),
        merge="greatest",
    ),
    "gavel_parked_records": MetricDefinition(
        "gauge",
        "Judge runs that wait on the parked topic for a time that has not come. If it grows, a provider fails: look at "
        "gavel_judge_calls by outcome and at gavel_judge_breakers_open",
        ("topic", "partition"),
        merge="greatest",
    ),
    "gavel_parked_oldest_seconds": MetricDefinition(
        "age",
        "Time since the oldest waiting judge run was first parked. Near judge.park_limit_s it becomes a dead letter: "
        "if it grows, mend the key or the provider that gavel_judge_calls shows as failing",
        ("topic", "partition"),
        merge="greatest",
    ),
    "gavel_lost_records": MetricDefinition(
        "counter",
        "Records that the broker removed before the role read them. If it grows, look for `range_lost` in the log, "
        "replay the range from ClickHouse, and raise the topic's retention or start more processes",
        ("role", "topic"),
    ),
    "gavel_lost_ranges": MetricDefinition(
        "counter",
        "Ranges of records that the broker removed before the role read them. If it grows, see gavel_lost_records",
        ("role", "topic"),
    ),
    "gavel_stalls": MetricDefinition(
        "counter",
        "Times that a partition stood still with work pending, and the process ended itself. If it grows, "
        "look for `stalled` in the log: the stacks of all threads stand behind it",
        ("role",),
    ),
    "gavel_kafka_queue_messages": MetricDefinition(
        "gauge",
        "Messages in a client's queues, by librdkafka. If a producer's grows, the brokers are slow to acknowledge",
        ("role", "client"),
        merge="sum",
    ),
    "gavel_kafka_queue_bytes": MetricDefinition(
        "gauge",
        "Bytes in a client's queues, by librdkafka. If it grows, see the messages",
        ("role", "client"),
        merge="sum",
    ),
    "gavel_kafka_broker_seconds": MetricDefinition(
        "gauge",
        "Mean round trip to the slowest broker in the last 5 s, by librdkafka. If it grows, look at that broker",
        ("role", "client"),
        merge="greatest",
    ),
    "gavel_kafka_brokers_up": MetricDefinition(
        "gauge",
        "Brokers that a client is connected to, by librdkafka. If it is 0, the role cannot work: look at the brokers",
        ("role", "client"),
        merge="least",
    ),
    "gavel_kafka_errors": MetricDefinition(
        "counter",
        "Requests of a client that failed or timed out, by librdkafka. If it grows, look at brokers and network",
        ("role", "client", "kind"),
    ),
}
