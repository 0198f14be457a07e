"""All pages of a scene: those that have an address, and those that a reader comes to by doing something."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields
from types import SimpleNamespace

from playwright.sync_api import Page

from tests.browser.scene import Scene


def pages_of(scene: Scene) -> dict[str, str]:
    """Return a name and a path for every page that a reader with all scopes can open."""
    team = f"/console/{scene.team}"
    judge, hog, _, score = (evaluation.id for evaluation in scene.evaluations)
    event, trace = scene.events[-1], "trace-1-2"
    return {
        "sign-in": "/console/sign-in/",
        "link": "/console/link/?code=none",
        "overview": f"{team}/",
        "evaluations": f"{team}/evaluations/",
        "evaluation": f"{team}/evaluations/{judge}/?range=7d",
        "evaluation-labelled": f"{team}/evaluations/{hog}/?range=7d",
        "evaluation-score": f"{team}/evaluations/{score}/?range=24h&by=environment",
        "results": f"{team}/results/?range=24h&verdict=fail",
        "results-sure": f"{team}/results/?range=24h&min_confidence=0.5&max_confidence=0.95",
        "results-refused": f"{team}/results/?range=24h&min_confidence=sure",
        "results-of-one": f"{team}/evaluations/{hog}/results/",
        "generation": f"{team}/generations/{event}/",
        "generation-media": f"{team}/generations/{scene.media}/",
        "generation-formatted": f"{team}/generations/{event}/?view=formatted",
        "result": f"{team}/results/{scene.results[-1][0]}/",
        "trace": f"{team}/traces/{trace}/",
        "versions": f"{team}/evaluations/{judge}/versions/",
        "new": f"{team}/evaluations/new/",
        "edit": f"{team}/evaluations/{hog}/edit/",
        "edit-judge": f"{team}/evaluations/{judge}/edit/",
        "edit-yaml": f"{team}/evaluations/{hog}/edit/?as=yaml",
        "labels": f"{team}/labels/",
        "label-queue": f"{team}/labels/{scene.queue}/",
        "label-next": f"{team}/labels/{scene.queue}/next/",
        "label-none": f"{team}/labels/{scene.labelled_queue}/next/",
        "trust": f"{team}/evaluations/{hog}/trust/",
        "trust-cascade": f"{team}/evaluations/{score}/trust/",
        "trust-judge": f"{team}/evaluations/{judge}/trust/?version=1&slice=model",
        "trust-jury": f"{team}/evaluations/{scene.jury}/trust/",
        "result-jury": f"{team}/results/{scene.jury_result}/",
        "result-shortened": f"{team}/results/{scene.shortened}/?open=why+labels",
        "evaluation-open": f"{team}/evaluations/{hog}/?range=7d&open=corrected+groups+funnel",
        "trust-open": f"{team}/evaluations/{score}/trust/?open=figures+steps",
        "comparison": f"{team}/evaluations/{judge}/comparisons/{scene.comparison}/",
        "consistency": f"{team}/evaluations/{hog}/trust/{scene.consistency}/",
        "golden-sets": f"{team}/golden-sets/",
        "golden-set": f"{team}/golden-sets/{scene.golden}/",
        "golden-version": f"{team}/golden-sets/{scene.golden}/2/?other=1",
        "reports": f"{team}/reports/",
        "report": f"{team}/reports/{scene.report.partition('/')[0]}/",
        "report-run": f"{team}/reports/{scene.report}/",
        "report-sent": f"{team}/reports/{scene.report}/sent/",
        "clusters": f"{team}/clusters/",
        "cluster-run": f"{team}/clusters/{scene.clusters}/",
        "jobs": f"{team}/jobs/",
        "datasets": f"{team}/datasets/",
        "dataset": f"{team}/datasets/{scene.dataset}/",
        "keys": f"{team}/keys/",
        "audit": f"{team}/audit/",
        "operations-audit": "/console/operations/audit/",
        "health": "/console/operations/health/",
        "budgets": "/console/operations/budgets/",
        "replays": "/console/operations/replays/",
        "dead-letters": "/console/operations/dead-letters/",
        "dead-letters-open": "/console/operations/dead-letters/?open=list",
        "dead-letter": "/console/operations/dead-letters/0:1/",
        "missing": f"{team}/nothing/here/",
        "missing-without-a-team": "/console/nobody/nothing/",
    }


def _dry_run(page: Page, _scene: Scene) -> None:
    page.goto("/console/operations/dead-letters/")
    page.check("input[name=id] >> nth=0")
    page.click("button[value=dry]")
    page.wait_for_selector("input[name=count]")


def _editor_errors(page: Page, scene: Scene) -> None:
    page.goto(f"/console/{scene.team}/evaluations/{scene.evaluations[1].id}/edit/")
    page.fill("#code", "return (")
    page.click("button[value=save]")
    page.wait_for_selector(".problem")


def _editor_conflict(page: Page, scene: Scene) -> None:
    path = f"/console/{scene.team}/evaluations/{scene.evaluations[2].id}/edit/"
    second = page.context.new_page()
    page.goto(path)
    second.goto(path)
    second.fill("[name=description]", f"Changed {id(second)}")
    second.click("button[value=save]")
    second.wait_for_selector(".done")
    second.close()
    page.fill("[name=description]", "Changed here")
    page.click("button[value=save]")
    page.wait_for_selector("#theirs")


def _cost_of_a_run(page: Page, scene: Scene) -> None:
    page.goto(f"/console/{scene.team}/datasets/{scene.dataset}/")
    page.click("details summary >> text=Start a run")
    page.select_option("select[name=evaluation]", scene.evaluations[0].id)
    page.select_option("select[name=kind]", "comparison")
    page.fill("input[name=other]", "1")
    page.click("button[value=dry]")
    page.wait_for_selector("#dry")


STEPS: Mapping[str, Callable[[Page, Scene], None]] = {
    "dead-letters-dry-run": _dry_run,
    "edit-with-errors": _editor_errors,
    "edit-with-a-conflict": _editor_conflict,
    "dataset-cost-of-a-run": _cost_of_a_run,
}
"""Pages that answer a form."""


def placeholders() -> Scene:
    """Return a scene that is in no store, for the paths of its pages."""
    texts = {each.name: "some/run" if each.name in ("report", "clusters") else "some" for each in fields(Scene)}
    lists = {"evaluations": [SimpleNamespace(id="some")] * 4, "events": ["some"], "results": [("some", "some")]}
    return Scene(**{**texts, **lists, "team": 1})


NAMES = tuple(pages_of(placeholders()))
