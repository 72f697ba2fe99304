"""How many clicks the daily work of staff takes in the admin. docs/admin.md has the table."""

import re
from collections.abc import Callable, Iterable, Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from django.db import connection
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page, expect

from contacts.change_log.cause import caused_by
from contacts.importing.options import clean
from contacts.importing.remembered import digest
from contacts.jobs import duplicate_search
from contacts.models import Change, Import, SavedView
from contacts.writing import edit
from tenants.fields import new_ulid
from tests.support import crowd
from tests.support.browser import Hand, log_in, page_of
from tests.support.documents import table
from tests.support.factories import ContactFactory, UserFactory

pytestmark = [pytest.mark.once, pytest.mark.slow]

MANY = 2_839
ROW = "+49 1522 8817386;Lena Vogt;Köln"
ODD = ["Rufnr.", "Wer", "Wohnt in"]
KNOWN = {"Telnr.": "phone", "Kunde": "name", "Stadt": "metadata.city"}  # from an earlier import


def find(hand: Hand, name: str) -> None:
    hand.page.keyboard.press("Control+k")
    hand.type(name)
    hand.enter()
    expect(hand.page.locator(".summary .who")).to_contain_text(name)


def fix_a_name(hand: Hand) -> None:
    find(hand, "Ada")
    hand.click(hand.page.get_by_label("Name", exact=True))
    hand.page.keyboard.press("Control+a")
    hand.type("Ada King")
    hand.press("button", "Save")
    is_said(hand, "was changed successfully")


def tag_one(hand: Hand) -> None:
    find(hand, "Grace")
    hand.click(hand.page.get_by_role("combobox", name="Tags"))
    hand.type("gold")
    hand.press("button", "Save")
    is_said(hand, "was changed successfully")


def tag_many(hand: Hand) -> None:
    hand.click(hand.page.get_by_role("link", name=re.compile("^The crowd")))
    hand.press("button", "Tag all…")
    expect(hand.page.locator(".count")).to_have_text(f"{MANY:,} contacts")
    hand.click(hand.page.get_by_label("Tag", exact=True))
    hand.type("spring")
    hand.enter()
    expect(hand.page.locator(".count")).to_contain_text(f"of {MANY:,} contacts")


def undo(hand: Hand) -> None:
    timeline = hand.page.get_by_role("complementary", name="Timeline")
    hand.click(timeline.get_by_role("link", name="Undo").first)
    hand.press("button", "Undo")
    expect(hand.page.get_by_role("heading", name="Undone").first).to_be_visible()


def merge(hand: Hand) -> None:
    hand.open("Possible duplicates")
    hand.press("button", "Merge…")
    hand.press("button", "Merge 2 contacts")
    is_said(hand, "2 contacts merged.")


def opt_out(hand: Hand) -> None:
    find(hand, "Mary")
    hand.press("link", "Record consent")
    hand.click(hand.page.get_by_label("Opted out"))
    hand.press("button", "Record")
    expect(hand.page.locator(".summary")).to_contain_text("Do not contact")


def erase(hand: Hand) -> None:
    find(hand, "Mary")
    hand.press("link", "Erase")
    hand.click(hand.page.get_by_label("I have checked"))
    hand.press("button", "Erase")
    expect(hand.page.locator("h1.title")).to_have_text("Receipt of an erasure")


def make_a_token(hand: Hand) -> None:
    hand.open("API tokens")
    hand.press("link", "Add API token")
    hand.click(hand.page.get_by_label("Name"))
    hand.type("n8n")
    hand.choose(hand.page.get_by_label("User"), "ann@acme.example")
    hand.press("button", "Save")
    expect(hand.page.locator("body")).to_contain_text("it is shown only once")


def revoke(hand: Hand) -> None:
    hand.press("link", "Revoke n8n")
    hand.press("button", "Revoke")
    is_said(hand, "Revoked: n8n.")


def export_a_tag(hand: Hand) -> None:
    hand.click(hand.page.get_by_role("link", name=re.compile("^vip ")))
    hand.press("button", "Export all…")
    with hand.page.expect_download() as download:
        hand.press("button", "Export")
    assert download.value.suggested_filename.endswith(".xlsx")


def see_yesterday(hand: Hand) -> None:
    hand.open("Changes")
    hand.press("link", "Yesterday")
    hand.press("link", "bob@acme.example")
    rows = hand.page.locator("#result_list tr.data-row")
    expect(rows).to_have_count(1)
    expect(rows).to_contain_text("Radia P → Radia Perlman")


