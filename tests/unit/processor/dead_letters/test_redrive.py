"""The letters of one transaction fit into it and into memory."""

from __future__ import annotations

from processor.dead_letters.redrive import _TOGETHER_BYTES, _batches
from processor.dead_letters.stored import LetterRef


def sizes(*sizes_bytes: int) -> list[int]:
    refs = [LetterRef(0, offset, 0, size, "decode") for offset, size in enumerate(sizes_bytes)]
    batches = list(_batches(refs))
    assert [ref for batch in batches for ref in batch] == refs
    return [len(batch) for batch in batches]


def test_a_batch_has_at_most_500_letters() -> None:
    assert sizes() == []
    assert sizes(*[10] * 1200) == [500, 500, 200]


def test_a_batch_holds_little_in_memory_and_a_larger_letter_is_alone() -> None:
    half = _TOGETHER_BYTES // 2
    assert sizes(half, half, half, 2 * _TOGETHER_BYTES, 1) == [2, 1, 1, 1]
