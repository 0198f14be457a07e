"""Vectors from an OpenAI-compatible embeddings endpoint, which may answer anything."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from math import isfinite
from typing import TYPE_CHECKING, Any

from evaluators.llm_judge.failures import TRANSIENT, ProviderFailure
from evaluators.llm_judge.providers import Endpoint

if TYPE_CHECKING:
    from reports.clustering.vectors import Matrix

BATCH = 64
"""Texts of one request."""
MAX_CHARS = 2_000
"""Characters of a text that are sent."""
_MOST_DIMENSIONS = 8_192
MOST_REPLY_BYTES = BATCH * _MOST_DIMENSIONS * 32
"""Bytes of an answer: a number takes at most 24 characters in its longest usual form, and the rest is room."""
_ATTEMPTS = 3
_WAIT_S = 1.0

Embed = Callable[[Endpoint, str, Sequence[str]], Awaitable[bytes]]
"""Sends texts to an endpoint and a model, and returns the body of the answer; raises `ProviderFailure`."""


class EmbeddingFailed(RuntimeError):
    """The endpoint gave no usable vectors; the text says why and holds nothing of the texts."""


async def embedded(embed: Embed, endpoint: Endpoint, model: str, texts: Sequence[str], *, deadline_s: float) -> Matrix:
    """Return one vector per text.

    Raises:
        EmbeddingFailed: the endpoint refuses, or did not give usable vectors within three attempts and `deadline_s`.
    """
    import numpy as np

    vectors: list[list[float]] = []
    try:
        async with asyncio.timeout(deadline_s):
            for first in range(0, len(texts), BATCH):
                part = [text[:MAX_CHARS] or " " for text in texts[first : first + BATCH]]
                vectors += await _batch(embed, endpoint, model, part, len(vectors[0]) if vectors else None)
    except TimeoutError as error:
        raise EmbeddingFailed(f"the embeddings were not complete within {deadline_s:g} s") from error
    return np.array(vectors, dtype=np.float64)


async def _batch(
    embed: Embed, endpoint: Endpoint, model: str, texts: Sequence[str], dimensions: int | None
) -> list[list[float]]:
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return read_vectors(await embed(endpoint, model, texts), len(texts), dimensions)
        except ProviderFailure as failure:
            if failure.kind not in TRANSIENT or attempt == _ATTEMPTS:
                raise EmbeddingFailed(f"the endpoint failed: {failure.detail}") from failure
        except EmbeddingFailed:
            if attempt == _ATTEMPTS:
                raise
        await asyncio.sleep(_WAIT_S * 2 ** (attempt - 1))
    raise AssertionError  # the last attempt returns or raises


def read_vectors(body: bytes, count: int, dimensions: int | None) -> list[list[float]]:
    """Return the vectors of an answer in the order of the texts.

    Args:
        dimensions: of the vectors before; None if there are none.

    Raises:
        EmbeddingFailed: it is not `count` vectors of finite numbers and equal length.
    """
    try:
        data = json.loads(body)["data"]
        rows = {int(row["index"]): row["embedding"] for row in data}
    except (ValueError, TypeError, KeyError, OverflowError, RecursionError) as error:
        raise EmbeddingFailed("the answer is not a list of embeddings") from error
    if sorted(rows) != list(range(count)) or len(data) != count:
        raise EmbeddingFailed(f"the answer has {len(data)} embeddings for {count} texts")
    vectors = [_vector(rows[place]) for place in range(count)]
    lengths = {len(vector) for vector in vectors} | ({dimensions} if dimensions else set())
    if len(lengths) > 1:
        raise EmbeddingFailed("the embeddings have different lengths")
    return vectors


def _vector(values: Any) -> list[float]:
    if not isinstance(values, list) or not 0 < len(values) <= _MOST_DIMENSIONS:
        raise EmbeddingFailed(f"an embedding is not a list of 1 to {_MOST_DIMENSIONS} numbers")
    if not all(isinstance(value, int | float) and not isinstance(value, bool) for value in values):
        raise EmbeddingFailed("an embedding holds something that is not a number")
    try:
        vector = [float(value) for value in values]
    except OverflowError:
        vector = [float("inf")]
    if not all(isfinite(value) and abs(value) < 1e6 for value in vector):
        raise EmbeddingFailed("an embedding holds a number that is not finite, or too large")
    return vector
