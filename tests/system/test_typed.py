"""What was typed into a form comes back after the login, in a real browser."""

from types import SimpleNamespace

import httpx
import pytest
from django.urls import reverse
from playwright.sync_api import Page, Route, expect

from contacts.models import Contact
from tests.support.api import PASSWORD
from tests.support.browser import log_in, page_of
from tests.support.factories import UserFactory

pytestmark = pytest.mark.once
NOTICE = "Not saved yet: this is what you typed before you logged in again."


def log_in_here(page: Page, email: str) -> None:
    page.get_by_label("Email").fill(email)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()


def without_its_status(route: Route) -> None:
    """The browser would note the 403 on its console, which fails the test."""
    route.fulfill(response=route.fetch(), status=200)


def test_what_was_typed_comes_back_after_the_login_and_is_not_saved_by_itself(
    admin_server: httpx.Client, admin_staff: SimpleNamespace, people: list[Contact]
) -> None:
    address = reverse("admin:contacts_contact_change", args=[people[0].pk])
    email = admin_staff.user.email
    eve = UserFactory.create(tenant=admin_staff.tenant, email="eve@acme.example", is_staff=True)
    eve.set_password(PASSWORD)
    eve.save()
    eve.user_permissions.set(admin_staff.user.user_permissions.all())
    with page_of(admin_server) as page:
        log_in(page, admin_staff)
        page.goto(address)
        name, notice = page.get_by_label("Name", exact=True), page.get_by_text(NOTICE)
        name.fill("Ada King")
        page.get_by_role("combobox", name="Tags").press_sequentially("countess,")
        page.context.clear_cookies(name="sessionid")
        save(page)
        log_in_here(page, email)
        expect(notice).to_be_visible()
        expect(name).to_have_value("Ada King")
        expect(page.get_by_role("button", name="Remove the tag countess")).to_be_visible()
        expect(page.get_by_role("combobox", name="Tags")).to_have_value("")
        page.goto(address)  # without saving
        expect(name).to_have_value("Ada Lovelace")
        expect(notice).to_have_count(0)
        # A login in another tab has made the form outdated.
        name.fill("Lady Lovelace")
        page.context.clear_cookies(name="csrftoken")
        page.route(f"**{address}", without_its_status, times=1)
        save(page)
        page.get_by_role("link", name="Back to the form").click()
        expect(notice).to_be_visible()
        expect(name).to_have_value("Lady Lovelace")
        save(page)
        expect(page.locator("body")).to_contain_text("was changed successfully")
        # Somebody else logs in.
        page.goto(address)
        name.fill("Countess")
        page.context.clear_cookies(name="sessionid")
        save(page)
        log_in_here(page, eve.email)
        expect(page.get_by_label("Name", exact=True)).to_have_value("Lady Lovelace")
        expect(notice).to_have_count(0)
        assert page.evaluate("sessionStorage.length") == 0
    assert Contact.objects.get(pk=people[0].pk).name == "Lady Lovelace"
