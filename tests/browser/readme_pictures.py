"""The two pictures of the README: `python -m tests.browser.readme_pictures FOLDER`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.conftest import serve
from tests.browser.pages import pages_of
from tests.browser.rig import launch, opened, sign_in
from tests.services.clickhouse import clickhouse_server

PICTURES = {"console-evaluation": "evaluation", "console-generation": "result"}


def main() -> None:
    """Write the pictures."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    with (
        clickhouse_server() as dsn,
        tempfile.TemporaryDirectory() as data,
        serve(dsn, Path(data)) as served,
        sync_playwright() as played,
    ):
        browser = launch(played)
        with opened(browser, served.base, viewport={"width": 1100, "height": 760}, color_scheme="light") as (
            context,
            _,
        ):
            page = context.new_page()
            sign_in(page, served.scene.secret)
            for name, path in PICTURES.items():
                page.goto(pages_of(served.scene)[path])
                page.wait_for_load_state("networkidle")
                page.screenshot(path=folder / f"{name}.png")
        browser.close()


if __name__ == "__main__":
    main()
