"""`gavel up` as a newcomer uses it, and the commands beside it, which reach its embedded parts by its addresses."""

from __future__ import annotations

import csv
import io
import json
import shlex
import stat
import subprocess
import sys
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2 as httpx
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.main import build_app
from examples.stand_in.judge import NAMED
from tests.services.cache import CHECKOUT
from tests.services.ports import free_ports
from tests.services.process import GuardedProcess
from tests.services.waiting import PATIENCE_S, until

MAIN = "import sys; from cli.main import main; sys.argv[0] = 'gavel'; main()"
FIRST = 17
"""Results of the printed event: the other example evaluations sample, or ask for properties that it has not."""
GENERATION: dict[str, Any] = {
    "event": "$ai_generation",
    "distinct_id": "me",
    "properties": {
        "$ai_model": "gpt-5-mini",
        "$ai_input": [{"role": "user", "content": "What is the capital of France?"}],
        "$ai_output_choices": [{"role": "assistant", "content": "The capital of France is Paris."}],
    },
}


@dataclass
class Up:
    folder: Path
    env: dict[str, str]
    process: GuardedProcess

    @property
    def log(self) -> str:
        return self.process.log.read_text()

    def run(self, *words: str, given: str | None = None, **env: str) -> Result:
        """Run a command beside it, in the process of the tests."""
        return CliRunner().invoke(build_app(), list(words), input=given, env={**self.env, **env})

    def results(self, *words: str) -> list[dict[str, Any]]:
        done = self.run("results", "--json", "--limit", "1000", *words)
        assert done.exit_code == 0, done.stderr
        return [json.loads(line) for line in done.stdout.splitlines()]


@contextmanager
def gavel_up(folder: Path, *options: str, log: str = "log") -> Iterator[Up]:
    """Run `gavel up` over the data in `folder`."""
    api, ingest, http = map(str, free_ports(3))
    env = {
        "PATH": "/usr/bin:/bin",
        "PYTHONPATH": str(CHECKOUT),
        "GAVEL_DATA_DIR": str(folder / ".gavel"),
        "GAVEL_API__PORT": api,
        "GAVEL_INGEST__PORT": ingest,
        "GAVEL_HTTP__PORT": http,
        "GAVEL_JUDGE__ALLOWED_HOSTS": "127.0.0.1",
    }
    command = [sys.executable, "-c", MAIN, "up", *options]
    process = GuardedProcess(
        # Standard error goes to a file of its own.
        ["sh", "-c", 'exec "$@" 2> "$0"', folder / "errors", *command],
        log=folder / log,
        env=env,
    )
    started = Up(folder, env, process)
    try:
        process.wait_until(lambda: "Send a first event" in started.log, "gavel up")
        yield started
        assert process.terminate() == 0, started.log
    finally:
        process.kill()


@pytest.fixture(scope="module")
def up(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Up]:
    with gavel_up(tmp_path_factory.mktemp("up"), "--examples", "--stand-in") as started:
        yield started


@pytest.fixture(scope="module")
def first(up: Up) -> str:
    """The id of the event that the printed line sent, after all its verdicts are stored."""
    line = next(line.strip() for line in up.log.splitlines() if line.strip().startswith("curl "))
    answers: list[str] = []

    def is_sent() -> bool:
        """On a machine that is busy with other tests the front door may ask to send it again."""
        done = subprocess.run([*shlex.split(line), "-sS"], capture_output=True, text=True, check=True)
        answers.append(done.stdout)
        return bool(json.loads(done.stdout) == {"status": "Ok"})

    until(is_sent, lambda: f"not taken: {answers}")
    until(lambda: len(up.results()) == FIRST, lambda: f"{len(up.results())} results of {FIRST}; {up.log[-2000:]}")
    return str(up.results()[0]["event_id"])


def test_the_printed_line_gives_verdicts_of_code_and_of_the_stand_in(up: Up, first: str) -> None:
    found = up.results()
    assert {each["event_id"] for each in found} == {first}
    assert {each["verdict"] for each in found} >= {"pass", "not_applicable"}
    by_judges = [each for each in found if each["model"]]
    assert {each["evaluation"] for each in by_judges} == {"Answers the question", "Tone", "Topic"}
    assert all(each["reasoning"].startswith(NAMED) for each in by_judges)


