"""The admin in a real browser: what staff do in a day, and how it looks to whom."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from django.contrib.auth.models import Permission
from django.urls import reverse
from playwright.sync_api import Page, expect

from contacts.models import BulkAction, Contact, Import

from .browser import (
    NARROW,
    PASSWORD,
    WIDE,
    assert_accessible,
    assert_fits,
    keep_screenshot,
    log_in,
    page_of,
)
from .conftest import serving
from .factories import ContactFactory
from .test_import_api import worker

CONTACTS = reverse("admin:contacts_contact_changelist")


@pytest.fixture
def server(
    transactional_db: None, acme: SimpleNamespace, server_data_dir: Path
) -> Iterator[httpx.Client]:
    """One of its own for each test: a server knows the ids of content types by heart, and between
    tests they change."""
    with (
        serving(server_data_dir / "admin-log", workers=1) as url,
        httpx.Client(base_url=url) as web,
    ):
        yield web


@pytest.fixture
def staff(server: httpx.Client, acme: SimpleNamespace) -> SimpleNamespace:
    """Somebody of Acme who may do everything there."""
    acme.tenant.default_region = "US"
    acme.tenant.save()
    acme.user.is_staff = True
    acme.user.set_password(PASSWORD)
    acme.user.save()
    acme.user.user_permissions.set(
        Permission.objects.filter(content_type__app_label__in=["contacts", "tenants"])
    )
    return acme


@pytest.fixture
def people(staff: SimpleNamespace) -> list[Contact]:
    names = ["Ada Lovelace", "Grace Hopper", "Mary Kenneth Keller", "Radia Perlman"]
    return [
        ContactFactory.create(
            tenant=staff.tenant, name=name, phone=f"+1415555010{number}", tags=["vip", "early"],
            email=f"{name.split()[0].lower()}@example.com", metadata={"city": "Paris"},
        )
        for number, name in enumerate(names)
    ]  # fmt: skip


def run_action(page: Page, action: str) -> None:
    page.locator("select[name=action]").select_option(action)
    page.get_by_role("button", name="Run").click()
    page.wait_for_load_state()


def test_a_person_is_found_by_a_pasted_phone_and_mended(
    server: httpx.Client, staff: SimpleNamespace, people: list[Contact]
) -> None:
    with page_of(server) as page:
        log_in(page, staff)
        page.goto(CONTACTS)
        page.locator("#searchbar").fill("(415) 555-0102")
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Mary Kenneth Keller").click()
        page.wait_for_load_state()
    assert people


def test_many_are_tagged_after_their_number_was_shown(
    server: httpx.Client, staff: SimpleNamespace, people: list[Contact]
) -> None:
    with page_of(server) as page:
        log_in(page, staff)
        page.goto(CONTACTS)
        page.locator("#action-toggle").check()
        run_action(page, "add_tag")
        expect(page.locator(".count")).to_have_text("4 contacts")
        page.get_by_label("Tag").fill("spring-sale")
        page.get_by_role("button", name="Add the tag").click()
        expect(page.locator("#progress")).to_contain_text("4 of 4 contacts: done")
        page.get_by_role("link", name="Contacts", exact=True).last.click()
        expect(page.locator(".chip", has_text="spring-sale")).to_have_count(4)
    assert BulkAction.objects.get().changed == 4


def test_two_contacts_are_merged(
    server: httpx.Client, staff: SimpleNamespace, people: list[Contact]
) -> None:
    with page_of(server) as page:
        log_in(page, staff)
        page.goto(CONTACTS)
        for name in ("Ada", "Grace"):
            page.locator("tbody", has_text=name).locator("input.action-select").check()
        run_action(page, "merge")
        page.get_by_label("Grace Hopper").check()
        page.get_by_role("button", name="Merge 2 contacts").click()
        expect(page.locator("body")).to_contain_text("2 contacts are one now.")
    assert {contact.name for contact in Contact.objects.all()} >= {"Grace Hopper"}
    assert Contact.objects.count() == 3


def check_looks(page: Page, name: str) -> None:
    """Light and dark, wide and narrow."""
    for scheme in ("dark", "light"):
        page.emulate_media(color_scheme=scheme)
        page.reload()
        for width, size in (("wide", WIDE), ("narrow", NARROW)):
            page.set_viewport_size(size)  # type: ignore[arg-type]
            assert_fits(page)
            assert_accessible(page)
            keep_screenshot(page, f"import-{name}-{scheme}-{width}")
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]


SHOP = "Mobile;Full name;Town\n+33 6 12 34 56 78;Zoé;Lyon\n12;Bob;\n1.4E+10;Al;Bath\n"


def test_a_file_with_two_bad_rows_is_looked_at_tried_and_brought_in(
    server: httpx.Client, staff: SimpleNamespace, server_data_dir: Path, tmp_path: Path
) -> None:
    shop = tmp_path / "shop.csv"
    shop.write_text(SHOP)
    with page_of(server) as page:
        log_in(page, staff)
        page.goto(reverse("admin:contacts_import_add"))
        check_looks(page, "upload")
        page.locator("input[type=file]").set_input_files(shop)
        page.get_by_role("button", name="Upload and preview").click()
        expect(page.locator(".count")).to_have_text("The first 3 records: 2 with errors")
        expect(page.locator(".why").first).to_contain_text("too short")
        expect(page.locator(".why").last).to_contain_text("its digits are lost")
        expect(page.get_by_label("Mobile", exact=True)).to_have_value("phone")
        check_looks(page, "preview")
        page.get_by_label("Town", exact=True).select_option(label="metadata: another key…")
        page.get_by_label("Metadata key of Town").fill("city")
        page.locator("summary", has_text="Options").click()
        assert_accessible(page)
        keep_screenshot(page, "import-choosing")
        page.get_by_role("button", name="Update the preview").click()
        expect(page.get_by_label("Town", exact=True)).to_have_value("metadata.city")
        page.get_by_role("button", name="Try (dry run)").click()
        expect(page.locator("#progress")).to_contain_text("queued")
        check_looks(page, "queued")
        work(server_data_dir, tmp_path / "log")
        expect(page.locator("#progress")).to_contain_text("Dry run: done")
        check_looks(page, "tried")
        page.get_by_role("button", name="Import", exact=True).click()
        expect(page.locator("#progress")).to_contain_text("Queued")
        work(server_data_dir, tmp_path / "log")
        expect(page.locator("#progress")).to_contain_text("3 of 3 records")
        check_looks(page, "done")
        with page.expect_download() as download:
            page.get_by_role("link", name="Download the error file").click()
        rows = Path(download.value.path()).read_text().splitlines()
    assert [row.rsplit(";", 1)[0] for row in rows] == [
        "Mobile;Full name;Town;line", "12;Bob;;3", "1.4E+10;Al;Bath;4",
    ]  # fmt: skip
    assert Contact.objects.get().metadata == {"city": "Lyon"}
    assert Import.objects.get().state == "done"


def work(data_dir: Path, log: Path) -> None:
    with worker(data_dir, log, "--once") as process:
        assert process.wait(timeout=60) == 0, log.read_text()
