"""Pictures of all pages, for people to look at: `python -m tests.browser.screenshots FOLDER [NAME …]`."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

from tests.browser.conftest import serve
from tests.browser.pages import pages_of
from tests.browser.rig import launch, opened, sign_in
from tests.services.clickhouse import clickhouse_server

LOOKS = (("light", 1280), ("dark", 1280), ("light", 320), ("dark", 320))


def main() -> None:
    """Write the pictures."""
    folder, names = Path(sys.argv[1]), sys.argv[2:]
    folder.mkdir(parents=True, exist_ok=True)
    with (
        clickhouse_server() as dsn,
        tempfile.TemporaryDirectory() as data,
        serve(dsn, Path(data)) as served,
        sync_playwright() as playwright,
    ):
        browser = launch(playwright)
        for scheme, width in LOOKS:
            options = {"color_scheme": scheme, "viewport": {"width": width, "height": 900}}
            with opened(browser, served.base, **options) as (context, watch):
                page = context.new_page()
                sign_in(page, served.scene.operator)
                sign_in(page, served.scene.secret)
                for name, path in pages_of(served.scene).items():
                    if names and name not in names:
                        continue
                    page.goto(path)
                    page.wait_for_load_state("networkidle")
                    page.screenshot(path=folder / f"{name}-{scheme}-{width}.png", full_page=True)
                for problem in (*watch.errors, *watch.foreign):
                    print(problem)  # noqa: T201  # a tool for people
        browser.close()


if __name__ == "__main__":
    main()