def test_gavel_up_prints_a_line_per_verdict(up: Up, first: str) -> None:
    lines = [line for line in up.log.splitlines() if line.endswith(f"event {first}")]
    assert len(lines) == FIRST
    assert any(" pass   No refusal " in line for line in lines), lines


def test_the_printed_address_of_the_console_signs_in_once(up: Up) -> None:
    line = next(line for line in up.log.splitlines() if line.startswith("  console "))
    address = line.split()[-1].replace("localhost", "127.0.0.1")
    assert "/console/link/?code=" in address
    code = address.partition("?code=")[2]
    same = {"Sec-Fetch-Site": "same-origin"}
    with httpx.Client(timeout=PATIENCE_S) as http:
        assert http.get(address).status_code == 200, "looking at the link does not use it up"
        entered = http.post(address.partition("?")[0], data={"code": code}, headers=same)
        assert entered.status_code == 303, entered.text
        assert http.get(httpx.URL(address).join(entered.headers["location"])).status_code == 200
    again = httpx.post(address.partition("?")[0], data={"code": code}, headers=same, timeout=PATIENCE_S)
    assert "used already" in again.text


def test_check_beside_it_tests_its_broker_and_its_clickhouse(up: Up, first: str) -> None:
    done = up.run("check")
    assert done.exit_code == 0, done.stdout
    assert "FAILED" not in done.stdout
    assert f"process {up.process.pid} runs on" in done.stdout
    assert "connected to 127.0.0.1:" in done.stdout


def test_results_are_filtered_and_exported(up: Up, first: str) -> None:
    passing = [each for each in up.results() if each["verdict"] == "pass"]
    assert [each["evaluation"] for each in up.results("--evaluation", "No refusal")] == ["No refusal"]
    assert len(up.results("--failing")) == len([each for each in up.results() if each["verdict"] == "fail"])
    table = list(csv.DictReader(io.StringIO(up.run("results", "--export", "csv").stdout)))
    assert len(table) == FIRST
    assert sum(row["verdict"] == "pass" for row in table) == len(passing)
    lines = up.run("results", "--export", "jsonl", "--evaluation", "Tone").stdout.splitlines()
    assert [json.loads(line)["evaluation_name"] for line in lines] == ["Tone"]
    file = up.folder / "all.parquet"
    assert up.run("results", "--export", "parquet", "--output", str(file)).exit_code == 0
    assert file.read_bytes()[:4] == file.read_bytes()[-4:] == b"PAR1"


def test_an_unknown_evaluation_is_named_with_the_command_that_lists_them(up: Up) -> None:
    done = up.run("results", "--evaluation", "Nothing")
    assert done.exit_code == 2
    assert "no evaluation 'Nothing'; see `gavel evaluations list`" in done.stderr


def test_why_replay_and_dlq_answer_beside_it(up: Up, first: str) -> None:
    evaluation = up.results("--evaluation", "No refusal")[0]["evaluation_id"]
    why = up.run("why", "--evaluation", evaluation, "--event", first, "--json")
    assert why.exit_code == 0, why.stderr
    assert json.loads(why.stdout)["outcome"] == "matched"
    replayed = up.run("replay", "--dry-run", "--json", "--source", "clickhouse")
    assert replayed.exit_code == 0, replayed.stderr
    assert json.loads(replayed.stdout)["read"] >= 1
    again = up.run("replay", "--json")
    assert again.exit_code == 0, again.stderr
    assert json.loads(again.stdout)["existing"] >= FIRST - 3, "the results were found in its ClickHouse"
    seen = json.loads(up.run("status", "--once", "--json").stdout)
    [replay] = [each for each in seen["processes"] if each["role"] == "replay"]
    assert replay["state"] == "stopped"
    assert replay["details"]["replay"]["done"] == replay["details"]["replay"]["total"]
    listed = up.run("dlq", "list")
    assert listed.exit_code == 0, listed.stderr


