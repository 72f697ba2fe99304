"""A real browser at the real server, as a person with a mouse has it."""

import os
import re
from base64 import b64decode
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import (
    ConsoleMessage,
    Locator,
    Page,
    Request,
    expect,
    sync_playwright,
)

from tests.support.api import PASSWORD
from tests.support.paths import ROOT
from tests.support.processes import need

WIDE, NARROW = {"width": 1280, "height": 900}, {"width": 390, "height": 844}
# Screenshots, for people to look at after a run; git ignores them.
ARTIFACTS = ROOT / os.environ.get("ARTIFACTS_DIR", ".artifacts")
PATIENCE = 60_000  # milliseconds: machines are slow at times
expect.set_options(timeout=PATIENCE)


@contextmanager
def page_of(server: httpx.Client, **options: Any) -> Iterator[Page]:
    """A page of a browser that reaches `server` and nothing else.

    Any attempt to reach something else, and any error of a script or on the console, fails the
    test. `options`: of the browser's context, such as `color_scheme`.
    """
    chromium = need("chromium")
    complaints: list[str] = []

    def note_strangers(request: Request) -> None:
        if not request.url.startswith((str(server.base_url), "data:", "blob:")):
            complaints.append(request.url)

    def note_errors(message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            complaints.append(f"{page.url}: {message.text}")

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=["--no-sandbox"], timeout=PATIENCE
        )
        page = browser.new_page(base_url=str(server.base_url), **{"viewport": WIDE} | options)
        page.set_default_timeout(PATIENCE)
        page.on("pageerror", lambda error: complaints.append(f"{page.url}: {error}"))
        page.on("console", note_errors)
        page.on("request", note_strangers)
        yield page
        browser.close()
    assert not complaints, "\n".join(complaints)


def log_in(page: Page, member: SimpleNamespace) -> None:
    """The page of the login may be in any language."""
    page.goto("/admin/")
    page.locator("#id_username").fill(member.user.email)
    page.locator("#id_password").fill(PASSWORD)
    page.keyboard.press("Enter")
    page.wait_for_url(lambda url: "/login/" not in url)


class Hand:
    """Somebody at a page. `clicks`: clicks so far. A press of Enter counts like a click, and so do
    both parts of a choice: opening a list or a dialog of files, and choosing in it. Typing and
    other keys do not count."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.clicks = 0

    def click(self, target: Locator) -> None:
        self.clicks += 1
        target.click()

    def press(self, role: Any, name: str) -> None:
        self.click(self.page.get_by_role(role, name=name, exact=True).first)

    def open(self, entry: str) -> None:
        """An entry of the menu, beside which may be a number."""
        menu = self.page.get_by_role("navigation", name="Menu")
        self.click(menu.get_by_role("link", name=re.compile(rf"^{entry}( \d|$)")))

    def choose(self, box: Locator, option: str) -> None:
        self.clicks += 2
        box.select_option(label=option)

    def upload(self, file: Path) -> None:
        self.clicks += 2
        self.page.locator("input[type=file]").set_input_files(file)

    def type(self, text: str) -> None:
        self.page.keyboard.type(text, delay=30)

    def enter(self) -> None:
        self.clicks += 1
        self.page.keyboard.press("Enter")


def assert_accessible(page: Page) -> None:
    """As axe-core sees it: WCAG 2.2 A and AA and its best practices, without any finding. And the
    names of icons, such as "person", are not read out."""
    found = [
        f"{fault['id']} ({fault['impact']}): {node['target']} {node['html'][:200]}"
        for fault in Axe().run(page).response["violations"]
        for node in fault["nodes"]
    ]
    icons = page.locator(".material-symbols-outlined:not([aria-hidden=true], [aria-label])")
    found += [f"icon without aria-hidden: {icon}" for icon in icons.all_text_contents()]
    assert not found, f"{page.url}\n" + "\n".join(found)


def assert_fits(page: Page) -> None:
    """Nothing has to be pushed aside to be read."""
    width = page.viewport_size["width"] if page.viewport_size else 0
    assert page.evaluate("document.documentElement.scrollWidth") <= width, page.url


def keep_picture(page: Page, name: str) -> None:
    """The picture of the page for the documentation, if PICTURES_DIR names its folder. WebP, which
    Playwright itself cannot make, has a third of the bytes of PNG."""
    if folder := os.environ.get("PICTURES_DIR"):
        asked = {"format": "webp", "quality": 80}
        shot = page.context.new_cdp_session(page).send("Page.captureScreenshot", asked)
        Path(ROOT, folder, f"{name}.webp").write_bytes(b64decode(shot["data"]))


def keep_screenshot(page: Page, name: str) -> None:
    ARTIFACTS.mkdir(exist_ok=True)
    page.screenshot(path=Path(ARTIFACTS, f"{name}.png"))
