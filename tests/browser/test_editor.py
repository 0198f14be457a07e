"""The editor's code field and form: where numbers stand, what Enter does, and where the focus goes."""

from __future__ import annotations

from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from api.services.drafts import MAX_CHECKED, DraftProblem, as_raw, as_yaml, read_yaml
from tests.browser.conftest import TEAM, Served
from tests.browser.rig import wait_until

NEW = f"/console/{TEAM}/evaluations/new/"
LONG = "let words := 'a line that is longer than the field of a telephone, and than that of a desk'"


@pytest.mark.parametrize("width", [320, 1280])
def test_each_number_stands_beside_its_line(page: Page, width: int) -> None:
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(NEW)
    page.fill("#code", "\n".join([LONG * 3] * 59 + ["return true"]))
    rows = "(what) => { const found = document.querySelector(what); found.scrollTop = 1e6; return found.scrollTop; }"
    scrolled = page.evaluate(rows, "#code")
    assert scrolled > 0, "60 lines are more than the field shows"
    wait_until(page, "(at) => document.querySelector('.editor .lines').scrollTop >= at - 20", scrolled)
    heights = page.evaluate("['#code', '.editor .lines'].map((each) => document.querySelector(each).scrollHeight)")
    assert abs(heights[0] - heights[1]) < 20, "one row less or more would be a wrong number"
    box = page.evaluate("['.editor', '#code'].map((each) => document.querySelector(each).offsetHeight)")
    assert box[0] - box[1] < 10, "the numbers do not make the field longer than the code"


def test_criteria_wrap_and_have_no_numbers(page: Page, served: Served) -> None:
    page.goto(f"/console/{TEAM}/evaluations/{served.scene.evaluations[0].id}/edit/")
    expect(page.locator(".editor .lines")).to_be_hidden()
    assert page.evaluate("getComputedStyle(document.getElementById('code')).whiteSpace").startswith("pre-wrap")


def test_enter_in_a_field_checks_and_changes_nothing(page: Page, served: Served) -> None:
    """Neither does it enable the evaluation while the page asks whether to."""
    path = f"/console/{TEAM}/evaluations/{served.scene.evaluations[0].id}/edit/"
    page.goto(path)
    expect(page.locator("[data-editor] button[value=check]").first).to_be_hidden()
    sets = page.locator("fieldset.set").count()
    page.press("input[name=name]", "Enter")
    expect(page.locator("p.done")).to_have_text("It compiles.")
    assert page.locator("fieldset.set").count() == sets
    page.click("button[value=ask-enable]")
    expect(page.locator("#ask")).to_be_visible()
    expect(page.locator("[aria-labelledby=ask]"), "the question has the focus").to_be_focused()
    page.press("input[name=name]", "Enter")
    expect(page.locator("p.done")).to_have_text("It compiles.")
    expect(page.locator("p.done")).to_be_focused()
    assert urlsplit(page.url).path == path
    page.goto(path)
    expect(page.locator("button[value=ask-enable]")).to_be_visible()


def test_a_draft_is_the_whole_form_and_goes_when_it_is_saved(page: Page, served: Served) -> None:
    path = f"/console/{TEAM}/evaluations/{served.own_evaluation('Drafted').id}/edit/"
    page.goto(path)
    name = page.input_value("input[name=name]")
    page.fill("input[name=name]", f"{name}, drafted")
    page.fill("textarea[name=description]", "two\nlines")
    page.locator("details.card > summary").first.click()
    page.check("input[name=allows_na]")
    page.select_option("select[name=sampling_cohort]", "independent")
    page.goto(f"/console/{TEAM}/evaluations/")
    page.goto(path)
    assert page.input_value("input[name=name]") == f"{name}, drafted"
    assert page.input_value("textarea[name=description]") == "two\nlines"
    assert page.is_checked("input[name=allows_na]")
    assert page.input_value("select[name=sampling_cohort]") == "independent"
    stored = page.evaluate("JSON.stringify({...sessionStorage})")
    assert page.input_value("[data-editor] input[name=token]") not in stored
    page.click("button[value=check]:visible")
    expect(page.locator(".done")).to_have_text("It compiles.")
    assert page.input_value("input[name=name]") == f"{name}, drafted", "nothing but a save takes it away"
    page.click("button[value=save]")
    expect(page.locator(".done")).to_contain_text("Saved")
    assert "drafted" not in page.evaluate("JSON.stringify({...sessionStorage})")
    page.fill("input[name=name]", "Typed after the save")
    page.reload()
    assert page.input_value("input[name=name]") == "Typed after the save", "no notice of the save takes it away"