def test_follow_shows_a_verdict_as_it_happens(up: Up, first: str) -> None:
    command = [
        sys.executable,
        "-c",
        MAIN,
        "results",
        "--follow",
        "--limit",
        "1",
        "--evaluation",
        "No refusal",
        "--json",
    ]
    seen = up.folder / "followed"
    with seen.open("wb") as file, subprocess.Popen(command, stdout=file, cwd=up.folder, env=up.env) as following:
        try:
            until(lambda: seen.read_text().count("\n") == 1, lambda: f"{seen.read_text()}; {up.log[-2000:]}")
            sent = up.run("send", "-", given=json.dumps({**GENERATION, "uuid": "01900000-0000-7000-8000-00000000f0f0"}))
            assert sent.exit_code == 0, sent.output
            until(lambda: seen.read_text().count("\n") == 2, lambda: f"{seen.read_text()}; {up.log[-2000:]}")
        finally:
            following.kill()
    shown, news = map(json.loads, seen.read_text().splitlines())
    assert shown["event_id"] == first
    assert news["event_id"] == "01900000-0000-7000-8000-00000000f0f0"
    assert (news["evaluation"], news["verdict"]) == ("No refusal", "pass")


def test_status_beside_it_sees_every_role_and_no_problem(up: Up, first: str) -> None:
    done = up.run("status", "--once", "--json")
    assert done.exit_code == 0, done.stdout
    seen = json.loads(done.stdout)
    assert {each["role"] for each in seen["processes"]} >= {"matcher", "judge", "sink", "api", "ingest", "reports"}
    assert {each["state"] for each in seen["processes"] if each["role"] != "replay"} == {"running"}
    assert seen["problems"] == []
    assert up.run("status", "--once").stdout.splitlines()[0].endswith("all well")


def test_top_shows_each_evaluation_under_its_rule(up: Up, first: str) -> None:
    done = up.run("top", "--json", "--sort", "cost")
    assert done.exit_code == 0, done.stderr
    found = {each["evaluation_name"]: each for each in json.loads(done.stdout)}
    assert len(found) == FIRST
    assert found["No refusal"]["passed"] >= 1
    tone = found["Tone"]
    assert tone["passed"] + tone["failed"] == tone["runs"], "its passing rule decides every score"
    assert tone["cost_usd"] > 0
    assert tone["latency_p95_s"] > 0
    assert up.run("top", "--sort", "beauty").exit_code == 2


def test_the_archive_of_the_doctor_holds_no_secret(up: Up, first: str) -> None:
    secret = json.loads((up.folder / ".gavel/running.json").read_text())["clickhouse"].split(":")[2].partition("@")[0]
    trial = "sk-canary-4711"
    path = up.folder / "doctor.tar.gz"
    done = up.run("doctor", "-o", str(path), "--log", str(up.folder / "log"), GAVEL_JUDGE__TRIAL_API_KEY=trial)
    assert done.exit_code == 0, done.output
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with tarfile.open(path) as archive:
        content = {each.name: archive.extractfile(each).read().decode() for each in archive.getmembers()}
    names = {name.removeprefix("gavel-doctor/") for name in content}
    assert names == {"settings.json", "versions.json", "status.json", "kafka.json", "problems.txt", "logs/1-log"}
    assert "confluent-kafka" in json.loads(content["gavel-doctor/versions.json"])["packages"]
    held = "".join(text for name, text in content.items() if "logs/" not in name)
    assert secret not in held
    assert trial not in held


def test_send_takes_rows_events_and_otlp_and_names_the_lines_that_are_bad(up: Up) -> None:
    row = json.loads((CHECKOUT / "examples/generations/openai_chat.jsonl").read_bytes().splitlines()[0])
    event = {**GENERATION, "uuid": "01900000-0000-7000-8000-00000000e0e0"}
    attributes = [{"key": "gen_ai.operation.name", "value": {"stringValue": "chat"}}]
    span = {"traceId": "1" * 32, "spanId": "2" * 16, "name": "chat", "attributes": attributes}
    bad_span = {**span, "traceId": "0" * 32}
    otlp = [{"resourceSpans": [{"scopeSpans": [{"spans": [each]}]}]} for each in (span, bad_span)]
    nameless = {**GENERATION, "event": "x" * 300}
    lines = [json.dumps(each) for each in (row, event, nameless, *otlp)]
    file = up.folder / "mixed.jsonl"
    file.write_text("\n".join([*lines[:2], "", "{not json", "[]", '{"event": " "}', *lines[2:]]) + "\n")
    done = up.run("send", str(file), "--json")
    assert done.exit_code == 1, done.stderr
    report = json.loads(done.stdout)
    assert (report["sent"], report["refused"]) == (3, 5), report
    named = {each["line"].rpartition(":")[2]: each["problem"] for each in report["refused_lines"]}
    assert set(named) == {"4", "5", "6", "7", "9"}
    assert "not JSON" in named["4"]
    assert "200 characters" in named["7"]
    until(lambda: any(each["event_id"] == event["uuid"] for each in up.results()), lambda: "the event was not judged")
    assert any(each["event_id"] == row["uuid"] for each in up.results())


