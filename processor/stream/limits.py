"""The bounds of a stage, and the errors that end it."""

from __future__ import annotations

from dataclasses import dataclass


class StageError(RuntimeError):
    """The stage cannot go on; the process ends without a commit and is restarted."""


class GroupProtocolUnsupported(StageError):
    """The broker does not have the consumer groups of KIP-848. Nothing was read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class StageLimits:
    """How much a stage reads, and for how long it waits.

    Attributes:
        batch_records: records per poll at the most.
        poll_s: how long a poll waits for a record.
        commit_interval_s: between commits at the most, while batches are full. A crash repeats this work and that of
            the commit in progress. While batches are not full, a commit begins as soon as the last one has ended.
        max_records, max_bytes: the most records and bytes in flight. A stage that reaches either bound pauses its
            partitions until half of it is left.
        commit_timeout_s: for one commit with all its retries.
        drain_s: of a revoke or a shutdown.
        rejoin_s: within which the group must have taken back a member that lost its partitions.
    """

    batch_records: int = 2000
    poll_s: float = 0.1
    commit_interval_s: float = 0.25
    max_records: int = 50_000
    max_bytes: int = 256 * 1024 * 1024
    commit_timeout_s: float = 90.0
    drain_s: float = 20.0
    rejoin_s: float = 120.0
