"""Real clients of PostHog get as far as the reference pages allow."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from posthog.ai.evaluations import EvaluationAPIError, OfflineEvaluations

from api.serve import ApiServer
from config.settings import load_settings
from tests.api.conftest import Api


@pytest.fixture
def server(api: Api, clickhouse_dsn: str, tmp_path: Path) -> Iterator[ApiServer]:
    overrides = {"data_dir": str(tmp_path), "clickhouse": {"dsn": clickhouse_dsn}, "api": {"port": 0}}
    found = ApiServer(load_settings(environ={}, overrides=overrides), api.services.database)
    found.start()
    yield found
    found.stop()


@pytest.fixture
def client(api: Api, server: ApiServer) -> Iterator[OfflineEvaluations]:
    """The Python SDK's client of datasets, with a key of the team."""
    key = api.http.headers["Authorization"].removeprefix("Bearer ")
    with OfflineEvaluations(
        project_id=api.team, secret_key=key, host=f"http://127.0.0.1:{server.port}", max_retries=0
    ) as found:
        yield found


class TestPythonSdk:
    """The SDK knows revisions of datasets, which are younger than the pages.

    Its requests are understood and done. The pages end where it misses the first field of a revision in the answer.
    """

    def test_a_dataset_is_made_changed_and_listed(self, api: Api, client: OfflineEvaluations) -> None:
        assert list(client.datasets.list(search="nothing").results) == []
        with pytest.raises(EvaluationAPIError) as ended:
            client.datasets.create(name="from the SDK", description="d", metadata={"a": [1, None]}, tags=["x"])
        assert ended.value.code == "invalid_response"
        [made] = api.ok("GET", "datasets/")["results"]
        assert (made["name"], made["description"], made["metadata"]) == ("from the SDK", "d", {"a": [1, None]})
        with pytest.raises(EvaluationAPIError) as ended:
            client.datasets.update(made["id"], name="renamed")
        assert ended.value.code == "invalid_response"
        assert api.ok("GET", f"datasets/{made['id']}/")["name"] == "renamed"
        for read in (client.datasets.list, lambda: client.datasets.get(made["id"])):
            with pytest.raises(EvaluationAPIError) as ended:
                read()
            assert ended.value.code == "invalid_response"

    def test_an_item_is_added_and_read(self, api: Api, client: OfflineEvaluations) -> None:
        dataset = api.ok("POST", "datasets/", 201, json={"name": "d"})["id"]
        with pytest.raises(EvaluationAPIError) as ended:
            client.datasets.create_item(dataset, input={"question": "q"}, metadata={"expected": "pass"})
        assert ended.value.code == "invalid_response"
        [made] = api.ok("GET", f"dataset_items/?dataset={dataset}")["results"]
        assert (made["input"], made["metadata"]) == ({"question": "q"}, {"expected": "pass"})

    def test_errors_are_understood(self, api: Api, client: OfflineEvaluations) -> None:
        with pytest.raises(EvaluationAPIError) as missing:
            client.datasets.get("497f6eca-6276-4993-bfeb-53cbbbba6f08")
        assert (missing.value.status, missing.value.code) == (404, "not_found")
        with pytest.raises(EvaluationAPIError) as refused:
            client.datasets.create_item("497f6eca-6276-4993-bfeb-53cbbbba6f08", input="i")
        assert (refused.value.status, refused.value.attr) == (400, "dataset")
