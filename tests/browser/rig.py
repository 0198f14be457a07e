"""One browser, one server, and what every page is watched for: violations of the policy, foreign requests, errors."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Route, expect

from tests.services.waiting import PATIENCE_S

_QUIET = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-default-apps",
    "--disable-domain-reliability",
    "--disable-sync",
    "--no-first-run",
    "--no-default-browser-check",
    "--disable-features=OptimizationHints,MediaRouter,Translate",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1, EXCLUDE localhost",
)
_LISTEN = """
window.__violations = [];
document.addEventListener("securitypolicyviolation", (event) =>
  window.__violations.push(event.violatedDirective + " " + event.blockedURI + " " + event.sample));
const { timeout } = AbortSignal;
window.__deadlines = [];
AbortSignal.timeout = (ms) => { window.__deadlines.push(ms); return timeout.call(AbortSignal, ms * STRETCH); };
"""
STRETCH = 30
"""A part of a page gets so many times its deadline, because a machine that runs other tests is slow."""
PATIENCE_MS = PATIENCE_S * 1000
NAMES = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""Debian builds all of its own from one source; the first has no windows, and takes a sixth less of a core."""


def browser_path() -> str:
    """Return the path of the browser of this machine; nothing is downloaded."""
    found = os.environ.get("GAVEL_TEST_BROWSER") or next((path for name in NAMES if (path := shutil.which(name))), None)
    if not found:
        raise RuntimeError("there is no Chromium; run .ci/install-services, or set GAVEL_TEST_BROWSER to one")
    return found


def launch(playwright: Playwright) -> Browser:
    """Start the browser."""
    return playwright.chromium.launch(executable_path=browser_path(), args=list(_QUIET))


@dataclass
class Watch:
    """Collects the problems of open pages: requests that left the server, errors of the console, dialogs.

    Attributes:
        stretch: how many times its deadline a part of a page gets.
    """

    base: str
    stretch: int = STRETCH
    foreign: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)
    dialogs: list[str] = field(default_factory=list)

    def over(self, context: BrowserContext) -> None:
        """Watch all pages of a context, and abort every request that leaves the server."""
        context.add_init_script(_LISTEN.replace("STRETCH", str(self.stretch)))
        context.route("**/*", self._route)
        context.on("page", self._page)

    def _route(self, route: Route) -> None:
        address = route.request.url
        if address.startswith(("data:", "blob:", "about:")) or urlsplit(address).netloc == urlsplit(self.base).netloc:
            route.continue_()
            return
        self.foreign.append(address)
        route.abort()

    def _page(self, page: Page) -> None:
        page.on("console", lambda message: self.errors.append(message.text) if message.type == "error" else None)
        page.on("pageerror", lambda error: self.errors.append(str(error)))

        def on_dialog(dialog: Any) -> None:
            self.dialogs.append(dialog.message)
            dialog.dismiss()

        page.on("dialog", on_dialog)

    def check(self, page: Page) -> None:
        """Fail if anything went wrong on `page` or before."""
        found = [*page.evaluate("window.__violations"), *self.foreign, *self.errors, *self.dialogs]
        assert not found, found


@contextmanager
def opened(
    browser: Browser, base: str, *, stretch: int = STRETCH, **options: Any
) -> Iterator[tuple[BrowserContext, Watch]]:
    """Give a context of its own with a watch over it."""
    options = {
        "timezone_id": "UTC",
        "locale": "en-GB",
        "reduced_motion": "reduce",
        "viewport": {"width": 1280, "height": 900},
    } | options
    context = browser.new_context(base_url=base, **options)
    # A machine that runs other tests at the same time is slow, which is not what these tests are about.
    context.set_default_timeout(PATIENCE_MS)
    expect.set_options(timeout=PATIENCE_MS)
    watch = Watch(base, stretch)
    watch.over(context)
    try:
        yield context, watch
    finally:
        context.close()


def wait_until(page: Page, function: str, argument: object = None) -> None:
    """Block until a JavaScript function is true of `argument`.

    An expression would not do: from its second look on the policy of the page forbids the browser to evaluate a string.
    """
    assert "=>" in function, f"{function!r} is not a function"
    page.wait_for_function(function, arg=argument)


def sign_in(page: Page, secret: str, path: str = "/console/") -> None:
    """Sign in with an API key and go to `path`."""
    page.goto(f"/console/sign-in/?next={path}")
    page.fill("#key", secret)
    page.click("main button.primary")
