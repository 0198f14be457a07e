"""The editor keeps everything that nobody changed: to open and save a definition leaves it as it is."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from config.definition_errors import DefinitionError
from config.definitions import Evaluation, parse_draft, to_raw
from console.draft_form import draft_of, fields_of
from tests.unit.conditions.strategies import nodes
from tests.unit.console.forms import TEAM, Desk, Form, desk

HOG = {"evaluation_type": "hog", "evaluation_config": {"source": "return true"}}
JUDGE = {"evaluation_type": "llm_judge", "evaluation_config": {"prompt": "Is it good?"}}
STEP = {"provider": "openai", "model": "gpt-4.1"}
SURE = {"provider": "anthropic", "model": "claude-sonnet-4-5", "votes": 3}
JURY = {"kind": "jury", "steps": [STEP, SURE, {**STEP, "model": "gpt-4.1-mini"}]}
CASCADE = {
    "kind": "cascade", "steps": [{"hog": "return null"}, STEP, SURE], "escalate_below": 0.123456789,
    "escalate_on_split": True,
}  # fmt: skip
OPTIONS = [{"key": "a", "label": "A"}, {"key": "b=c", "label": "B, or C"}, {"key": "[d", "label": "d"}]


def one_set(*filters: dict[str, Any], **fields: Any) -> dict[str, Any]:
    return {"conditions": [{"id": "s", "properties": list(filters), **fields}]}


DEFINITIONS: dict[str, dict[str, Any]] = {
    "hog": HOG,
    "hog with blank lines and other line ends": {
        **HOG,
        "evaluation_config": {"source": "\n\nlet a := 1\r\nreturn true\n"},
    },
    "hog with a model that it does not use": {
        **HOG,
        "model_configuration": STEP,
        "budget": {"usd": 1, "period": "day"},
    },
    "judge": {**JUDGE, "model_configuration": STEP, "description": "two\nlines of it\n"},
    "jury": {**JUDGE, "model_configuration": {"strategy": JURY}},
    "cascade": {**JUDGE, "model_configuration": {"strategy": CASCADE}},
    "budget of tokens": {**JUDGE, "budget": {"tokens": 12_345_678, "period": "month"}},
    "both budgets": {**JUDGE, "budget": {"tokens": 10**15, "usd": 1_234_567.891, "period": "week"}},
    "scores with a rule": {
        **JUDGE,
        "output_type": "numeric",
        "output_config": {"min": 0, "max": 1.23456789, "passing_rule": {"operator": "lte", "threshold": 0.1234567}},
    },
    "scores without a rule": {**JUDGE, "output_type": "numeric", "output_config": {"min": -1, "step": 0.1}},
    "categories": {
        **JUDGE,
        "output_type": "categorical",
        "output_config": {
            "options": OPTIONS,
            "selection_mode": "multiple",
            "passing_rule": {"categories": ["b=c", "a"]},
        },
    },
    "categories that lines cannot hold": {
        **JUDGE,
        "output_type": "categorical",
        "output_config": {"options": [{"key": "x, y\nz", "label": "l"}], "passing_rule": {"categories": ["x, y\nz"]}},
    },
    "runs on nothing": {**HOG, "conditions": []},
    "runs on everything": {**HOG, "conditions": None},
    "a rollout of many digits": {**HOG, **one_set(rollout_percentage=0.1234567)},
    "texts like numbers": {
        **HOG,
        **one_set(
            {"key": "a", "operator": "exact", "value": "10"},
            {"key": "a", "operator": "is_not", "value": "true"},
            {"key": "a", "operator": "in", "value": "x, y"},
            {"key": "a", "operator": "in", "value": ["10", 10, 10.0, None]},
            {"key": "a", "operator": "exact", "value": "[1]"},
            {"key": "a", "operator": "is_set", "value": "left over"},
            {"key": "a", "operator": "gt", "value": 1e21},
        ),
    },
    "a Hog condition": {**HOG, **one_set({"key": "properties.a = 1", "type": "hogql"})},
    "groups of filters": {
        **HOG,
        **one_set({"type": "OR", "values": [{"key": "a", "operator": "is_set"}, {"key": "b", "value": "1"}]}),
    },
    "texts that rows cannot hold": {**HOG, **one_set({"key": " a ", "operator": "exact", "value": "x\ny"})},
    "a set without a name": {**HOG, "conditions": [{"id": ""}]},
    "as many filters as may be": {
        **HOG,
        "conditions": [
            {"id": f"s{place}", "properties": [{"key": f"k{at}", "value": at} for at in range(25)]}
            for place in range(20)
        ],
    },
    "as many sets as may be, in rows": {
        **HOG,
        "conditions": [
            {"id": f"s{place}", "properties": [{"key": f"k{at}", "value": at} for at in range(4)]}
            for place in range(50)
        ],
    },
    "more filters than rows": {**HOG, **one_set(*({"key": f"k{at}", "value": at} for at in range(45)))},
}


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    with desk(tmp_path_factory.mktemp("console")) as found:
        yield found


def stored(reader: Desk, raw: dict[str, Any]) -> Evaluation:
    draft = parse_draft({"name": "It", **raw})
    return reader.services.evaluations.create(TEAM, draft, actor=None, now=reader.services.now())


def now_stored(reader: Desk, evaluation: Evaluation) -> Evaluation:
    return reader.services.evaluations.get(TEAM, evaluation.id)


def place(evaluation: Evaluation) -> str:
    return f"evaluations/{evaluation.id}/edit/"


@pytest.mark.parametrize("name", DEFINITIONS)
def test_to_open_and_save_changes_nothing(reader: Desk, name: str) -> None:
    before = stored(reader, DEFINITIONS[name])
    form = reader.form(place(before))
    answer = reader.send(place(before), {**form.fields, "action": "save"})
    assert answer.status_code == 303, answer.text
    assert "version" not in answer.headers["location"]
    assert now_stored(reader, before) == before


@pytest.mark.parametrize("name", DEFINITIONS)
def test_a_form_that_comes_back_with_a_problem_still_changes_nothing(reader: Desk, name: str) -> None:
    """After "Check" or "Test" the page is made from the fields that were sent, and not from the stored definition."""
    before = stored(reader, DEFINITIONS[name])
    page = reader.send(place(before), {**reader.form(place(before)).fields, "action": "check"})
    form = Form.on(page.text)
    assert reader.send(place(before), {**form.fields, "action": "save"}).status_code == 303
    assert now_stored(reader, before) == before


TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=12)
NUMBERS = st.floats(-1e9, 1e9, allow_nan=False)
KEYS = st.lists(TEXTS.map(str.strip).filter(bool), min_size=1, max_size=4, unique=True)


@st.composite
def outputs(draw: st.DrawFn, kind: str) -> dict[str, Any]:
    made: dict[str, Any] = {"allows_na": draw(st.booleans())}
    if kind == "boolean":
        return {**made, "true_is_failure": draw(st.booleans())}
    if kind == "numeric":
        rule = {"operator": draw(st.sampled_from(["gte", "lte"])), "threshold": draw(NUMBERS)}
        return {**made, "passing_rule": draw(st.sampled_from([None, rule])), "step": draw(st.none() | st.just(0.1))}
    keys = draw(KEYS)
    rule = {"categories": draw(st.lists(st.sampled_from(keys), min_size=1, max_size=3))}
    options = [{"key": key, "label": draw(TEXTS.filter(str.strip))} for key in keys]
    return {**made, "options": options, "passing_rule": draw(st.sampled_from([None, rule]))}


@st.composite
def definitions(draw: st.DrawFn) -> dict[str, Any]:
    kind = draw(st.sampled_from(["hog", "llm_judge"]))
    output = "boolean" if kind == "hog" else draw(st.sampled_from(["boolean", "numeric", "categorical"]))
    source = st.just("return true").map(lambda text: draw(st.sampled_from(["", "\n", "\r\n"])) + text)
    sets = [
        {
            "id": draw(st.text("ab \n'", max_size=3)),
            "rollout_percentage": draw(st.floats(0, 100)),
            "properties": draw(st.lists(nodes(expressions=False), max_size=3)),
        }
        for _ in range(draw(st.integers(0, 2)))
    ]
    limits = {"usd": draw(st.none() | st.floats(1e-6, 1e9)), "tokens": draw(st.none() | st.integers(1, 10**15))}
    budget = {**limits, "period": draw(st.sampled_from(["day", "week", "month"]))}
    models: list[Any] = [None, STEP, {"strategy": JURY}]
    return {
        "name": draw(TEXTS.filter(str.strip)),
        "description": draw(st.just("") | TEXTS),
        "evaluation_type": kind,
        "evaluation_config": {"source": draw(source)} if kind == "hog" else {"prompt": draw(TEXTS.filter(str.strip))},
        "output_type": output,
        "output_config": draw(outputs(output)),
        "model_configuration": draw(
            st.sampled_from([*models, {"strategy": CASCADE}] if output == "boolean" else models)
        ),
        "budget": budget if any(limits.values()) else None,
        "sampling_cohort": draw(st.sampled_from(["shared", "independent"])),
        "cache_verdicts": draw(st.booleans()),
        "conditions": draw(st.sampled_from([None, sets])),
    }


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much])
@given(definitions())
def test_no_definition_is_changed_by_opening_and_saving_it(reader: Desk, raw: dict[str, Any]) -> None:
    try:
        before = stored(reader, raw)
    except DefinitionError:
        assume(False)
        return
    answer = reader.send(place(before), {**reader.form(place(before)).fields, "action": "save"})
    assert answer.status_code == 303, answer.text
    assert now_stored(reader, before) == before


def test_a_changed_field_changes_that_alone(reader: Desk) -> None:
    before = stored(reader, DEFINITIONS["texts like numbers"] | DEFINITIONS["jury"] | DEFINITIONS["budget of tokens"])
    fields = reader.form(place(before)).fields
    changes = {"filter-0-0-value": "20", "filter-0-6-value": "30", "budget_tokens": "5", "name": "That"}
    assert reader.send(place(before), {**fields, **changes}).status_code == 303
    raw, former = to_raw(now_stored(reader, before)), to_raw(before)
    former["name"], former["budget"]["tokens"] = "That", 5
    former["conditions"][0]["properties"][0]["value"] = "20"
    former["conditions"][0]["properties"][6]["value"] = 30
    assert raw == former, "a text stays a text and a number a number"


def test_a_rule_a_strategy_and_the_sets_can_be_taken_away(reader: Desk) -> None:
    before = stored(reader, {**DEFINITIONS["scores with a rule"], **DEFINITIONS["jury"], "conditions": None})
    fields = reader.form(place(before)).fields
    changes = {"rule_operator": "", "strategy": "", "set-0-remove": "on", "without_sets": "nothing"}
    assert reader.send(place(before), {**fields, **changes}).status_code == 303
    raw = to_raw(now_stored(reader, before))
    assert raw["output_config"]["passing_rule"] is None
    assert raw["model_configuration"] == {**STEP, "provider_key_id": None}
    assert raw["conditions"] == []


def test_the_first_model_of_a_strategy_is_the_evaluations(reader: Desk) -> None:
    before = stored(reader, DEFINITIONS["jury"])
    fields = reader.form(place(before)).fields
    changed = fields["strategy"].replace("gpt-4.1", "gpt-5")
    assert reader.send(place(before), {**fields, "strategy": changed}).status_code == 303
    found = to_raw(now_stored(reader, before))["model_configuration"]
    assert found["model"] == found["strategy"]["steps"][0]["model"] == "gpt-5"


@pytest.mark.parametrize(
    ("field", "text"),
    [
        ("budget_usd", "ten"),
        ("strategy", "{"),
        ("conditions_json", "[1"),
        ("conditions_json", "[1]"),
        ("conditions_json", '[{"id": "s", "properties": [2]}]'),
        ("options", "[3]"),
        ("passing", "[4]"),
        ("min", "nan"),
    ],
)
def test_text_that_cannot_be_read_is_shown_again(reader: Desk, field: str, text: str) -> None:
    name = "scores with a rule" if field == "min" else "categories"
    before = stored(reader, {**DEFINITIONS[name], **DEFINITIONS["a rollout of many digits"], **JUDGE})
    sent = {**reader.form(place(before)).fields, field: text, "name": "Typed"}
    sent |= {"use_json": "on"} if field == "conditions_json" else {}
    answer = reader.send(place(before), sent)
    assert answer.status_code == 400
    shown = Form.on(answer.text).fields
    assert shown["name"] == "Typed"
    assert "".join(shown[field].split()) == "".join(text.split()), "what was typed is there to be repaired"
    assert now_stored(reader, before) == before


@pytest.mark.parametrize(("action", "enabled"), [("enable", False), ("pause", True)])
def test_what_is_not_saved_is_not_thrown_away_by_a_switch(reader: Desk, action: str, enabled: bool) -> None:
    before = stored(reader, {**HOG, "enabled": enabled})
    fields = reader.form(place(before)).fields
    answer = reader.send(place(before), {**fields, "code": "return false", "action": action})
    assert answer.status_code == 400
    assert "changes that are not saved" in answer.text
    assert Form.on(answer.text).fields["code"] == "return false"
    assert now_stored(reader, before) == before
    assert reader.send(place(before), {**fields, "action": action}).status_code == 303
    assert now_stored(reader, before).enabled is not enabled


def test_a_check_does_not_hide_that_somebody_else_saved(reader: Desk) -> None:
    before = stored(reader, HOG)
    fields = reader.form(place(before)).fields
    assert reader.send(place(before), {**fields, "name": "Theirs"}).status_code == 303
    checked = Form.on(reader.send(place(before), {**fields, "name": "Mine", "action": "check"}).text).fields
    answer = reader.send(place(before), {**checked, "action": "save"})
    assert answer.status_code == 412
    assert "Theirs" in answer.text
    assert now_stored(reader, before).name == "Theirs"


def test_a_new_evaluation_is_made_from_its_form(reader: Desk) -> None:
    fields = reader.form("evaluations/new/?type=llm_judge").fields
    budget = {"budget_tokens": "7", "strategy": '{"kind": "single", "steps": [{"provider": "openai", "model": "m"}]}'}
    answer = reader.send("evaluations/new/", {**fields, **budget, "name": "New", "without_sets": "nothing"})
    assert answer.status_code == 303, answer.text
    made = reader.services.evaluations.get(TEAM, answer.headers["location"].split("/")[4])
    assert (made.conditions, made.budget.tokens, made.model_configuration.model) == ((), 7, "m")


def test_fields_and_definitions_mirror_each_other_without_a_page() -> None:
    for raw in DEFINITIONS.values():
        kept = to_raw(parse_draft({"name": "It", **raw}))
        form = {name: "on" if value is True else value for name, value in fields_of(kept).items() if value is not False}
        form |= {"conditions_json": form["json"], "use_json": "on"}
        assert draft_of(lambda name, default, form=form: form.get(name, default), kept) == kept
