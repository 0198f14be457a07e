"""Titles of clusters by their words: c-TF-IDF, which weighs a word by how much more a cluster has of it than others.

M. Grootendorst, "BERTopic: neural topic modeling with a class-based TF-IDF procedure", arXiv 2203.05794.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from math import log

from reports.clustering.text import topic_words

TERMS = 8
_IN_TITLE = 3


def top_terms(texts: Mapping[int, Sequence[str]]) -> dict[int, list[str]]:
    """Return the words that tell each cluster from the others, the best first, given the texts of each."""
    counts = {cluster: Counter(word for text in each for word in topic_words(text)) for cluster, each in texts.items()}
    overall: Counter[str] = Counter()
    for each in counts.values():
        overall.update(each)
    average = sum(overall.values()) / len(counts) if counts else 0.0
    terms: dict[int, list[str]] = {}
    for cluster, own in counts.items():
        total = sum(own.values()) or 1
        weight = {word: count / total * log(1 + average / overall[word]) for word, count in own.items()}
        terms[cluster] = sorted(weight, key=lambda word: (-weight[word], word))[:TERMS]
    return terms


def title_of(terms: Sequence[str]) -> str:
    """Return a title of a cluster's best words."""
    return ", ".join(terms[:_IN_TITLE]) or "Texts without words"


def description_of(terms: Sequence[str], size: int) -> str:
    """Return a sentence about a cluster that no model described."""
    if not terms:
        return f"{size} items without words."
    return f"{size} items. Words that are frequent here and rare elsewhere: {', '.join(terms)}."