def test_a_draft_with_other_rows_is_offered(page: Page, served: Served) -> None:
    path = f"/console/{TEAM}/evaluations/{served.own_evaluation('Offered').id}/edit/"
    page.goto(path)
    sets = page.locator("fieldset.set").count()
    page.click("button[value=add-set]")
    page.fill(f"input[name=filter-{sets}-0-key]", "drafted")
    page.goto(path)
    expect(page.locator("fieldset.set")).to_have_count(sets)
    expect(page.locator("[data-draft]")).to_be_visible()
    page.click("[data-restore]")
    expect(page.locator("fieldset.set")).to_have_count(sets + 1)
    assert page.input_value(f"input[name=filter-{sets}-0-key]") == "drafted"
    page.goto(path)
    page.click("[data-discard]")
    page.goto(path)
    expect(page.locator("[data-draft]")).to_be_hidden()
    expect(page.locator("fieldset.set")).to_have_count(sets)


def test_after_a_lost_update_mine_can_be_discarded(page: Page, served: Served) -> None:
    path = f"/console/{TEAM}/evaluations/{served.own_evaluation('Lost update').id}/edit/"
    page.goto(path)
    other = page.context.new_page()
    other.goto(path)
    other.fill("textarea[name=description]", "theirs")
    other.click("button[value=save]")
    expect(other.locator(".done")).to_contain_text("Saved")
    page.fill("textarea[name=description]", "mine")
    page.click("button[value=save]")
    expect(page.locator("#theirs")).to_be_visible()
    expect(page.locator("[aria-labelledby=theirs]"), "the two versions have the focus").to_be_focused()
    row = page.locator("[aria-labelledby=theirs] table.diff tr", has_text="theirs")
    expect(row.locator(".removed")).to_contain_text("theirs")
    expect(row.locator(".added")).to_contain_text("mine")
    assert page.input_value("textarea[name=description]") == "mine"
    page.click("a[data-forget]")
    expect(page.locator("#theirs")).to_have_count(0)
    assert page.input_value("textarea[name=description]") == "theirs"


