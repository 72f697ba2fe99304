"""Each main page of the admin as people see it: light and wide, dark and narrow.

Kept as pictures in `.artifacts` (or ARTIFACTS_DIR), and checked for what keeps people out. Not part
of `make test`, which would look at two databases; .ci/run runs it: `pytest
tests/system/gallery.py`. `make pictures` also keeps the pictures of the documentation.
"""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import Group
from playwright.sync_api import Page

from tenants.roles import VIEWER
from tests.support.admin_pages import PICTURES, addresses
from tests.support.api import PASSWORD
from tests.support.browser import (
    NARROW,
    WIDE,
    assert_accessible,
    assert_fits,
    keep_picture,
    keep_screenshot,
    log_in,
    page_of,
)
from tests.support.factories import UserFactory

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": WIDE},
    "dark": {"color_scheme": "dark", "viewport": NARROW},
}
SEEN_BY_VIEWERS = (
    "overview", "contacts", "contacts-filtered", "contacts-nobody", "contact", "contact-alike",
    "changes", "contact-history", "contact-proof", "duplicates", "bulk-actions", "bulk-action",
    "tags", "tag", "imports", "import", "exports", "export", "saved-views", "saved-view",
    "preferences",
)  # fmt: skip


def look_at(page: Page, name: str, problems: dict[str, list[str]]) -> None:
    """Adds the problems of the page under its `name`."""
    page.wait_for_load_state("networkidle")
    keep_screenshot(page, name)
    if name.removesuffix("-light") in PICTURES:
        keep_picture(page, name.removesuffix("-light"))
    problems[name] = []
    for check in (assert_fits, assert_accessible):
        try:
            check(page)
        except AssertionError as error:
            problems[name].append(f"{name}: {error}")


@pytest.mark.slow
def test_viewers_can_read_their_pages(
    admin_server: httpx.Client, rows: SimpleNamespace, groups: None
) -> None:
    """They see values where others see boxes to type into."""
    viewer = UserFactory.create(tenant=rows.tenant, is_staff=True)
    viewer.set_password(PASSWORD)
    viewer.save()
    viewer.groups.set(Group.objects.filter(name=VIEWER))
    problems: dict[str, list[str]] = {}
    with page_of(admin_server) as page:
        log_in(page, SimpleNamespace(user=viewer))
        for name in SEEN_BY_VIEWERS:
            answer = page.goto(addresses(rows)[name])
            assert answer
            assert answer.status == 200, name
            look_at(page, f"{name}-viewer", problems)
    found = [text for texts in problems.values() for text in texts]
    assert not found, "\n\n".join(found)


@pytest.mark.slow
@pytest.mark.parametrize("look", LOOKS)
def test_each_page_can_be_read_by_everybody(
    admin_server: httpx.Client, rows: SimpleNamespace, tmp_path: Path, look: str
) -> None:
    file = tmp_path / "customers.csv"
    file.write_text("Mobile;Name;City\n+33612345678;Zoé;Lyon\n12;Bob;\n")
    problems: dict[str, list[str]] = {}
    with page_of(admin_server, **LOOKS[look]) as page:
        page.goto("/admin/")
        look_at(page, f"login-{look}", problems)
        log_in(page, SimpleNamespace(user=rows.user))
        for name, address in addresses(rows).items():
            answer = page.goto(address)
            assert answer
            assert answer.status == 200, address
            look_at(page, f"{name}-{look}", problems)
        page.goto(addresses(rows)["import-new"])
        page.locator("select[name=tenant]").select_option(label="Acme Co.")
        page.locator("input[type=file]").set_input_files(file)
        page.get_by_role("button", name="Upload and preview").click()
        look_at(page, f"import-preview-{look}", problems)
        page.goto(addresses(rows)["contacts"])
        page.get_by_text("Filters").first.click()
        look_at(page, f"filters-{look}", problems)
        page.goto(addresses(rows)["contacts"])
        page.keyboard.press("Control+k")
        page.get_by_label("Search text").fill("a")
        page.locator("#finder a").first.wait_for()
        look_at(page, f"finder-{look}", problems)
        for action in ("add_tag", "merge"):
            page.goto(addresses(rows)["contacts"])
            for box in page.locator("input.action-select").all()[:2]:
                box.check()
            page.locator("select[name=action]").select_option(action)
            page.get_by_role("button", name="Run").click()
            look_at(page, f"{action}-{look}", problems)
    found = [text for texts in problems.values() for text in texts]
    assert not found, "\n\n".join(found)
    assert {f"{name}-{look}" for name in PICTURES} <= problems.keys()
