"""From items and vectors to clusters, as they are stored, emitted and drawn."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from reports.clustering.groups import NOISE, Method, grouped
from reports.clustering.identity import stable_numbers
from reports.clustering.naming import description_of, title_of, top_terms
from reports.clustering.text import Item, distinct
from reports.clustering.vectors import Matrix, plane

if TYPE_CHECKING:
    from numpy.typing import NDArray

_DIGITS = 5


@dataclass(frozen=True, slots=True)
class Member:
    """An item of a cluster: its distance from the centroid, its rank by it from 0 on, and its place in the plane."""

    item: Item
    distance: float
    rank: int
    x: float
    y: float


@dataclass(frozen=True, slots=True)
class Cluster:
    """One cluster; `number` is -1 for the outliers, and else stays the same from run to run.

    Attributes:
        members: the nearest to the centroid first.
        terms: words that tell it from the others.
    """

    number: int
    title: str
    description: str
    terms: list[str]
    members: list[Member]
    centroid: list[float]
    x: float
    y: float

    @property
    def size(self) -> int:
        """How many items it has."""
        return len(self.members)


@dataclass(frozen=True, slots=True)
class Clustered:
    """The outcome of a run: its clusters, the largest first and outliers last, and the method that found them."""

    clusters: list[Cluster]
    method: str
    next_number: int


def cluster_items(
    items: Sequence[Item],
    vectors: Matrix,
    method: Method,
    *,
    before: Mapping[int, Sequence[str]],
    next_number: int,
) -> Clustered:
    """Return the clusters of `items`.

    Args:
        vectors: one per distinct text, in the order of `distinct(items)`.
        before: item ids by number of the run before, without outliers.
        next_number: the smallest number that no run of the job has used.

    Raises:
        ExtraMissing: scikit-learn is not installed.
    """
    if not items:
        return Clustered([], "hdbscan" if method == "auto" else method, next_number)
    places = list(distinct(items).values())
    groups, used = grouped(vectors, method)
    flat = plane(vectors)
    by_group: dict[int, list[int]] = {}
    for at, group in enumerate(groups):
        by_group.setdefault(group, []).append(at)
    ids = {
        group: [items[place].id for at in rows for place in places[at]]
        for group, rows in by_group.items()
        if group != NOISE
    }
    numbers, following = stable_numbers(before, ids, next_number)
    numbers[NOISE] = NOISE
    terms = top_terms({group: [items[places[at][0]].text for at in rows] for group, rows in by_group.items()})
    clusters = [
        _cluster(numbers[group], terms[group], items, places, rows, vectors, flat) for group, rows in by_group.items()
    ]
    clusters.sort(key=lambda cluster: (cluster.number == NOISE, -cluster.size, cluster.number))
    return Clustered(clusters, used, following)


def _cluster(
    number: int,
    terms: list[str],
    items: Sequence[Item],
    places: Sequence[Sequence[int]],
    rows: Sequence[int],
    vectors: Matrix,
    flat: Matrix,
) -> Cluster:
    import numpy as np

    weights = np.array([len(places[at]) for at in rows], dtype=np.float64)
    own: NDArray[np.float64] = vectors[list(rows)]
    centroid = np.average(own, axis=0, weights=weights)
    distances = np.linalg.norm(own - centroid, axis=1)
    order = np.lexsort((np.array(rows), distances))
    members: list[Member] = []
    for index in order:
        at = rows[int(index)]
        for place in places[at]:
            members.append(
                Member(
                    items[place],
                    round(float(distances[index]), _DIGITS),
                    len(members),
                    round(float(flat[at, 0]), _DIGITS),
                    round(float(flat[at, 1]), _DIGITS),
                )
            )
    middle = np.average(flat[list(rows)], axis=0, weights=weights)
    outliers = number == NOISE
    return Cluster(
        number,
        "Outliers" if outliers else title_of(terms),
        f"{len(members)} items that fit no cluster." if outliers else description_of(terms, len(members)),
        terms,
        members,
        [round(float(value), _DIGITS) for value in centroid],
        round(float(middle[0]), _DIGITS),
        round(float(middle[1]), _DIGITS),
    )


def as_json(cluster: Cluster) -> dict[str, Any]:
    """Return a cluster as it is stored and emitted. Members carry their ids, and no text."""
    return {
        "cluster_id": cluster.number,
        "size": cluster.size,
        "title": cluster.title,
        "description": cluster.description,
        "terms": cluster.terms,
        "centroid": cluster.centroid,
        "centroid_x": cluster.x,
        "centroid_y": cluster.y,
        "members": [
            {
                "id": member.item.id,
                "trace_id": member.item.trace_id,
                "distance_to_centroid": member.distance,
                "rank": member.rank,
                "x": member.x,
                "y": member.y,
            }
            for member in cluster.members
        ],
    }
