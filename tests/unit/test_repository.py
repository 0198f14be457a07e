"""The repository is complete: nothing in it reads or names a file that lies outside of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services.cache import CHECKOUT

_LOOKS_UP = re.compile(r"__file__\)?(?:\.resolve\(\)|\.absolute\(\))?(?:\.parents\[(\d+)\]|((?:\.parent\b)+))")
_PAGE = re.compile(r"(?<!:)(?<![\w./-])[\w./-]+\.md\b")
"""Names of pages; an address of another site is not one."""
_WRITTEN = (".py", ".md", ".yaml", ".yml", ".toml", ".json", ".sh", "")


def _files(*suffixes: str) -> Iterator[Path]:
    """Yield the files of the repository with these suffixes, without what tools leave in a checkout."""
    for top in sorted(CHECKOUT.iterdir()):
        if top.is_file() and top.suffix in suffixes:
            yield top
        elif top.is_dir() and (not top.name.startswith(".") or top.name in (".ci", ".github")):
            yield from (
                path
                for path in sorted(top.rglob("*"))
                if path.suffix in suffixes and "node_modules" not in path.parts and path.is_file()
            )


def climbs_above(text: str, depth: int) -> list[str]:
    """Return the expressions by which a module `depth` folders below the top reaches above the top."""
    found = []
    for match in _LOOKS_UP.finditer(text):
        levels = int(match[1]) if match[1] else match[2].count(".parent") - 1
        if levels > depth:
            found.append(match[0])
    return found


def test_no_module_reaches_above_the_repository() -> None:
    above = {
        f"{path.relative_to(CHECKOUT)}: {each}"
        for path in _files(".py")
        for each in climbs_above(path.read_text(encoding="utf-8"), len(path.relative_to(CHECKOUT).parts) - 1)
    }
    assert above == set()


@pytest.mark.parametrize(
    ("expression", "depth", "above"),
    [
        (".resolve().parents[3]", 2, True),
        (".parents[2]", 2, False),
        (".parent.parent.parent", 1, True),
        (".parent.parent", 1, False),
    ],
)
def test_the_check_counts_folders(expression: str, depth: int, above: bool) -> None:
    module = "HERE = Path({}){} / 'x'".format("__file__", expression)
    assert bool(climbs_above(module, depth)) is above


def test_every_page_that_is_named_is_in_the_repository() -> None:
    """Tests make up pages for the code under test, so a name without a folder does not count in them."""
    pages = {f"/{path.relative_to(CHECKOUT).as_posix()}" for path in _files(".md")}
    missing = {
        f"{path.relative_to(CHECKOUT)}: {name}"
        for path in _files(*_WRITTEN)
        for name in _PAGE.findall(path.read_text(encoding="utf-8"))
        if ("/" in name or not path.is_relative_to(CHECKOUT / "tests"))
        and not any(page.endswith(f"/{name.lstrip('./')}") for page in pages)
    }
    assert missing == set()


def test_every_relative_link_of_a_page_leads_somewhere_in_the_repository() -> None:
    broken = set()
    for path in _files(".md"):
        for target in re.findall(r"\]\(([^)#\s:]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            found = (path.parent / target).resolve()
            if not found.exists() or not found.is_relative_to(CHECKOUT.resolve()):
                broken.add(f"{path.relative_to(CHECKOUT)}: {target}")
    assert broken == set()
