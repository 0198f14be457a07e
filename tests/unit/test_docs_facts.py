"""Every command, option, setting, metric and panel that a page names exists."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer
import yaml
from typer.core import TyperGroup

from cli.main import build_app
from config.settings import Settings
from config.settings.reference import describe_settings
from processor.metric_catalogue import CATALOGUE
from tests.services.cache import CHECKOUT

PAGES = [CHECKOUT / "README.md", CHECKOUT / "SECURITY.md", *sorted((CHECKOUT / "docs").rglob("*.md"))]
RUNBOOKS = sorted((CHECKOUT / "docs/runbooks").glob("Gavel*.md"))

COMMAND = re.compile(r"`gavel ([^`]+)`|^\s*(?:\$ )?gavel (.+)$", re.MULTILINE)
DOTTED = re.compile(r"`([a-z_]+(?:\.[a-z_]+)+)`")
SERIES = re.compile(r"`(gavel_[a-z_]+)(?:\{[^`]*\})?`")
PANEL = re.compile(r"(?:Overview|Judging|Stream|Results dashboard), \*([^*]+)\*")

GAVEL = typer.main.get_command(build_app())
OF_OTHERS = {"log.connection.close", "api.workers", "ingest.workers"}
"""Dotted names that are not settings: an option of librdkafka, and values of the Helm chart."""


def ids(page: Path) -> str:
    return page.name


def unknown_part(line: str) -> str | None:
    """Return the first word of a command line that `gavel` does not know, or None."""
    command = GAVEL
    for word in line.split("#")[0].split():
        name = word.strip("[]()…`,.|").split("=")[0]
        if name.startswith("--"):
            options = {option for each in command.params for option in (*each.opts, *each.secondary_opts)}
            if name not in options | {"--help"}:
                return word
        elif isinstance(command, TyperGroup):
            if name not in command.commands:
                return word
            command = command.commands[name]
    return None


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_a_page_names_only_commands_and_options_that_exist(page: Path) -> None:
    lines = [first or second for first, second in COMMAND.findall(page.read_text())]
    wrong = [line for line in lines if not line.startswith("COMMAND ") and unknown_part(line) is not None]
    assert wrong == []


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_a_page_names_only_settings_that_exist(page: Path) -> None:
    known = {setting.name for setting in describe_settings(environ={})}
    sections = {name for name in Settings.model_fields if any(path.startswith(f"{name}.") for path in known)}
    named = {name for name in DOTTED.findall(page.read_text()) if name.split(".")[0] in sections}
    parts = {path.rsplit(".", 1)[0] for path in known}
    assert {name for name in named if not name.endswith(".py")} - known - parts - OF_OTHERS == set()


@pytest.mark.parametrize("page", PAGES, ids=ids)
def test_a_page_names_only_metrics_that_exist(page: Path) -> None:
    names = {name.removesuffix("_total") for name in CATALOGUE}
    topics = set(Settings().kafka.topics.model_dump().values())
    wrong = {name for name in SERIES.findall(page.read_text()) if name.removesuffix("_total") not in names}
    assert {name for name in wrong if not name.endswith("_")} - topics == set()


@pytest.mark.parametrize("page", RUNBOOKS, ids=ids)
def test_a_runbook_names_only_panels_that_exist(page: Path) -> None:
    titles = set()
    for each in (CHECKOUT / "deploy/grafana/panels").glob("*.yaml"):
        for row, panels in yaml.safe_load(each.read_text())["rows"].items():
            titles |= {row, *(panel["title"] for panel in panels)}
    assert set(PANEL.findall(page.read_text())) - titles == set()