def test_send_says_that_the_token_is_wrong(up: Up) -> None:
    done = up.run("send", "-", "--token", "gvt_nobody", given=json.dumps(GENERATION))
    assert done.exit_code == 1
    assert "does not accept the token" in done.stderr


def test_a_dead_letter_is_printed_and_shown(up: Up) -> None:
    nameless = {**GENERATION, "event": "y" * 300}
    assert up.run("send", "-", given=json.dumps(nameless)).exit_code == 1
    until(lambda: "(gavel dlq show " in up.log, lambda: up.log[-2000:])
    shown = next(line for line in up.log.splitlines() if "(gavel dlq show " in line)
    letter = shown.rpartition(" ")[2].rstrip(")")
    assert up.run("dlq", "show", letter).exit_code == 0


def test_provider_keys_need_no_secret_key_of_ones_own(up: Up, stand_in_server: Any) -> None:
    address = ("--base-url", stand_in_server.base_url, "--team", "5")
    added = up.run("provider-keys", "add", "custom", "--from-env", "MY_KEY", *address, MY_KEY="sk-test-4711-abcd")
    assert added.exit_code == 0, added.stderr
    assert "sk-test-4711-abcd" not in added.stdout + added.stderr
    piped = up.run("provider-keys", "add", "custom", "--name", "second", "--inactive", *address, given="sk-test-2\n")
    assert piped.exit_code == 0, piped.stderr

    def listed() -> dict[str, dict[str, Any]]:
        return {
            each["name"]: each for each in json.loads(up.run("provider-keys", "list", "--team", "5", "--json").stdout)
        }

    assert {name: each["active"] for name, each in listed().items()} == {"custom": True, "second": False}
    assert up.run("provider-keys", "activate", "second", "--team", "5").exit_code == 0
    assert listed()["second"]["active"]
    assert up.run("provider-keys", "remove", "custom", "--team", "5", "--yes").exit_code == 0
    assert set(listed()) == {"second"}
    missing = up.run("provider-keys", "remove", "custom", "--team", "5", "--yes")
    assert missing.exit_code == 2
    assert "gavel provider-keys list" in missing.stderr


def test_only_its_owner_reads_the_addresses_and_a_second_one_is_refused(up: Up) -> None:
    for name in ("running.json", "secret_key", "project_token"):
        mode = stat.S_IMODE((up.folder / ".gavel" / name).stat().st_mode)
        assert mode == 0o600, name
    second = up.run("up")
    assert second.exit_code == 1
    assert f"process {up.process.pid} already runs on the embedded parts" in second.stderr


def test_the_normal_start_logs_no_warning_and_nothing_but_json(up: Up, first: str) -> None:
    logged = (up.folder / "errors").read_text().splitlines()
    assert logged
    # Other tests of this process send what becomes a dead letter, and that is a warning.
    told = [json.loads(line) for line in logged]
    assert [line for line in told if line["level"] != "info" and line["event"] != "dead_letters"] == []


def test_a_second_start_over_kept_data_stores_new_events_beside_the_old_ones(tmp_path: Path) -> None:
    """The broker begins at offset 0 again, and ClickHouse has kept the tokens of the inserts of the first start."""
    for events in (1, 2):
        with gavel_up(tmp_path, "--examples", log=f"log-{events}") as up:
            archive_event(up, f"01900000-0000-7000-8000-00000000000{events}", events)


def archive_event(up: Up, uuid: str, wanted: int) -> None:
    """Send an event, and wait until the archive has the wanted number of events."""
    properties = {**GENERATION["properties"], "$ai_trace_id": "the same, and so the partition"}
    sent = up.run("send", "-", given=json.dumps({**GENERATION, "uuid": uuid, "properties": properties}))
    assert sent.exit_code == 0, sent.output
    until(lambda: f"event {uuid}" in up.log, lambda: up.log[-2000:])
    until(lambda: archived(up) == wanted, lambda: f"{archived(up)} events of {wanted}; {up.log[-2000:]}")


def archived(up: Up) -> int:
    done = up.run("replay", "--dry-run", "--json", "--source", "clickhouse")
    assert done.exit_code == 0, done.stderr
    return int(json.loads(done.stdout)["read"])
