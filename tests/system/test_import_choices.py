"""A file that is read in a wrong way: somebody chooses a better one in the preview."""

from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from django.urls import reverse
from playwright.sync_api import Page, expect

from contacts.models import Contact
from tests.support.browser import NARROW, WIDE, assert_accessible, assert_fits, log_in, page_of
from tests.support.processes import PATIENCE, worker

pytestmark = [pytest.mark.once, pytest.mark.slow]

# The second line looks like the header, because one of its names is known.
POLISH = (
    "Spis klientów\nTelefon;Klient;\nNumer;Imię i nazwisko;Miasto\n"
    "+48 601 234 567;Łukasz Żółć;Łódź\n+48 601 234 568;Zażółć Gęślą;Jaźń\n"
)


def look_at(page: Page) -> None:
    assert_accessible(page)
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    assert_fits(page)
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]


def test_a_wrong_guess_is_mended_in_the_preview_and_the_import_reads_so(
    admin_server: httpx.Client, admin_staff: SimpleNamespace, server_data_dir: Path, tmp_path: Path
) -> None:
    file = tmp_path / "klienci.csv"
    file.write_bytes(POLISH.encode("cp1250"))
    with page_of(admin_server) as page:
        log_in(page, admin_staff)
        page.goto(reverse("admin:contacts_import_add"))
        page.locator("input[type=file]").set_input_files(file)
        page.get_by_role("button", name="Upload and preview").click()
        expect(page.get_by_label("Header row")).to_contain_text("Detected: line 2")
        look_at(page)
        expect(page.locator(".count")).to_have_text("The first 3 records: 1 with errors")
        page.get_by_label("Header row").select_option("3")
        page.get_by_label("Encoding").select_option("cp1251")
        page.get_by_role("button", name="Read again").click()
        expect(page.locator("tbody").first).to_contain_text("Јukasz")
        page.get_by_label("Encoding").select_option(label="Central European (Windows-1250)")
        page.get_by_role("button", name="Read again").click()
        expect(page.locator("tbody").first).to_contain_text("Łukasz Żółć")
        page.get_by_label("Numer", exact=True).select_option("phone")
        page.get_by_label("Imię i nazwisko", exact=True).select_option("name")
        page.get_by_label("Miasto", exact=True).select_option("metadata.Miasto")
        expect(page.get_by_label("Consent holds since")).to_be_hidden()
        page.get_by_label("Miasto", exact=True).select_option(label="Consent (yes/no)")
        expect(page.get_by_label("Consent holds since")).to_be_visible()
        look_at(page)
        page.get_by_label("Miasto", exact=True).select_option("metadata.Miasto")
        page.get_by_role("button", name="Import", exact=True).click()
        expect(page.locator("#progress")).to_contain_text("Queued")
        with worker(server_data_dir, tmp_path / "log", "--once") as process:
            assert process.wait(PATIENCE) == 0
        expect(page.locator("#progress")).to_contain_text("2 of 2 records")
        page.goto(reverse("admin:contacts_import_add"))
        page.locator("input[type=file]").set_input_files(file)
        page.get_by_role("button", name="Upload and preview").click()
        expect(page.get_by_text("Columns as in the import of klienci.csv")).to_be_visible()
        expect(page.get_by_label("Header row")).to_have_value("3")
        expect(page.get_by_label("Miasto", exact=True)).to_have_value("metadata.Miasto")
    stored = Contact.objects.order_by("phone").values_list("name", "metadata")
    assert [*stored] == [
        ("Łukasz Żółć", {"Miasto": "Łódź"}), ("Zażółć Gęślą", {"Miasto": "Jaźń"}),
    ]  # fmt: skip