def upload(hand: Hand, folder: Path, columns: Iterable[str]) -> None:
    file = folder / "kunden.csv"
    file.write_text(f"{';'.join(columns)}\n{ROW}\n")
    hand.open("Imports")
    hand.press("link", "Add import")
    hand.upload(file)
    hand.press("button", "Upload and preview")


def import_unknown(hand: Hand, folder: Path) -> None:
    upload(hand, folder, ODD)
    expect(hand.page.get_by_label("Rufnr.", exact=True)).to_have_value("phone")
    hand.choose(hand.page.get_by_label("Wer", exact=True), "Name")
    hand.choose(hand.page.get_by_label("Wohnt in", exact=True), "metadata: Wohnt in")
    hand.press("button", "Import")
    expect(hand.page.locator("#progress")).to_contain_text("Queued")


def import_known(hand: Hand, folder: Path) -> None:
    upload(hand, folder, KNOWN)
    expect(hand.page.get_by_label("Kunde", exact=True)).to_have_value("name")
    hand.press("button", "Import")
    expect(hand.page.locator("#progress")).to_contain_text("Queued")


def is_said(hand: Hand, text: str) -> None:
    expect(hand.page.locator("body")).to_contain_text(text)


@pytest.fixture
def workplace(admin_staff: SimpleNamespace) -> dict[str, str]:
    """The addresses of the pages at which the work begins. A colleague has mended a name yesterday,
    two contacts are one person, and many have come with an import."""
    tenant, user = admin_staff.tenant, admin_staff.user
    for name, email in (
        ("Ada Lovelace", "ada@example.com"), ("Lovelace Ada", "ada@example.com"),
        ("Grace Hopper", ""), ("Mary Keller", ""), ("Radia P", ""),
    ):  # fmt: skip
        last = ContactFactory.create(tenant=tenant, name=name, email=email, source="manual")
    duplicate_search.search(once=True)
    bob = UserFactory.create(tenant=tenant, email="bob@acme.example", is_staff=True)
    with caused_by(f"user:{bob.pk}", change_set := new_ulid()):
        edit.change(last, name="Radia Perlman")
    yesterday = timezone.now() - timedelta(days=1)
    Change.objects.filter(change_set=change_set).update(at=yesterday)
    crowd.fill(connection, tenant, MANY)
    Import.objects.create(
        tenant=tenant, file_name="kunden.csv", state=Import.State.DONE,
        options=clean({}) | {"map": KNOWN}, columns_digest=digest([*KNOWN]),
    )  # fmt: skip
    SavedView.objects.create(
        tenant=tenant, actor=f"user:{user.pk}", name="The crowd", filter={"source": ["api"]}
    )
    return {
        "First page": reverse("admin:index"),
        "Page of the contact": reverse(
            "admin:contacts_contact_change", args=[tenant.contacts.get(name="Grace Hopper").pk]
        ),
        "List of tokens": reverse("admin:tenants_apitoken_changelist"),
    }


def tasks(folder: Path) -> Iterator[tuple[str, int, Callable[[Hand], None]]]:
    """Each task with its most clicks, in an order in which it finds what it needs."""
    yield "Find a contact", 1, lambda hand: find(hand, "Grace")
    yield "Fix a name", 3, fix_a_name
    yield "Tag a contact", 3, tag_one
    yield f"Tag {MANY:,} contacts", 6, tag_many
    yield "Undo a change", 2, undo
    yield "Import a file whose columns are not known", 12, lambda hand: import_unknown(hand, folder)
    yield "Import a file with columns like before", 6, lambda hand: import_known(hand, folder)
    yield "Merge two contacts", 4, merge
    yield "Opt a person out", 4, opt_out
    yield "Erase a person", 4, erase
    yield "Make a token", 6, make_a_token
    yield "Revoke a token", 2, revoke
    yield "Export the contacts with a tag", 5, export_a_tag
    yield "See what a colleague changed yesterday", 3, see_yesterday


def clicks(page: Page, act: Callable[[Hand], None]) -> int:
    hand = Hand(page)
    act(hand)
    return hand.clicks


def test_the_table_says_how_many_clicks_daily_work_takes(
    admin_server: httpx.Client, admin_staff: SimpleNamespace, workplace: dict[str, str],
    tmp_path: Path,
) -> None:  # fmt: skip
    documented = {task: (begin, number) for task, begin, number in table("| task |")}
    measured, most = {}, {}
    with page_of(admin_server) as page:
        log_in(page, admin_staff)
        for task, most[task], act in tasks(tmp_path):
            begin, _ = documented[task]
            page.goto(workplace[begin])
            measured[task] = (begin, str(clicks(page, act)))
    assert measured == documented
    assert {
        task: number for task, (_, number) in measured.items() if int(number) > most[task]
    } == {}
