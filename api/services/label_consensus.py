"""The consensus of stored labels."""

from __future__ import annotations

from collections.abc import Sequence

from quality.consensus import Consensus, NoVote, consensus, vote_of
from storage.sql.labels import Label


def consensus_of(current: Sequence[Label]) -> dict[str, Consensus]:
    """Return the consensus of each target, from the current labels of one question."""
    by_target: dict[str, list[Label]] = {}
    for label in current:
        by_target.setdefault(label.target_event_id, []).append(label)
    return {target: _consensus(labels) for target, labels in by_target.items()}


def _consensus(labels: Sequence[Label]) -> Consensus:
    deciding = [label for label in labels if label.adjudicates]
    decided = vote_of(max(deciding, key=lambda label: label.seq).verdict) if deciding else NoVote.UNSURE
    return consensus([vote_of(label.verdict) for label in labels], decided)
