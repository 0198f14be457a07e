"""Endpoints that embed and models that name clusters may answer anything."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Mapping, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import pytest

from config.settings import Settings
from config.settings.sections import Judge
from evaluators.llm_judge.caller import Completion
from evaluators.llm_judge.failures import ProviderFailure
from evaluators.llm_judge.providers import Endpoint, make_endpoint
from reports.clustering import embeddings
from reports.clustering.clusters import Cluster, cluster_items
from reports.clustering.embeddings import BATCH, EmbeddingFailed, embedded, read_vectors
from reports.clustering.labels import labelled, read_labels
from reports.clustering.run import ClusteringWork
from reports.clustering.text import distinct
from reports.clustering.vectors import lsa_vectors
from tests.unit.reports.clustering.test_clusters import sample

ENDPOINT = Endpoint(provider="custom", api_key="k", base_url="http://127.0.0.1:1")


@pytest.fixture(autouse=True)
def _no_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "_WAIT_S", 0.0)


def body(*vectors: Any) -> bytes:
    return json.dumps({"data": [{"index": n, "embedding": each} for n, each in enumerate(vectors)]}).encode()


class Answers:
    """An endpoint that gives these answers one after the other, the last one for ever."""

    def __init__(self, *answers: bytes | Exception) -> None:
        self.answers = list(answers)
        self.asked: list[int] = []

    async def __call__(self, endpoint: Endpoint, model: str, texts: Sequence[str]) -> bytes:
        self.asked.append(len(texts))
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def run(answers: Any, texts: list[str], deadline_s: float = 20.0) -> Any:
    return asyncio.run(embedded(answers, ENDPOINT, "m", texts, deadline_s=deadline_s))


def test_texts_are_sent_in_batches_and_come_back_in_order() -> None:
    async def echo(endpoint: Endpoint, model: str, texts: Sequence[str]) -> bytes:
        data = [{"index": n, "embedding": [float(text), 1.0]} for n, text in enumerate(texts)]
        return json.dumps({"data": data[::-1]}).encode()

    texts = [str(number) for number in range(2 * BATCH + 3)]
    assert run(echo, texts).tolist() == [[float(text), 1.0] for text in texts]


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"null",
        b"[" * 100_000,
        b'{"data": null}',
        b'{"data": [1]}',
        body([1.0]),
        body([1.0], [1.0], [1.0]),
        body([1.0, 2.0], [1.0]),
        body([], []),
        body([1.0], [float("nan")]),
        body([1.0], [float("inf")]),
        body([1.0], [10**400]),
        body([1.0], [1e300]),
        body([1.0], ["1"]),
        body([1.0], [True]),
        body([1.0], None),
        body([1.0], [0.0] * 10_000),
        json.dumps({"data": [{"index": 0, "embedding": [1.0]}] * 2}).encode(),
        b'{"data": [{"index": Infinity, "embedding": [1.0]}, {"index": 0, "embedding": [1.0]}]}',
    ],
)
def test_an_answer_that_is_not_one_finite_vector_per_text_is_refused_after_three_attempts(answer: bytes) -> None:
    answers = Answers(answer)
    with pytest.raises(EmbeddingFailed):
        run(answers, ["a", "b"])
    assert answers.asked == [2, 2, 2]


def test_vectors_of_thousands_of_numbers_fit_whatever_the_limit_of_a_judges_reply_is() -> None:
    """A model of 4,096 dimensions gives more than 4 MiB for a request, and was taken for an endpoint that is away."""
    answer = body(*[[-0.012345678901234567] * 4_096] * BATCH)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: Any) -> None:
            pass

    work = ClusteringWork.__new__(ClusteringWork)
    work._settings = Settings(judge=Judge(max_reply_bytes=65_536, allowed_hosts=("127.0.0.1",)))
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = make_endpoint("custom", "k", base_url=f"http://127.0.0.1:{server.server_port}/v1")
        found = asyncio.run(work._embedded(endpoint, "m", ["text"] * BATCH))
        server.shutdown()
    assert found.shape == (BATCH, 4_096)


def test_a_failure_that_passes_is_tried_again_and_another_is_not() -> None:
    passing = Answers(ProviderFailure("unavailable", "500"), b"junk", body([1.0, 0.0]))
    assert run(passing, ["a"]).tolist() == [[1.0, 0.0]]
    lasting = Answers(ProviderFailure("unauthorized", "401"))
    with pytest.raises(EmbeddingFailed, match="401"):
        run(lasting, ["a"])
    assert lasting.asked == [1]


def test_a_batch_with_other_dimensions_than_the_first_is_refused() -> None:
    first = body(*([[1.0, 2.0]] * BATCH))
    with pytest.raises(EmbeddingFailed, match="different lengths"):
        run(Answers(first, body([1.0])), ["a"] * (BATCH + 1))
    assert read_vectors(body([1, 2.5]), 1, 2) == [[1.0, 2.5]]


def test_an_endpoint_that_hangs_is_given_up() -> None:
    async def hang(endpoint: Endpoint, model: str, texts: Sequence[str]) -> bytes:
        await asyncio.sleep(60)
        return b""

    with pytest.raises(EmbeddingFailed, match=r"within 0\.05 s"):
        run(hang, ["a"], deadline_s=0.05)


def clusters() -> list[Cluster]:
    items = sample(90)
    return cluster_items(items, lsa_vectors(list(distinct(items))), "auto", before={}, next_number=0).clusters


def named(answer: str | Exception) -> tuple[list[Cluster], str, list[Mapping[str, Any]]]:
    asked: list[Mapping[str, Any]] = []

    async def complete(endpoint: Endpoint, payload: Mapping[str, Any]) -> Completion:
        asked.append(payload)
        if isinstance(answer, Exception):
            raise answer
        return Completion(answer, False, False, "m", 1, 1)

    found, problem = asyncio.run(labelled(clusters(), complete, ENDPOINT, "m"))
    return found, problem, asked


def test_a_model_names_clusters_in_one_call() -> None:
    labels = [{"id": n, "title": f"Topic {n}", "description": f"About {n}."} for n in range(3)]
    found, problem, asked = named(f"```json\n{json.dumps({'clusters': labels})}\n```")
    assert (problem, len(asked)) == ("", 1)
    assert {cluster.number: (cluster.title, cluster.description) for cluster in found if cluster.number >= 0} == {
        n: (f"Topic {n}", f"About {n}.") for n in range(3)
    }


@pytest.mark.parametrize(
    "answer", ["", "no JSON", "{", '{"clusters": 3}', "[" * 100_000, '{"clusters": [{"id": "0", "title": 1}, null]}']
)
def test_a_cluster_that_the_model_does_not_name_keeps_its_words(answer: str) -> None:
    found, problem, _ = named(answer)
    assert [cluster.title for cluster in found] == [cluster.title for cluster in clusters()]
    assert problem == "the model named 0 of 3 clusters"
    found, problem, _ = named(ProviderFailure("quota", "no money"))
    assert "no money" in problem


def test_what_a_model_says_is_clean_and_short() -> None:
    labels = read_labels(json.dumps({"clusters": [{"id": 0, "title": "\u202e" + "x" * 10_000, "description": 7}]}))
    assert labels == {0: ("x" * 80, "")}


def test_vectors_of_an_endpoint_group_like_any_others() -> None:
    rng = np.random.default_rng(1)
    items = sample(60)
    vectors = np.repeat(np.eye(3), 20, axis=0) + rng.normal(0, 0.01, (60, 3))
    found = cluster_items(items, vectors, "hdbscan", before={}, next_number=0)
    assert [cluster.size for cluster in found.clusters] == [20, 20, 20]
