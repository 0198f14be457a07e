"""The addresses of all pages of a scene."""

from __future__ import annotations

from types import SimpleNamespace

from tests.browser.scene import Scene


def pages_of(scene: Scene) -> dict[str, str]:
    """Return a name and a path for every page that a reader with all scopes can open."""
    team = f"/console/{scene.team}"
    judge, hog, _, score = (evaluation.id for evaluation in scene.evaluations)
    event, trace = scene.events[-1], "trace-1-2"
    return {
        "sign-in": "/console/sign-in/",
        "overview": f"{team}/",
        "evaluations": f"{team}/evaluations/",
        "evaluation": f"{team}/evaluations/{judge}/?range=7d",
        "evaluation-labelled": f"{team}/evaluations/{hog}/?range=7d",
        "evaluation-score": f"{team}/evaluations/{score}/?range=24h&by=environment",
        "results": f"{team}/results/?range=24h&verdict=fail",
        "results-of-one": f"{team}/evaluations/{hog}/results/",
        "generation": f"{team}/generations/{event}/",
        "generation-formatted": f"{team}/generations/{event}/?view=formatted",
        "result": f"{team}/results/{scene.results[-1][0]}/",
        "trace": f"{team}/traces/{trace}/",
        "versions": f"{team}/evaluations/{judge}/versions/",
        "new": f"{team}/evaluations/new/",
        "edit": f"{team}/evaluations/{hog}/edit/",
        "edit-judge": f"{team}/evaluations/{judge}/edit/",
        "labels": f"{team}/labels/",
        "label-queue": f"{team}/labels/{scene.queue}/",
        "label-next": f"{team}/labels/{scene.queue}/next/",
        "trust": f"{team}/evaluations/{hog}/trust/",
        "trust-cascade": f"{team}/evaluations/{score}/trust/",
        "trust-judge": f"{team}/evaluations/{judge}/trust/?version=1&slice=model",
        "trust-jury": f"{team}/evaluations/{scene.jury}/trust/",
        "result-jury": f"{team}/results/{scene.jury_result}/",
        "comparison": f"{team}/evaluations/{judge}/comparisons/{scene.comparison}/",
        "consistency": f"{team}/evaluations/{hog}/trust/{scene.consistency}/",
        "golden-sets": f"{team}/golden-sets/",
        "golden-set": f"{team}/golden-sets/{scene.golden}/",
        "golden-version": f"{team}/golden-sets/{scene.golden}/2/?other=1",
        "reports": f"{team}/reports/",
        "report": f"{team}/reports/{scene.report.partition('/')[0]}/",
        "report-run": f"{team}/reports/{scene.report}/",
        "clusters": f"{team}/clusters/",
        "cluster-run": f"{team}/clusters/{scene.clusters}/",
        "jobs": f"{team}/jobs/",
        "datasets": f"{team}/datasets/",
        "keys": f"{team}/keys/",
        "audit": f"{team}/audit/",
        "health": "/console/operations/health/",
        "budgets": "/console/operations/budgets/",
        "replays": "/console/operations/replays/",
        "dead-letters": "/console/operations/dead-letters/",
        "dead-letter": "/console/operations/dead-letters/0:1/",
        "missing": f"{team}/nothing/here/",
    }


NAMES = tuple(pages_of(Scene(1, evaluations=[SimpleNamespace(id="")] * 4, events=[""], results=[("", "")])))
