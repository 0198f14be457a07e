"""Texts of different topics fall into clusters that keep their numbers from run to run; odd samples do not break it."""

from __future__ import annotations

import random

import numpy as np
import pytest

from reports.clustering.clusters import as_json, cluster_items
from reports.clustering.groups import LEAST_SIZE, NOISE, Method, grouped
from reports.clustering.identity import stable_numbers
from reports.clustering.naming import title_of, top_terms
from reports.clustering.text import MAX_CHARS, Item, clean, distinct, topic_words, words
from reports.clustering.vectors import lsa_vectors, plane, reduced
from tests.hostile.growth import assert_linear

TOPICS = {
    "refund": "refund order return money card charged delivery parcel invoice",
    "python": "python function error traceback list import module class decorator",
    "travel": "flight hotel booking airport luggage ticket paris tokyo train",
}


def sample(count: int, *, seed: int = 1, topics: dict[str, str] = TOPICS) -> list[Item]:
    rng = random.Random(seed)
    items = []
    for number in range(count):
        name = list(topics)[number % len(topics)]
        said = rng.choices(topics[name].split(), k=12)
        items.append(Item(f"{name}-{number}", f"t{number}", f"please help me {' '.join(said)} number {number}"))
    return items


def clustered(items: list[Item], method: Method = "auto", **options: object):
    given = {"before": {}, "next_number": 0} | options
    return cluster_items(items, lsa_vectors(list(distinct(items)) or [""]), method, **given)


@pytest.mark.parametrize("method", ["auto", "hdbscan", "kmeans"])
def test_topics_become_clusters_with_their_words_as_titles(method: Method) -> None:
    found = clustered(sample(150), method)
    real = [cluster for cluster in found.clusters if cluster.number != NOISE]
    assert len(real) == 3
    for cluster in real:
        names = {member.item.id.partition("-")[0] for member in cluster.members}
        assert len(names) == 1
        assert set(cluster.title.split(", ")) <= set(TOPICS[names.pop()].split())
        assert [member.rank for member in cluster.members] == list(range(cluster.size))
        distances = [member.distance for member in cluster.members]
        assert distances == sorted(distances)
    assert sum(cluster.size for cluster in found.clusters) == 150
    assert found.next_number == 3


def test_the_same_items_give_the_same_clusters() -> None:
    first, second = clustered(sample(90)), clustered(sample(90))
    assert [as_json(cluster) for cluster in first.clusters] == [as_json(cluster) for cluster in second.clusters]


def test_numbers_stay_between_runs_and_a_new_topic_gets_a_new_one() -> None:
    before = clustered(sample(150))
    members = {each.number: [member.item.id for member in each.members] for each in before.clusters if each.number >= 0}
    topics = {"weather": "rain snow storm cloud forecast wind celsius humidity", **TOPICS}
    more = [*sample(150)[30:], *sample(200, topics=topics)[0::4]]
    after = clustered(more, before=members, next_number=before.next_number)
    by_topic = {
        frozenset(member.item.id.partition("-")[0] for member in cluster.members): cluster.number
        for cluster in after.clusters
        if cluster.number >= 0
    }
    old = {
        frozenset(member.item.id.partition("-")[0] for member in cluster.members): cluster.number
        for cluster in before.clusters
        if cluster.number >= 0
    }
    for topic, number in old.items():
        assert by_topic[topic] == number
    assert by_topic[frozenset({"weather"})] == 3
    assert after.next_number == 4


def test_a_number_is_never_given_to_a_cluster_that_shares_too_little() -> None:
    numbers, following = stable_numbers({5: ["a", "b", "c", "d"]}, {0: ["a", "x"], 1: ["b", "c", "d"]}, 9)
    assert numbers == {1: 5, 0: 9}
    assert following == 10
    assert stable_numbers({5: ["a"]}, {0: ["z"]}, 9) == ({0: 9}, 10)
    assert stable_numbers({}, {0: ["z"], 1: ["y", "x"]}, 0) == ({1: 0, 0: 1}, 2)