def test_a_definition_is_written_as_yaml_with_its_errors_in_place(page: Page, served: Served) -> None:
    page.goto(NEW)
    page.get_by_role("link", name="YAML").click()
    page.wait_for_url("**as=yaml")
    expect(page.locator("[data-problems]")).to_contain_text("whole definition")
    expect(page.locator(".editor .lines")).to_be_visible()
    text = page.input_value("#code").replace("name: Polite", "name: Written as YAML")
    page.fill("#code", text.replace("rollout_percentage: 100", "rollout_percentage: 300"))
    problem = page.locator("[data-problems] a")
    expect(problem).to_have_text("line 9, column 25")
    assert page.locator(".paint .err").count() == 1
    code = "name: Code\nevaluation_config:\n  source: |\n    let a := 1\n    return nope(a)\noutput_type: boolean\n"
    page.fill("#code", code)
    expect(problem).to_have_text("line 5, column 12")
    page.fill("#code", text.replace("rollout_percentage: 100", "rollout_percentage: 300"))
    page.click("button[value=save]")
    expect(page.locator("#problems")).to_contain_text("line 9, column 25")
    assert "rollout_percentage: 300" in page.input_value("#code"), "nothing that was typed is lost"
    page.fill("#code", text + "enabled: true\n")
    page.click("button[value=save]")
    expect(page.locator("#problems")).to_contain_text("The buttons below enable and pause.")
    page.fill("#code", text)
    page.click("button[value=test]")
    expect(page.locator("section[aria-labelledby=tried] .outcome.pass").first).to_be_visible()
    page.click("button[value=save]")
    expect(page.locator(".done")).to_have_text("Saved. It is paused until you enable it.")
    assert "name: Written as YAML" in page.input_value("#code")
    page.click("button[value=save]")
    expect(page.locator(".done")).to_have_text("Saved.")
    page.click("button[value=ask-enable]")
    expect(page.locator("#ask")).to_be_visible()
    page.click("button[value=enable]")
    expect(page.locator(".done")).to_contain_text("enabled")
    page.get_by_role("link", name="Form").click()
    assert page.input_value("input[name=name]") == "Written as YAML"
    assert page.input_value("input[name=filter-0-0-value]") == "production"


@pytest.mark.parametrize(
    ("text", "place"),
    [("name: [", (1, 8)), ("- name: a\n- name: b\n", (2, None)), ("name: a\nname: b\n", (2, 1)), ("", (None, None)),
     ("a: &a [x]\nb: [*a, *a]\n", (1, 1)), ("{" * 5000, (1, 101)), ("- 1\n" * 30_000, (20_000, 3))],
)  # fmt: skip
def test_yaml_of_a_stranger_is_refused_with_its_place(text: str, place: tuple[int | None, int | None]) -> None:
    found = read_yaml(text, None)
    assert isinstance(found, DraftProblem)
    assert (found.line, found.column) == place


def test_every_definition_of_the_scene_is_the_same_as_yaml(served: Served) -> None:
    for each in served.scene.evaluations:
        stored = served.services.evaluations.get(TEAM, each.id)
        assert read_yaml(as_yaml(stored), stored) == as_raw(stored), each.name
    other = served.scene.evaluations[0]
    refused = read_yaml(as_yaml(stored), served.services.evaluations.get(TEAM, other.id))
    assert isinstance(refused, DraftProblem)
    assert refused.field == "id"


def test_code_that_was_not_checked_is_not_said_to_compile(page: Page, served: Served) -> None:
    """The session is over, the server is away, or the text is too long: each is named, and none is good news."""
    said = page.locator("[data-problems]")
    page.goto(NEW)
    expect(said).to_have_text("The code compiles.")
    page.fill("#code", "return (")
    expect(said).to_contain_text("line 1, column")
    page.fill("#code", f"return ( // {'x' * MAX_CHECKED}")
    expect(said).to_contain_text("too long to be checked")
    page.route("**/evaluations/check/", lambda route: route.abort())
    page.fill("#code", "return true")
    expect(said).to_contain_text("the server did not answer")
    page.unroute("**/evaluations/check/")
    page.fill("#code", "return false")
    expect(said).to_have_text("The code compiles.")
    page.context.clear_cookies(name="gavel")
    page.fill("#code", "return")
    expect(said).to_contain_text("Your session is over.")


def test_an_answer_about_older_code_is_not_shown(page: Page) -> None:
    held: list[Route] = []
    said = page.locator("[data-problems]")
    page.goto(NEW)
    expect(said).to_have_text("The code compiles.")
    page.route("**/evaluations/check/", lambda route: held.append(route), times=1)
    with page.expect_request("**/evaluations/check/"):
        page.fill("#code", "return (")
    page.fill("#code", "return false")
    expect(said).to_have_text("The code compiles.")
    with page.expect_response("**/evaluations/check/"):
        held[0].continue_()
    page.evaluate("() => new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    assert said.inner_text() == "The code compiles."
