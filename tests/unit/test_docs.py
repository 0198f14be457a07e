"""The pages name files that exist, link to pages that exist, and the first steps of the README work to the letter."""

from __future__ import annotations

import re
import shlex
import tomllib
from pathlib import Path

import pytest
import yaml
from typer.testing import CliRunner

from cli.main import build_app
from config.settings import load_settings
from examples.demo import say_how_to_look
from storage.sql.engine import open_store
from storage.sql.migrations import upgrade
from tests.services.cache import CHECKOUT

README = CHECKOUT / "README.md"
PAGES = [README, CHECKOUT / "CONTRIBUTING.md", CHECKOUT / "SECURITY.md", *sorted((CHECKOUT / "docs").glob("*.md"))]
ROOMS = ("api", "benchmarks", "cli", "conditions", "config", "console", "deploy", "docs", "evaluators", "examples")
ROOMS += ("ingest", "processor", "quality", "reports", "storage", "tests", ".ci", "locks")
PATH = re.compile(rf"^(?:{'|'.join(map(re.escape, ROOMS))})/[\w./*-]*$")
LINK = re.compile(r"\]\(([^)\s]+)\)")


def section(page: Path, title: str) -> str:
    """Return the text below a heading, up to the next of its level."""
    found = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", page.read_text(), re.MULTILINE | re.DOTALL)
    assert found is not None, f"{page.name} has no section {title!r}"
    return found[1]


def named_paths(text: str) -> list[str]:
    """Return the paths of this repository that stand in backquotes."""
    return [word for word in re.findall(r"`([^`\s]+)`", text) if PATH.match(word)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_names_only_files_that_exist(page: Path) -> None:
    missing = [path for path in named_paths(page.read_text()) if not list(CHECKOUT.glob(path.rstrip("/")))]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_links_only_to_files_and_headings_that_exist(page: Path) -> None:
    wrong = []
    for target in LINK.findall(page.read_text()):
        path, _, heading = target.partition("#")
        if "://" in target or target.startswith("mailto:"):
            continue
        file = (page.parent / path) if path else page
        if not file.exists() or (heading and heading not in headings(file)):
            wrong.append(target)
    assert wrong == []


def headings(page: Path) -> set[str]:
    """Return the anchors of a page, as the usual renderers make them."""
    titles = re.findall(r"^#+ (.*)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).replace(" ", "-") for title in titles}


def test_every_page_is_linked_from_the_readme() -> None:
    linked = set(LINK.findall(README.read_text()))
    pages = {f"docs/{page.name}" for page in (CHECKOUT / "docs").glob("*.md")}
    assert pages <= linked


def test_the_readme_has_at_most_150_lines() -> None:
    assert len(README.read_text().splitlines()) <= 150


def test_the_table_of_additions_names_its_files() -> None:
    rows = [line for line in section(CHECKOUT / "docs/architecture.md", "Where do I add …").splitlines() if "|" in line]
    for row in rows[2:]:
        what, change, proof = row.strip("|").split("|")
        assert named_paths(change), what
        assert len(named_paths(proof)) == 1, what
    assert len(rows) >= 2 + 8


def test_the_module_map_has_every_room() -> None:
    rooms = set(named_paths(section(CHECKOUT / "docs/architecture.md", "The module map")))
    project = tomllib.loads((CHECKOUT / "pyproject.toml").read_text())
    shipped = {f"{pattern.rstrip('*')}/" for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    assert {room for room in shipped if (CHECKOUT / room).is_dir()} <= rooms


def test_the_first_steps_of_the_readme_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`gavel up` makes the tables and stays; here the tables are made by hand.

    `tests/integration/test_up.py` runs the steps that need it to run.
    """
    monkeypatch.chdir(CHECKOUT)
    monkeypatch.setenv("GAVEL_DATA_DIR", str(tmp_path))
    database = open_store(load_settings())
    upgrade(database)
    database.close()
    steps = [
        shlex.split(line, comments=True)[1:]
        for line in section(README, "Start").splitlines()
        if line.startswith("gavel ") and not line.startswith("gavel up")
    ]
    beside, alone = steps[:3], steps[3:]
    assert [step[0] for step in beside] == ["send", "results", "provider-keys"]
    assert [step[0] for step in alone] == ["hog", "why", "evaluations"]
    for step in alone:
        done = CliRunner().invoke(build_app(), step)
        assert done.exit_code == 0, f"{step}\n{done.output}"


def test_the_demo_ends_with_the_command_that_shows_its_verdicts_in_the_console(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "my demo"
    say_how_to_look(folder)
    setting, program, *words = shlex.split(capsys.readouterr().err.splitlines()[-1])
    assert load_settings(environ=dict([setting.split("=", 1)])).data_dir == folder
    assert program == ".venv/bin/gavel"
    done = CliRunner().invoke(build_app(), [*words, "--help"])
    assert done.exit_code == 0, done.output


def test_the_readme_shows_the_pictures_that_the_test_rig_makes() -> None:
    shown = {Path(target).name for target in LINK.findall(README.read_text()) if target.endswith(".png")}
    stored = {path.name for path in (CHECKOUT / "docs/pictures").iterdir()}
    made = re.search(
        r"^PICTURES = \{(.*)\}$", (CHECKOUT / "tests/browser/readme_pictures.py").read_text(), re.MULTILINE
    )
    assert made is not None
    assert shown == stored == {f"{name}.png" for name in re.findall(r'"([\w-]+)":', made[1])}
    assert len(shown) == 2
    for name in stored:
        assert (CHECKOUT / "docs/pictures" / name).read_bytes().startswith(b"\x89PNG\r\n"), name


def test_the_table_of_tests_has_every_folder() -> None:
    page = (CHECKOUT / "docs/development.md").read_text()
    table = set(re.findall(r"^\| `tests/(\w+)` \|", page, re.MULTILINE))
    assert table == {path.parent.name for path in (CHECKOUT / "tests").glob("*/__init__.py")}


def test_the_hooks_and_the_workflow_run_what_make_lint_runs() -> None:
    hooks = yaml.safe_load((CHECKOUT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {repo["repo"] for repo in hooks} == {"local"}, "a hook from elsewhere would be downloaded"
    entries = {hook["entry"].split()[0] for repo in hooks for hook in repo["hooks"]}
    assert entries == {".venv/bin/ruff", ".venv/bin/mypy", ".venv/bin/python"}
    lint = (CHECKOUT / "Makefile").read_text().partition("\nlint-types:")[2].partition("\nformat:")[0]
    checks = {line for line in re.findall(r"\$\(BIN\)/python (\.ci/.*)", lint) if "--check" in line or "check_" in line}
    assert checks == {
        hook["entry"].split(maxsplit=1)[1] for repo in hooks for hook in repo["hooks"] if ".ci/" in hook["entry"]
    }
    steps = yaml.safe_load((CHECKOUT / ".github/workflows/ci.yaml").read_text())["jobs"]["check"]["steps"]
    assert ".ci/run" in steps[-1]["run"]
