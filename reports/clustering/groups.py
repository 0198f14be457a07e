"""Groups of vectors: HDBSCAN, which finds their number itself and leaves outliers alone, otherwise k-means."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

from quality.extra import needs_extra

if TYPE_CHECKING:
    from reports.clustering.vectors import Matrix

Method = Literal["auto", "hdbscan", "kmeans"]

NOISE = -1
"""The group of outliers."""
LEAST_SIZE = 5
"""Least vectors of a group of HDBSCAN, in small samples; one in two hundred in large ones."""
_MOST_GROUPS = 30
_TOO_NOISY = 0.5
_SCORED = 2_000
_ALIKE = 1e-6


def grouped(vectors: Matrix, method: Method) -> tuple[list[int], Literal["hdbscan", "kmeans"]]:
    """Return the group of each vector, from 0 on, with `NOISE` for outliers, and the method that found them.

    `auto` takes k-means where HDBSCAN finds fewer than two groups or calls more than half of the vectors outliers.
    Vectors that are all alike are one group. The same vectors give the same groups.

    Raises:
        ExtraMissing: scikit-learn is not installed.
    """
    if len(vectors) < 2 * LEAST_SIZE or _alike(vectors):
        return [0] * len(vectors), "kmeans" if method == "kmeans" else "hdbscan"
    if method != "kmeans":
        found = _hdbscan(vectors)
        noise = sum(group == NOISE for group in found) / len(found)
        if method == "hdbscan" or (len(set(found) - {NOISE}) >= 2 and noise <= _TOO_NOISY):
            return found, "hdbscan"
    return _kmeans(vectors), "kmeans"


def _alike(vectors: Matrix) -> bool:
    import numpy as np

    return bool(np.ptp(vectors, axis=0).max() < _ALIKE)


def _hdbscan(vectors: Matrix) -> list[int]:
    with needs_extra():
        from sklearn.cluster import HDBSCAN
    least = max(LEAST_SIZE, len(vectors) // 200)
    # The tree needs memory in proportion to the vectors; a matrix of all distances would need its square.
    model = HDBSCAN(min_cluster_size=least, min_samples=LEAST_SIZE, algorithm="kd_tree", copy=True)
    found: Sequence[int] = model.fit_predict(vectors)
    return [int(group) for group in found]


def _kmeans(vectors: Matrix) -> list[int]:
    """Return the groups of the number, of a few, that has the best silhouette on a sample."""
    with needs_extra():
        from sklearn.cluster import KMeans
        from sklearn.metrics import silhouette_score
    most = min(_MOST_GROUPS, len(vectors) // LEAST_SIZE, _distinct(vectors))
    best: tuple[float, list[int]] = (-2.0, [0] * len(vectors))
    for number in (n for n in (2, 3, 4, 5, 6, 8, 10, 12, 15, 20, 25, 30) if n <= most):
        found = KMeans(number, n_init=3, random_state=0).fit_predict(vectors)
        if len(set(found.tolist())) < 2:
            continue
        score = float(silhouette_score(vectors, found, sample_size=min(_SCORED, len(vectors)), random_state=0))
        if score > best[0]:
            best = (score, [int(group) for group in found])
    return best[1]


def _distinct(vectors: Matrix) -> int:
    import numpy as np

    return len(np.unique(vectors.round(6), axis=0))
