"""The admin in a real browser: what staff do in a day."""

from types import SimpleNamespace
from urllib.parse import urljoin

import httpx
from django.urls import reverse
from playwright.sync_api import Page, expect

from contacts.models import BulkAction, Contact
from tenants.models import ApiToken

from .browser import assert_accessible, log_in, page_of
from .test_write_path import assert_links_match_tags

CONTACTS = reverse("admin:contacts_contact_changelist")


def run_action(page: Page, action: str) -> None:
    page.locator("select[name=action]").select_option(action)
    page.get_by_role("button", name="Run").click()
    page.wait_for_load_state()


def type_tag(page: Page, text: str) -> None:
    """Types into the box of the tags, and ends with Enter."""
    box = page.locator(".field-tags .select2-search__field")
    box.click()
    box.press_sequentially(text)
    expect(page.locator(".select2-results__option--highlighted")).to_have_text(text)
    box.press("Enter")


def save(page: Page) -> None:
    page.get_by_role("button", name="Save", exact=True).click()
    page.wait_for_load_state()


def test_a_person_is_found_by_a_pasted_phone_and_gets_other_tags(
    admin_server: httpx.Client, admin_staff: SimpleNamespace, people: list[Contact]
) -> None:
    with page_of(admin_server) as page:
        log_in(page, admin_staff)
        page.get_by_label("Find a contact").fill("(415) 555-0102")
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Mary Kenneth Keller").click()
        expect(page.locator(".summary")).to_contain_text("+1 415-555-0102")
        page.locator("li[title=vip] .select2-selection__choice__remove").click()
        page.keyboard.press("Escape")
        type_tag(page, "spring")
        save(page)
        assert "was changed successfully" in page.locator("body").inner_text()
    assert Contact.objects.get(pk=people[2].pk).tags == ["early", "spring"]
    assert_links_match_tags()


def test_metadata_is_broken_told_where_and_mended(
    admin_server: httpx.Client, admin_staff: SimpleNamespace, people: list[Contact]
) -> None:
    with page_of(admin_server) as page:
        log_in(page, admin_staff)
        page.goto(reverse("admin:contacts_contact_change", args=[people[0].pk]))
        box = page.get_by_label("Metadata")
        assert box.input_value() == '{\n  "city": "Paris"\n}'
        box.fill('{\n  "city": "Lyon",\n  "orders": 3,\n}')
        save(page)
        expect(page.locator(".field-metadata")).to_contain_text("line 4, column 1")
        assert "orders" in box.input_value(), "what was typed is still there"
        box.fill('{\n  "city": "Lyon",\n  "orders": 3\n}')
        save(page)
        assert "was changed successfully" in page.locator("body").inner_text()
    assert Contact.objects.get(pk=people[0].pk).metadata == {"city": "Lyon", "orders": 3}


def test_many_are_tagged_after_their_number_was_shown(
    admin_server: httpx.Client, admin_staff: SimpleNamespace, people: list[Contact]
) -> None:
    with page_of(admin_server) as page:
        log_in(page, admin_staff)
        page.goto(CONTACTS)
        page.locator("#action-toggle").check()
        run_action(page, "add_tag")
        expect(page.locator(".count")).to_have_text("4 contacts")
        page.get_by_label("Tag").fill("spring-sale")
        page.get_by_role("button", name="Add the tag").click()
        expect(page.locator("#progress")).to_contain_text("4 of 4 contacts: done")
        page.get_by_role("link", name="Contacts", exact=True).last.click()
        expect(page.locator(".chip", has_text="spring-sale")).to_have_count(4)
    assert BulkAction.objects.get().changed == len(people)


def test_two_contacts_are_merged(
    admin_server: httpx.Client, admin_staff: SimpleNamespace, people: list[Contact]
) -> None:
    with page_of(admin_server) as page:
        log_in(page, admin_staff)
        page.goto(CONTACTS)
        for name in ("Ada", "Grace"):
            page.locator("tbody", has_text=name).locator("input.action-select").check()
        run_action(page, "merge")
        page.get_by_label("Grace Hopper").check()
        page.get_by_role("button", name="Merge 2 contacts").click()
        expect(page.locator("body")).to_contain_text("2 contacts are one now.")
    assert {contact.name for contact in Contact.objects.all()} >= {"Grace Hopper"}
    assert Contact.objects.count() == len(people) - 1


def test_a_token_is_issued_copied_and_used(
    admin_server: httpx.Client, admin_staff: SimpleNamespace
) -> None:
    with page_of(admin_server, permissions=["clipboard-read", "clipboard-write"]) as page:
        log_in(page, admin_staff)
        page.goto(reverse("admin:tenants_apitoken_add"))
        page.get_by_label("Name").fill("n8n")
        page.get_by_label("User").select_option(label=admin_staff.user.email)
        page.get_by_label("Expires", exact=True).select_option(label="In 90 days")
        save(page)
        assert_accessible(page)
        page.get_by_role("button", name="Copy").click()
        expect(page.locator("button.copy .said")).to_have_text("Copied")
        secret = page.evaluate("navigator.clipboard.readText()")
        page.get_by_role("link", name="I have copied it").click()
        page.get_by_role("link", name="n8n").click()
        page.wait_for_load_state()
        assert secret not in page.content(), "it is shown once"
    assert ApiToken.objects.get(name="n8n").expires_at
    answer = httpx.post(
        urljoin(str(admin_server.base_url), "/api/v1/actions/create-contact"),
        headers={"Authorization": f"Bearer {secret}"},
        json={"phone": "+14155550123", "name": "Romain"},
    )
    assert answer.status_code == 201
    assert admin_staff.tenant.contacts.get().name == "Romain"
