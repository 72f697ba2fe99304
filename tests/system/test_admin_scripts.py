"""The scripts of the admin speak the language of the page, in a browser of another language."""

from types import SimpleNamespace

import httpx
import pytest
from django.urls import reverse
from playwright.sync_api import expect

from contacts.models import Contact
from tests.support.browser import log_in, page_of

pytestmark = pytest.mark.once


def test_a_page_speaks_one_language_whichever_the_browser_has(
    admin_server: httpx.Client, admin_staff: SimpleNamespace, people: list[Contact]
) -> None:
    admin_staff.user.language = "en"
    admin_staff.user.save()
    with page_of(admin_server, locale="de-DE") as page:
        log_in(page, admin_staff)
        assert page.evaluate("new Intl.NumberFormat(Chart.defaults.locale).format(1234)") == "1,234"
        page.goto(reverse("admin:contacts_contact_changelist"))
        country = page.locator("#result_list abbr").first
        expect(country).to_have_attribute("title", "United States")
        page.evaluate("said.texts = { 'Remove {key}': '{key} entfernen' }")
        assert page.evaluate("said('Remove {key}', { key: '$& {key}' })") == "$& {key} entfernen"
        assert page.evaluate("said('Value of {key}', { key: 12 })") == "Value of 12"
