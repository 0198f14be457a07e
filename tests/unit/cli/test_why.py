"""`gavel why`: with two files, without Kafka or a store; and with ids, from the store and the archive."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner, Result

from cli.main import build_app
from config.definitions import parse_draft
from config.settings import Settings, load_settings
from storage.clickhouse import connect, migrate
from storage.sql.engine import open_store
from storage.sql.evaluations import Evaluations
from storage.sql.migrations import upgrade


def run(tmp_path: Path, evaluation: str, event: str, *flags: str):
    (tmp_path / "evaluation.yaml").write_text(evaluation, "utf-8")
    (tmp_path / "event.json").write_text(event, "utf-8")
    files = ["--evaluation", str(tmp_path / "evaluation.yaml"), "--event", str(tmp_path / "event.json")]
    return CliRunner().invoke(build_app(), ["why", *files, *flags])


EVALUATION = """
conditions:
  - {id: tenth, rollout_percentage: 10, properties: [{key: day, operator: is_date_after, value: 2024-01-01}]}
  - {id: model, properties: [{key: m, operator: regex, value: ^gpt}, {key: n, value: 1}]}
"""


def test_every_set_and_filter_is_shown_with_value_and_outcome(tmp_path: Path) -> None:
    """As JSON for scripts: dates in YAML are text, the rollout number stands beside the sets."""
    event = '{"uuid":"event-2","event":"$ai_generation","properties":{"m":"gpt-4","day":"2025-01-01"}}'
    result = run(tmp_path, EVALUATION, event, "--json")
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert (shown["outcome"], shown["condition_id"], shown["rollout"]) == ("sampled_out", None, 88.88)
    tenth, model = shown["sets"]
    assert (tenth["filters"], tenth["sampled_in"]) == ("holds", False)
    assert [(m["value"], m["outcome"]) for m in model["members"]] == [("gpt-4", "holds"), (None, "fails")]


def test_a_table_for_people(tmp_path: Path) -> None:
    """The outcome comes first, and an event that the stream would skip is pointed out."""
    result = run(tmp_path, EVALUATION, '{"uuid":"event-2","event":"$pageview","properties":"{}"}')
    assert result.exit_code == 0
    assert result.stdout.startswith("filtered")
    assert "runs only $ai_generation" in result.stdout


@pytest.mark.parametrize(
    ("evaluation", "event", "code"),
    [
        ("conditions: [{id: a, properties: [5]}]", "{}", 1),
        ("{a: 1" + "0" * 5000 + "}", "{}", 1),
        ("[1]", "{}", 1),
        ("{", "{}", 1),
        ("{}", "nope", 2),
        ("{}", "{}", 2),
    ],
)
def test_a_wrong_definition_is_a_failure_and_a_wrong_event_is_wrong_usage(
    tmp_path: Path, evaluation: str, event: str, code: int
) -> None:
    """A message on standard error, never a traceback."""
    result = run(tmp_path, evaluation, event)
    assert result.exit_code == code
    assert result.stderr.startswith("gavel: ")
    assert "Traceback" not in result.output


@pytest.mark.parametrize(("extra", "outcome"), [("enabled: false", "disabled"), ("conditions: []", "no_conditions")])
def test_outcomes_that_no_filter_decides(tmp_path: Path, extra: str, outcome: str) -> None:
    """A disabled evaluation, and one without condition sets."""
    result = run(tmp_path, extra, '{"uuid":"a","properties":{}}', "--json")
    assert json.loads(result.stdout)["outcome"] == outcome


HOSTILE_VALUES = [
    ("1e400", "(a number beyond a float's range)"),
    ("-1e400", "(a number beyond a float's range)"),
    ("1" + "0" * 5000, "(a number beyond a float's range)"),
    ('{"a":[1e400]}', {"a": ["(a number beyond a float's range)"]}),
    ('"\\ud800"', "\ud800"),
    ('"Infinity"', "Infinity"),
]


@pytest.mark.parametrize(("written", "shown"), HOSTILE_VALUES)
def test_json_stays_json_whatever_the_event_holds(tmp_path: Path, written: str, shown: object) -> None:
    """JSON has no infinity: a number beyond floats is shown as a text, in the value and in the filter."""
    wanted = "1" if "\\" in written or len(written) > 1000 else written
    evaluation = f'{{"conditions":[{{"id":"s","properties":[{{"key":"n","value":{wanted}}}]}}]}}'
    event = '{"uuid":"a","properties":%s}' % json.dumps(f'{{"n":{written}}}')  # noqa: UP031  # braces enough
    result = run(tmp_path, evaluation, event, "--json")
    assert result.exit_code == 0, result.output

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    found = json.loads(result.stdout, parse_constant=refuse)
    assert found["sets"][0]["members"][0]["value"] == shown
    assert run(tmp_path, evaluation, event).exit_code == 0


def test_half_a_surrogate_pair_crashes_nothing(tmp_path: Path) -> None:
    """In the event, the evaluation's id, a key, a value; in the uuid and in a set's id it is refused."""
    half = "\\ud800"
    nodes = f'{{"key":"{half}","value":"{half}"}},{{"type":"hogql","key":"event != distinct_id"}}'
    evaluation = f'{{"id":"{half}","conditions":[{{"id":"s","properties":[{nodes}]}}]}}'
    event = f'{{"uuid":"u","event":"{half}","distinct_id":"","properties":{{"{half}":"{half}"}}}}'
    table = run(tmp_path, evaluation, event)
    assert table.exit_code == 0, table.output
    assert "\\ud800" in table.stdout
    found = json.loads(run(tmp_path, evaluation, event, "--json").stdout)
    assert (found["evaluation_id"], found["event_uuid"], found["outcome"]) == ("\ud800", "u", "matched")
    no_row = run(tmp_path, evaluation, event.replace('"uuid":"u"', f'"uuid":"{half}"'))
    assert no_row.exit_code == 2
    assert "surrogate" in no_row.stderr
    refusal = run(tmp_path, f'{{"conditions":[{{"id":"{half}"}}]}}', event)
    assert refusal.exit_code == 1
    assert "conditions[0].id" in refusal.stderr


def test_a_terminal_takes_no_orders_from_an_event(tmp_path: Path) -> None:
    """Control characters are written out, and what looks like markup stands as it is."""
    evaluation = '{"conditions":[{"id":"\\u001b[2J[red]","properties":[]}]}'
    result = run(tmp_path, evaluation, '{"uuid":"\\u001b]0;x\\u0007[bold]","properties":{}}')
    assert result.exit_code == 0
    assert "\x1b" not in result.stdout
    assert "[bold]" in result.stdout


@pytest.mark.parametrize("depth", [300, 3_000, 50_000])
def test_values_nested_deeply_are_shown_or_refused(tmp_path: Path, depth: int) -> None:
    """No depth ends in a traceback."""
    evaluation = '{"conditions":[{"id":"s","properties":[{"key":"n","operator":"icontains","value":"x"}]}]}'
    event = '{"uuid":"a","properties":{"n":' + "[" * depth + "]" * depth + "}}"
    for flags in ((), ("--json",)):
        result = run(tmp_path, evaluation, event, *flags)
        assert result.exit_code in (0, 1, 2)
        assert result.exception is None or isinstance(result.exception, SystemExit)


TEAM = 7
UUID = "018f4b1e-7c3a-7000-8000-000000000001"
CONDITIONS = [
    {"id": "tenth", "rollout_percentage": 10},
    {"id": "paying", "properties": [{"key": "plan", "value": "pro", "type": "person"}, {"key": "n", "value": 5}]},
]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    """Embedded stores in a folder, still without tables."""
    return load_settings(environ={}, overrides={"data_dir": str(tmp_path / "data")})


@pytest.fixture
def stored(settings: Settings, tmp_path: Path) -> Callable[..., Result]:
    """An evaluation in SQLite and a generation in chdb; returns `gavel why` over them."""
    database = open_store(settings)
    upgrade(database)
    draft = parse_draft(
        {
            "name": "stored", "evaluation_type": "hog", "evaluation_config": {"source": "return true"},
            "output_type": "boolean", "conditions": CONDITIONS, "enabled": True,
        }
    )  # fmt: skip
    made = Evaluations(database).create(TEAM, draft, actor=None, now=datetime.now(UTC))
    database.close()
    client = connect(settings.clickhouse.dsn.get_secret_value())
    migrate(client)
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    row = {
        "uuid": UUID, "event": "$ai_generation", "team_id": TEAM, "distinct_id": "ann", "timestamp": moment,
        "created_at": moment, "record_time": moment, "properties": '{"n":"5"}', "person_properties": '{"plan":"pro"}',
    }  # fmt: skip
    client.insert("ai_events", [list(row.values())], column_names=list(row))
    client.close()
    config = tmp_path / "gavel.yaml"
    config.write_text(f"data_dir: {settings.data_dir}\n")

    def why(*flags: str, evaluation: str = str(made.id), event: str = UUID, team: int = TEAM) -> Result:
        words = ["why", "--evaluation", evaluation, "--event", event, "--team", str(team), "--config", str(config)]
        return CliRunner().invoke(build_app(), [*words, *flags])

    return why


def test_by_ids_the_store_and_the_archive_are_asked(stored: Callable[..., Result]) -> None:
    """As JSON and for people: the stored conditions, and the archived event with its person."""
    result = stored("--json")
    assert result.exit_code == 0, result.output
    found = json.loads(result.stdout)
    assert (found["outcome"], found["condition_id"], found["event_uuid"]) == ("matched", "paying", UUID)
    assert found["rollout"] == 29.71
    assert [member["value"] for member in found["sets"][1]["members"]] == ["pro", "5"]
    table = stored()
    assert table.exit_code == 0, table.output
    assert table.stdout.startswith("matched by set 'paying'")
    assert "person plan exact" in table.stdout


def test_what_is_not_there_is_said_with_exit_code_2(stored: Callable[..., Result]) -> None:
    """An unknown id, an id of another team, and texts that are not ids."""
    for evaluation in (str(uuid4()), "nonsense", "", "x" * 5000, "\x00", "\udcff"):
        result = stored(evaluation=evaluation)
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        assert f"team {TEAM} has no evaluation" in result.stderr
        assert "gavel evaluations list" in result.stderr
    for event in (str(uuid4()), "nonsense", "", "x" * 5000, "\udcff", "' OR 1=1 --"):
        result = stored(event=event)
        assert (result.exit_code, result.stdout) == (2, ""), result.output
        assert f"the archive of team {TEAM} has no generation" in result.stderr
    assert stored(team=TEAM + 1).exit_code == 2


def test_stores_without_tables_are_a_failure_with_a_remedy(settings: Settings, tmp_path: Path) -> None:
    """Before `gavel init`: exit code 1 and no traceback."""
    config = tmp_path / "gavel.yaml"
    config.write_text(f"data_dir: {settings.data_dir}\n")
    (tmp_path / "evaluation.yaml").write_text("{}")
    for evaluation in (str(uuid4()), str(tmp_path / "evaluation.yaml")):
        words = ["why", "--evaluation", evaluation, "--event", UUID, "--config", str(config)]
        result = CliRunner().invoke(build_app(), words)
        assert result.exit_code == 1, result.output
        assert "gavel" in result.stderr
        assert isinstance(result.exception, SystemExit)