def test_items_that_one_run_alone_sampled_do_not_count_against_a_match() -> None:
    old = {3: [f"both-{n}" for n in range(4)] + [f"old-{n}" for n in range(50)]}
    new = {0: [f"both-{n}" for n in range(4)] + [f"new-{n}" for n in range(50)]}
    assert stable_numbers(old, new, 7)[0] == {0: 3}


@pytest.mark.parametrize("count", [0, 1, 2, 5, 9, 11])
def test_samples_too_small_for_groups_are_one_cluster(count: int) -> None:
    found = clustered(sample(count))
    assert sum(cluster.size for cluster in found.clusters) == count
    if 0 < count < 2 * LEAST_SIZE:
        assert len(found.clusters) == 1


@pytest.mark.parametrize("text", ["the judge says no", "", "!!! ??? 123", "的"])
def test_many_items_with_one_text_are_one_cluster(text: str) -> None:
    """A million results with one reasoning cost what one text costs."""
    items = [Item(str(number), "", text) for number in range(10_000)]
    (cluster,) = clustered(items).clusters
    assert cluster.size == 10_000
    assert (cluster.members[0].x, cluster.members[0].y) == (0.0, 0.0)


def test_vectors_that_are_all_alike_or_nearly_so_are_one_group() -> None:
    assert set(grouped(np.zeros((50, 3)), "auto")[0]) == {0}
    assert set(grouped(np.ones((50, 3)), "kmeans")[0]) == {0}
    two = np.array([[0.0, 1.0], [1.0, 0.0]] * 50)
    for method in ("auto", "hdbscan", "kmeans"):
        groups, _ = grouped(two, method)
        assert len(set(groups)) == 2


def test_scattered_vectors_are_given_to_k_means_by_auto() -> None:
    scattered = np.random.default_rng(1).standard_normal((200, 20))
    groups, used = grouped(scattered, "auto")
    assert used == "kmeans"
    assert NOISE not in groups
    assert grouped(scattered, "hdbscan")[1] == "hdbscan"


def test_the_plane_is_within_its_bounds() -> None:
    for vectors in (np.random.default_rng(1).standard_normal((40, 7)), np.ones((5, 3)), np.array([[1.0], [2.0]])):
        flat = plane(vectors)
        assert flat.shape == (len(vectors), 2)
        assert np.abs(flat).max() <= 1.0
        assert np.isfinite(flat).all()


def test_wide_embeddings_are_reduced() -> None:
    wide = np.random.default_rng(1).standard_normal((80, 1_536))
    assert reduced(wide).shape == (80, 50)
    assert np.linalg.norm(reduced(wide), axis=1) == pytest.approx(1.0)


def test_text_is_clean_bounded_and_read_in_linear_time() -> None:
    hostile = "<script>alert(1)</script>\u202e\u2066\x00\x1b[31m\ud800 refund\u200b"
    assert clean(hostile) == "<script>alert(1)</script>[31m refund"
    for piece in ("a", "a ", "\u202e", "名", "é\u0301"):
        short = clean(piece * 500_000)
        assert len(short) <= MAX_CHARS + 3
        assert len(words(short)) <= 1_040
        assert_linear(
            lambda text: words(clean(text, len(text))), lambda count, piece=piece: piece * count, 20_000, piece
        )
    assert topic_words("The refund of my order #12, s'il vous plaît") == ["refund", "order", "il", "vous", "plaît"]
    assert words("返品したい") == ["返品", "品し", "した", "たい"]


def test_terms_name_what_is_frequent_here_and_rare_elsewhere() -> None:
    terms = top_terms({0: ["common apple apple"], 1: ["common pear"], 2: []})
    assert (terms[0][0], terms[1][0], terms[2]) == ("apple", "pear", [])
    assert title_of([]) == "Texts without words"
