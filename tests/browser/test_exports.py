"""Files of the console: the page's filter, formulas made inert, bounded numbers, and no export without the scope."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from datetime import timedelta
from uuid import uuid4

import httpx2 as httpx
import pytest

from api.http.csv_text import csv_line
from api.services import result_export
from api.services.bounded_archive import EXPORTS_AT_ONCE, BoundedArchive
from storage.sql.api_keys import ApiKeys
from tests.browser import scene as scenes
from tests.browser.conftest import TEAM, Served
from tests.browser.test_states import SAME, client
from tests.services.waiting import PATIENCE_S

FORMULA = "=HYPERLINK(1)"


@pytest.fixture
def http(served: Served) -> Iterator[httpx.Client]:
    with client(served) as made:
        yield made


def rows_of(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text)))


def test_results_are_exported_with_the_filter_of_the_page(http: httpx.Client, served: Served) -> None:
    answer = http.get(f"/console/{TEAM}/results/export/?verdict=fail&range=24h&model=gpt-5-mini&format=csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="results.csv"'
    found = rows_of(answer.text)
    assert found
    assert {row["verdict"] for row in found} == {"fail"}
    hog = served.scene.evaluations[1].id
    one = http.get(f"/console/{TEAM}/evaluations/{hog}/results/export/?format=jsonl&range=7d")
    lines = [json.loads(line) for line in one.text.splitlines()]
    assert len(lines) > 100
    assert {line["evaluation_id"] for line in lines} == {hog}
    assert http.get(f"/console/{TEAM}/results/export/?format=parquet").content[:4] == b"PAR1"


def test_a_cell_that_looks_like_a_formula_is_text(http: httpx.Client, served: Served) -> None:
    moment = scenes.utc_now() - timedelta(minutes=2)
    texts = (
        "reasoning", "evaluation_name", "skip_reason", "condition_id", "trigger", "runtime", "target_event_id",
        "trace_id", "distinct_id", "fingerprint", "evaluation_model", "evaluation_provider",
    )  # fmt: skip
    columns = {**dict.fromkeys(texts, FORMULA), "skipped": True}
    row = scenes.result_row(TEAM, served.own_evaluation("Formulas"), str(uuid4()), moment) | columns
    scenes.insert(served.clickhouse_dsn, "evaluation_results", [row])
    [found] = rows_of(http.get(f"/console/{TEAM}/results/export/?q=HYPERLINK&format=csv&range=24h").text)
    assert {name: found[name] for name in texts} == dict.fromkeys(texts, f"'{FORMULA}")


def test_labels_and_flips_are_exported(http: httpx.Client, served: Served) -> None:
    labels = rows_of(http.get(f"/console/{TEAM}/labels/export/?format=csv").text)
    assert {row["verdict"] for row in labels} >= {"true", "false"}
    judge = served.scene.evaluations[0].id
    address = f"/console/{TEAM}/evaluations/{judge}/comparisons/{served.scene.comparison}/flips/?format="
    flips = rows_of(http.get(f"{address}csv").text)
    assert len(flips) == len(http.get(f"{address}jsonl").text.splitlines()) > 0
    assert all(row["a"] != row["b"] for row in flips)


def test_the_page_names_the_commands_that_read_the_same(http: httpx.Client, served: Served) -> None:
    hog = served.scene.evaluations[1].id
    page = http.get(f"/console/{TEAM}/evaluations/{hog}/results/?verdict=fail").text
    assert "gavel results --since" in page
    assert "--failing --team 7" in page
    assert f"/api/projects/7/evaluations/{hog}/results/?" in page
    assert "gavel results" not in http.get(f"/console/{TEAM}/results/?model=gpt-5-mini").text


def test_who_may_not_read_labels_exports_none(served: Served) -> None:
    _, secret = ApiKeys(served.services.database).create(
        team_id=TEAM, label="L", scopes=["label:write"], now=scenes.utc_now()
    )
    with httpx.Client(base_url=served.base, timeout=PATIENCE_S) as http:
        http.post("/console/sign-in/", data={"key": secret}, headers=SAME)
        for path in ("labels/export/", "results/export/"):
            assert http.get(f"/console/{TEAM}/{path}").status_code == 403


def test_few_exports_run_at_a_time_and_the_others_are_counted(served: Served) -> None:
    from contextlib import ExitStack

    from api.http.errors import Throttled

    refused: list[float] = []
    archive = BoundedArchive(served.clickhouse_dsn, now=scenes.utc_now)
    archive.count_refusals(refused.append)
    with ExitStack() as stack:
        for _ in range(EXPORTS_AT_ONCE):
            stack.enter_context(archive.exporting())
        with pytest.raises(Throttled), archive.exporting():
            pass
    with archive.exporting():
        pass
    assert refused == [0, 1]


def test_a_provider_key_is_deleted_with_its_dependants_named(http: httpx.Client, served: Served) -> None:
    from pydantic import SecretStr

    from storage.sql.provider_keys import NewKey

    keys = served.services.keys
    new = NewKey(provider="openai", name="To go", api_key=SecretStr("sk-test-abcdefghij"))
    made = keys.create(TEAM, new, actor="key:1", now=scenes.utc_now())
    page = http.get(f"/console/{TEAM}/keys/").text
    assert "To go" in page
    token = page.partition('name="token" value="')[2].partition('"')[0]
    form = {"token": token, "id": made.id}
    refused = http.post(f"/console/{TEAM}/keys/", data={**form, "action": "replace", "api_key": " "}, headers=SAME)
    assert refused.status_code == 400
    done = http.post(f"/console/{TEAM}/keys/", data={**form, "action": "delete"}, headers=SAME)
    assert done.status_code == 303
    assert "To go" not in http.get(f"/console/{TEAM}/keys/").text


def test_a_file_is_streamed_and_ends_at_its_most_rows_with_the_newest(
    http: httpx.Client, served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert result_export.MAX_ROWS == 1_000_000
    path = f"/console/{TEAM}/evaluations/{served.scene.evaluations[0].id}/results/export/?format=csv&range=7d"
    whole = http.get(path)
    assert whole.headers["transfer-encoding"] == "chunked"
    assert "content-length" not in whole.headers
    monkeypatch.setattr(result_export, "MAX_ROWS", 5)
    assert rows_of(http.get(path).text) == rows_of(whole.text)[:5]
    times = [row["timestamp"] for row in rows_of(whole.text)]
    assert times == sorted(times, reverse=True)


def test_the_files_of_clickhouse_and_ours_guard_the_same_beginnings(http: httpx.Client, served: Served) -> None:
    texts = [f"{begin}begins-{number}" for number, begin in enumerate(("=", "+", "-", "@", "\t", "\r", "'", "a=", "5"))]
    moment = scenes.utc_now() - timedelta(minutes=2)
    rows = [
        scenes.result_row(TEAM, served.scene.evaluations[2], str(uuid4()), moment, reasoning=each, result=True)
        for each in texts
    ]
    scenes.insert(served.clickhouse_dsn, "evaluation_results", rows)
    found = rows_of(http.get(f"/console/{TEAM}/results/export/?q=begins-&format=csv&range=24h").text)
    assert {row["reasoning"] for row in found} == {next(csv.reader([csv_line([each])]))[0] for each in texts}
