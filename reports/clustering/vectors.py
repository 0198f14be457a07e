"""Vectors of texts without a model: TF-IDF, brought down to a few dimensions by SVD (latent semantic analysis)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from quality.extra import needs_extra
from reports.clustering.text import topic_words

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Matrix: TypeAlias = "NDArray[np.float64]"
"""Vectors, a row each."""

DIMENSIONS = 50
_MOST_WORDS = 20_000


def lsa_vectors(texts: Sequence[str]) -> Matrix:
    """Return one vector of length 1 per text, or of zeros for a text without words. The same texts give the same ones.

    Raises:
        ExtraMissing: scikit-learn is not installed.
    """
    with needs_extra():
        import numpy as np
        from sklearn.feature_extraction.text import TfidfVectorizer
    weighted = None
    for rarest in (2, 1):  # words of one text alone tell little, but they are better than none
        vectorizer = TfidfVectorizer(
            analyzer=topic_words, min_df=rarest, max_features=_MOST_WORDS, sublinear_tf=True, dtype=np.float32
        )
        try:
            weighted = vectorizer.fit_transform(texts)
        except ValueError:  # no word is left
            continue
        if weighted.getnnz(axis=1).all():
            break
    if weighted is None or min(weighted.shape) < 2:
        return np.zeros((len(texts), 1)) if weighted is None else unit(weighted.toarray())
    return unit(_main_parts(weighted))


def _main_parts(matrix: Any) -> Matrix:
    """Return the rows in the space of the largest singular values, of which there are at most `DIMENSIONS`."""
    from sklearn.utils.extmath import randomized_svd

    left, values, _ = randomized_svd(matrix, min(DIMENSIONS, min(matrix.shape) - 1), random_state=0)
    return cast("Matrix", left * values)


def unit(vectors: Matrix) -> Matrix:
    """Return the vectors with length 1; those of zeros stay."""
    import numpy as np

    wide = np.asarray(vectors, dtype=np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return np.asarray(wide / np.where(lengths > 0, lengths, 1.0))


def plane(vectors: Matrix) -> Matrix:
    """Return a position in the plane per vector, each coordinate from -1 to 1: the first two principal components."""
    import numpy as np

    centred = vectors - vectors.mean(axis=0)
    flat = np.zeros((len(vectors), 2))
    if len(vectors) > 1 and centred.any():
        _, _, axes = np.linalg.svd(centred.T @ centred)
        shown = centred @ axes[:2].T
        flat[:, : shown.shape[1]] = shown
    low, high = flat.min(axis=0), flat.max(axis=0)
    reach = (high - low) / 2
    return np.asarray((flat - (low + high) / 2) / np.where(reach > 0, reach, 1.0))


def reduced(vectors: Matrix) -> Matrix:
    """Return embeddings in as few dimensions as `lsa_vectors` has, of length 1."""
    return unit(vectors) if min(vectors.shape) <= DIMENSIONS else unit(_main_parts(unit(vectors)))
