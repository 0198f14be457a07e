"""The API does what the reference says that Gavel implements: every endpoint, parameter, field, scope and status.

The facts are in `data/`, in the form that `reference.py` describes. This file adds only where Gavel differs, and why.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import httpx2
import pytest

from examples.stand_in.client import StandInServer
from tests.api.conformance import Document, answer_problems
from tests.api.conftest import Api
from tests.api.reference import Endpoint, Excused, Field, read_reference

REFERENCE = read_reference()

NOT_SERVED = {
    "POST error_tracking/symbol_sets/start_upload": "Gavel has no error tracking",
    "POST error_tracking/symbol_sets/bulk_start_upload": "Gavel has no error tracking",
}
"""Endpoints that Gavel does not serve -> the reason. A test fails when one of them is served and still listed."""

STATUS_INSTEAD = {"POST evaluation_runs": 202}
"""The reference gives both 200 and 201. A run is only accepted by the call and made later, which is 202."""

EXCUSED = Excused(
    # The reference shows it although it is a secret.
    missing=frozenset({"ProviderKey.api_key"}),
    null=frozenset(
        {
            # There is no page before the first one and none after the last one.
            *(f"{name}.{link}" for name in REFERENCE.records if name.endswith("Page") for link in ("next", "previous")),
            # A key knows only the name and the address of its owner.
            *("User.hedgehog_config", "User.is_email_verified", "User.role_at_organization"),
            # Nothing has been delivered.
            "EvaluationReport.last_delivered_at",
            # Nothing has failed, and no run has used the key.
            *("HogSample.error", "ProviderKey.error_message", "ProviderKey.last_used_at"),
            # Only keys of Azure have them.
            *("ProviderKey.azure_endpoint", "ProviderKey.azure_endpoint_display"),
            *("ProviderKey.api_version", "ProviderKey.api_version_display"),
        }
    ),
)
"""Where answers differ from the records of the reference."""

REFUSED = {"GET events": {"select", "where"}}
"""Query parameters that are answered by 400: they hold HogQL, which Gavel does not run."""

NEEDED_TOO = {"POST evaluations": {"evaluation_config"}}
"""Body parameters that Gavel requires and the reference does not: there is nothing to run without them."""

SERVED = [
    pytest.param(endpoint, base, id=f"{endpoint.method} {base}/{endpoint.path}")
    for endpoint in REFERENCE.endpoints
    if endpoint.name not in NOT_SERVED
    for base in endpoint.bases
]


def _status(endpoint: Endpoint) -> int:
    return STATUS_INSTEAD.get(endpoint.name, endpoint.statuses[0])


@pytest.fixture(scope="session")
def document(session_api: Api) -> Document:
    return Document(session_api.http.get("/api/schema/").json(), REFERENCE, EXCUSED)


def test_the_facts_are_whole() -> None:
    """No file got lost, every type is known, and no record stands there for nothing."""
    assert len(REFERENCE.endpoints) == 33
    assert REFERENCE.used_records == set(REFERENCE.records)
    assert REFERENCE.closed <= set(REFERENCE.records)
    for endpoint in REFERENCE.endpoints:
        assert set(endpoint.required) <= {each.name for each in endpoint.body}, endpoint.name
        assert len(endpoint.statuses) == 1 or endpoint.name in STATUS_INSTEAD, endpoint.name
    for excused in (NOT_SERVED, STATUS_INSTEAD, REFUSED, NEEDED_TOO):
        assert set(excused) <= {endpoint.name for endpoint in REFERENCE.endpoints}
    fields = {f"{record}.{each.name}" for record, fields in REFERENCE.records.items() for each in fields}
    assert EXCUSED.missing <= fields
    assert {name for name in EXCUSED.null if not name.endswith("Page.previous")} <= fields


def test_every_endpoint_is_served_but_those_on_the_list(document: Document) -> None:
    served: set[str] = set()
    missing: set[str] = set()
    for endpoint in REFERENCE.endpoints:
        for base in endpoint.bases:
            (served if document.operation(endpoint, base) else missing).add(endpoint.name)
    assert missing - set(NOT_SERVED) == set(), "not served and not listed in NOT_SERVED"
    assert served & set(NOT_SERVED) == set(), "served now: remove it from NOT_SERVED"


@pytest.mark.parametrize(
    "endpoint",
    # A path with an id is answered by 404 in any case.
    [each for each in REFERENCE.endpoints if each.name in NOT_SERVED and not each.path_parameters],
    ids=lambda each: each.name,
)
def test_an_endpoint_on_the_list_is_not_served_without_being_documented(session_api: Api, endpoint: Endpoint) -> None:
    for base in endpoint.bases:
        response = session_api.call(endpoint.method, f"{endpoint.path}/", base=base, json={} if endpoint.body else None)
        assert response.status_code == 404, "served now: remove it from NOT_SERVED"


@pytest.mark.parametrize(("endpoint", "base"), SERVED)
def test_parameters_fields_scope_and_status_are_documented(document: Document, endpoint: Endpoint, base: str) -> None:
    operation = document.operation(endpoint, base)
    assert operation is not None
    assert document.parameter_problems(endpoint, operation) == []
    if endpoint.method == "POST":
        assert document.needed_too(endpoint, operation) <= NEEDED_TOO.get(endpoint.name, set())
    assert operation["security"] == [{"personalApiKey": [endpoint.scope]}]
    assert str(_status(endpoint)) in operation["responses"]
    if endpoint.response:
        assert document.response_problems(endpoint.response, operation, _status(endpoint)) == []


@pytest.mark.parametrize("slash", ["/", ""], ids=["slash", "bare"])
@pytest.mark.parametrize(("endpoint", "base"), SERVED)
def test_the_running_api_answers_as_the_reference_shows(
    scene: Scene, endpoint: Endpoint, base: str, slash: str
) -> None:
    """Each endpoint is called with a key that has just its scope, by its path with and without slash."""
    response = scene.call(endpoint, base, slash)
    assert response.status_code == _status(endpoint), response.text
    if endpoint.response:
        assert answer_problems(REFERENCE, endpoint.response, response.json(), EXCUSED) == []
    unscoped = scene.call(endpoint, base, slash, scopes=["error_tracking:write"])
    assert unscoped.status_code == 403, "the scope of the reference is not asked for"


def _query_values(endpoint: Endpoint, parameter: Field) -> Iterator[str]:
    """Yield the values of a query parameter to try, as text."""
    if parameter.choices:
        yield from parameter.choices
        if parameter.type == "array":
            yield ",".join(parameter.choices)
        return
    by_name = {
        "after": "2026-01-02T03:04:05Z",
        "before": "2026-01-02T03:04:05Z",
        "dataset": "00000000-0000-4000-8000-000000000000",
        "id__in": "00000000-0000-4000-8000-000000000000,00000000-0000-4000-8000-000000000001",
        "order_by": "-created_at,name",
        "properties": '[{"key": "k", "value": "v", "type": "event", "operator": "exact"}]',
        "select": '["event"]',
        "where": '["event = 1"]',
    }
    by_type = {"boolean": "true", "integer": "1", "string": "string"}
    assert isinstance(parameter.type, str)
    yield by_name.get(parameter.name) or by_type[parameter.type]


@pytest.mark.parametrize(("endpoint", "base"), [each for each in SERVED if each.values[0].query])
def test_every_query_parameter_is_taken(scene: Scene, endpoint: Endpoint, base: str) -> None:
    for parameter in endpoint.query:
        wanted = 400 if parameter.name in REFUSED.get(endpoint.name, ()) else _status(endpoint)
        for value in _query_values(endpoint, parameter):
            response = scene.call(endpoint, base, "/", params={parameter.name: value})
            assert response.status_code == wanted, (parameter.name, value, response.text)


class Scene:
    """A team in which every endpoint has something to show, with as few fields null as can be."""

    def __init__(self, api: Api, stand_in: StandInServer) -> None:
        self.api = api
        self.key = api.ok(
            "POST", "llm_analytics/provider_keys/", 201,
            json={"provider": "custom", "name": "k", "api_key": "sk-reference-key-1234", "base_url": stand_in.base_url},
        )  # fmt: skip
        api.ok("POST", "llm_analytics/evaluation_config/set_active_key/", json={"key_id": self.key["id"]})
        (self.event,) = api.events(
            {"$ai_trace_id": "t", "$ai_input": "in", "$ai_output_choices": "out"},
            person_id="p", elements_chain="a",
        )  # fmt: skip
        self.body = {
            "name": "string",
            "description": "string",
            "evaluation_type": "llm_judge",
            "evaluation_config": {"prompt": "string"},
            "output_type": "boolean",
            "output_config": {"allows_na": False},
            "conditions": [{"id": "string", "rollout_percentage": 100, "properties": [{"key": "k", "value": "v"}]}],
            "model_configuration": {"provider": "custom", "model": "string", "provider_key_id": self.key["id"]},
        }
        self.evaluation = api.ok("POST", "evaluations/", 201, json=self.body)
        api.ok("POST", "evaluations/", 201, json=self.body)
        self.dataset = api.ok("POST", "datasets/", 201, json={"name": "d", "description": "string"})
        self.item_body = {
            "dataset": self.dataset["id"],
            "ref_trace_id": "string",
            "ref_timestamp": "2019-08-24T14:15:22Z",
            "ref_source_id": "string",
        }
        self.item = api.ok("POST", "dataset_items/", 201, json=self.item_body)
        self.report = api.ok("POST", "llm_analytics/evaluation_reports/", 201, json=self.report_body())

    def report_body(self) -> dict[str, Any]:
        """Return the body of a report, of an evaluation that has none."""
        evaluation = self.api.ok("POST", "evaluations/", 201, json=self.body)
        return {
            "evaluation": evaluation["id"],
            "frequency": "scheduled",
            "rrule": "FREQ=DAILY",
            "starts_at": "2019-08-24T14:15:22Z",
            "timezone_name": "Europe/Berlin",
            "delivery_targets": [{"type": "email", "value": "ops@example.com"}],
        }

    def call(
        self,
        endpoint: Endpoint,
        base: str,
        slash: str,
        *,
        scopes: list[str] | None = None,
        params: dict[str, str] | None = None,
    ) -> httpx2.Response:
        """Call an endpoint with a body that has all that the reference shows, and with a key of its scope alone."""
        client = self.api.as_key(self.api.key(*(scopes or [endpoint.scope])))
        path = endpoint.path
        if "{id}" in path:
            path = path.replace("{id}", self._id_for(path))
        elif endpoint.name == "GET llm_analytics/clustering_jobs":
            self._new_job()
        body = self._bodies()[endpoint.name]() if endpoint.body else None
        url = f"/api/{base}/{self.api.team}/{path}{slash}"
        return client.request(endpoint.method, url, json=body, params=params, follow_redirects=False)

    def _id_for(self, path: str) -> str:
        kind = path.removeprefix("llm_analytics/").partition("/")[0]
        if kind == "clustering_jobs":
            return self._new_job()
        ids = {
            "evaluations": self.evaluation,
            "datasets": self.dataset,
            "dataset_items": self.item,
            "evaluation_reports": self.report,
        }
        return str(ids[kind]["id"])

    def _new_job(self) -> str:
        """Make a clustering job in the place of all others: a team has few, and calls delete them."""
        return str(self.api.ok("POST", "llm_analytics/clustering_jobs/", 201, json=self._job_body())["id"])

    def _job_body(self) -> dict[str, Any]:
        for job in self.api.ok("GET", "llm_analytics/clustering_jobs/")["results"]:
            self.api.ok("DELETE", f"llm_analytics/clustering_jobs/{job['id']}/", 204)
        return {"name": "string", "analysis_level": "trace", "event_filters": [], "enabled": True}

    def _bodies(self) -> dict[str, Callable[[], Any]]:
        now = datetime.now(UTC).isoformat()
        run = {"evaluation_id": self.evaluation["id"], "target_event_id": self.event, "timestamp": now}
        return {
            "POST evaluations": lambda: self.body,
            "PATCH evaluations/{id}": lambda: {"name": "string"},
            "POST evaluations/test_hog": lambda: {"source": "print('why') return true"},
            "POST datasets": lambda: {"name": "string", "description": "string"},
            "PATCH datasets/{id}": lambda: {"name": "string"},
            "POST dataset_items": lambda: self.item_body,
            "PATCH dataset_items/{id}": lambda: {"dataset": self.dataset["id"]},
            "POST evaluation_runs": lambda: run,
            "POST llm_analytics/clustering_jobs": self._job_body,
            "PATCH llm_analytics/clustering_jobs/{id}": lambda: {"name": "string", "event_filters": []},
            "POST llm_analytics/evaluation_reports": self.report_body,
            "PATCH llm_analytics/evaluation_reports/{id}": lambda: {"report_prompt_guidance": "string"},
            "POST llm_analytics/evaluation_config/set_active_key": lambda: {"key_id": self.key["id"]},
        }


@pytest.fixture(scope="session")
def scene(session_api: Api, stand_in_server: StandInServer) -> Scene:
    """One scene per store; the calls of the tests do not disturb each other."""
    return Scene(session_api, stand_in_server)


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"id": "1"}, "$.id: '1' is not a 'uuid'"),
        ({"created_at": "2026-01-02T03:04:05"}, "$.created_at: '2026-01-02T03:04:05' is not a 'date-time'"),
        ({"name": None}, "$.name: None is not of type 'string'"),
        ({"team": "1"}, "$.team: '1' is not of type 'integer'"),
        ({"deleted": 0}, "$.deleted: 0 is not of type 'boolean'"),
        ({"created_by": {}}, "$.created_by: 'id' is a required property"),
    ],
)
def test_a_wrong_answer_is_found(scene: Scene, change: dict[str, Any], problem: str) -> None:
    """The comparison of answers can fail."""
    assert answer_problems(REFERENCE, "Dataset", scene.dataset, EXCUSED) == []
    assert problem in answer_problems(REFERENCE, "Dataset", scene.dataset | change, EXCUSED)


def _with_body(parameter: str, /, **changes: Any) -> Endpoint:
    (found,) = (each for each in REFERENCE.endpoints if each.name == "POST evaluations")
    return replace(
        found, body=tuple(replace(each, **changes) if each.name == parameter else each for each in found.body)
    )


@pytest.mark.parametrize(
    ("endpoint", "problem"),
    [
        (_with_body("name", name="title"), "body.title is missing"),
        (_with_body("name", max_length=399), f"body.name: {'x' * 400!r} is accepted"),
        (_with_body("name", max_length=401), f"body.name: {'x' * 401!r} is refused"),
        (_with_body("name", type="string | null"), "body.name: None is refused"),
        (_with_body("name", default="n"), "body.name: the default is None"),
        (_with_body("name", type="uuid"), "body.name: the format is not uuid"),
        (_with_body("enabled", type="string"), "body.enabled: 'string' is refused"),
        (_with_body("evaluation_type", choices=("sentiment",)), "body.evaluation_type: 'sentiment' is not listed"),
        (_with_body("evaluation_config", type="OutputConfig"), "body.evaluation_config.allows_na is missing"),
        (_with_body("conditions", type=["HogConfig"]), "body.conditions.source is missing"),
        (_with_body("deleted", name="id"), "body.id is missing"),
    ],
)
def test_a_wrong_document_is_found(document: Document, endpoint: Endpoint, problem: str) -> None:
    """The comparison with the document can fail."""
    operation = document.operation(endpoint, "projects")
    assert operation is not None
    assert problem in document.parameter_problems(endpoint, operation)


def test_plain_evaluations_have_no_fields_of_ours_in_their_configurations(api: Api) -> None:
    """A client of the reference refuses fields that it does not know there."""
    for made in (api.hog(), api.hog(output_config={"allows_na": True})):
        assert set(made["evaluation_config"]) == {"source"}
        assert set(made["output_config"]) <= {each.name for each in REFERENCE.records["OutputConfig"]}


def test_a_form_is_taken_in_the_place_of_json(api: Api) -> None:
    """The reference's example calls are `curl -X PATCH -d name="string"`, which sends a form."""
    made = api.hog()
    changed = api.ok("PATCH", f"evaluations/{made['id']}/", data={"name": "string"})
    assert changed["name"] == "string"
    enabled = api.ok("PATCH", f"evaluations/{made['id']}/", data={"enabled": "true", "conditions": "[]"})
    assert (enabled["enabled"], enabled["conditions"]) == (True, [])
