"""Clustering of 10 000 items: seconds and peak memory of vectors, groups and names, on real texts that are varied.

    python -m benchmarks.clustering [--items 10000]

The texts are those of `examples/generations`, each cut and mixed with another, so that no two are alike. Nothing is
read from ClickHouse and no model is called.
"""

from __future__ import annotations

import argparse
import json
import random
import resource
import time
from pathlib import Path

from benchmarks.table import markdown
from conditions.row import decode_row
from processor.events.generation import to_generation
from reports.clustering.clusters import as_json, cluster_items
from reports.clustering.items import exchange_text
from reports.clustering.plot import page
from reports.clustering.text import Item, distinct
from reports.clustering.vectors import lsa_vectors

GENERATIONS = Path(__file__).parents[1] / "examples" / "generations"


def texts() -> list[str]:
    """Return the texts of the bundled generations that have any."""
    found = []
    for file in sorted(GENERATIONS.glob("*.jsonl")):
        for line in file.read_bytes().splitlines():
            event = to_generation(decode_row(line))
            text = exchange_text(event, event)
            if len(text.split()) > 10:
                found.append(text)
    return found


def varied(count: int, seed: int = 1) -> list[Item]:
    """Return items with texts of their own: most words of one real text, some of another."""
    rng = random.Random(seed)
    real = texts()
    items = []
    for number in range(count):
        words, other = rng.choice(real).split(), rng.choice(real).split()
        start = rng.randrange(max(1, len(words) // 2))
        mixed = words[start : start + 150] + rng.sample(other, min(len(other), 10))
        items.append(Item(str(number), f"trace-{number}", " ".join([*mixed, str(number)])))
    return items


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clustering", description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=10_000)
    given = parser.parse_args()
    items = varied(given.items)
    began, processor = time.monotonic(), time.process_time()
    vectors = lsa_vectors(list(distinct(items)))
    embedded = time.monotonic()
    found = cluster_items(items, vectors, "auto", before={}, next_number=0)
    grouped = time.monotonic()
    stored = [as_json(cluster) for cluster in found.clusters]
    size = len(json.dumps(stored))
    html = page("Benchmark", {
        "level": "generation", "window_start": "a", "window_end": "b", "items": len(items), "method": found.method,
        "vectors": "tfidf", "notes": [], "clusters": stored,
    })  # fmt: skip
    drawn = time.monotonic()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    rows = [
        ("items", f"{len(items):,}"),
        ("clusters, method", f"{len(found.clusters)}, {found.method}"),
        ("TF-IDF and SVD", f"{embedded - began:.1f} s"),
        ("groups and names", f"{grouped - embedded:.1f} s"),
        ("result and page", f"{drawn - grouped:.1f} s"),
        ("in all", f"{drawn - began:.1f} s"),
        ("in all, time of the processor", f"{time.process_time() - processor:.1f} s"),
        ("result, page", f"{size / 2**20:.1f} MiB, {len(html) / 2**20:.1f} MiB"),
        ("peak memory of the process", f"{peak:.0f} MiB"),
    ]
    print(markdown(("what", "figure"), rows))


if __name__ == "__main__":
    main()
