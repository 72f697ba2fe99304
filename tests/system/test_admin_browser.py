"""The daily work of staff in the admin, in a real browser."""

import re
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urljoin

import httpx
import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Dialog, Locator, Page, Route, expect

from contacts.models import BulkAction, Contact, Import, MetadataField
from contacts.values import rules
from contacts.writing import edit
from tenants.models import ApiToken
from tests.support.browser import NARROW, WIDE, assert_accessible, assert_fits, log_in, page_of
from tests.support.factories import ContactFactory
from tests.support.processes import PATIENCE, worker
from tests.support.sql import assert_links_match_tags

pytestmark = pytest.mark.once

CONTACTS = reverse("admin:contacts_contact_changelist")


def run_action(page: Page, action: str) -> None:
    page.locator("select[name=action]").select_option(action)
    page.get_by_role("button", name="Run").click()
    page.wait_for_load_state()


def type_tag(page: Page, text: str) -> None:
    """Types into the box for tags and presses Enter."""
    box = page.get_by_role("combobox", name="Tags")
    box.click()
    box.press_sequentially(f"{text}\n")


def save(page: Page) -> None:
    """The form is sent when the box for tags has its suggestions, maybe after the click."""
    with page.expect_navigation():
        page.get_by_role("button", name="Save", exact=True).click()


def test_a_contact_is_found_by_a_pasted_phone_and_gets_new_tags(
    admin_server: httpx.Client, admin_staff: SimpleNamespace, people: list[Contact]
) -> None:
    edit.change(people[2], name="محمد 5")
    edit.change(people[2], name="יוסף 7")
    with page_of(admin_server) as page:
        log_in(page, admin_staff)
        page.get_by_label("Find a contact").fill("(415) 555-0102")
        page.keyboard.press("Enter")
        page.get_by_role("link", name="יוסף 7").click()
        expect(page.locator(".summary")).to_contain_text("+1 415-555-0102")
        assert is_left_of(page.locator(".summary .who bdi"), page.locator(".summary .phone"))
        values = page.locator(".timeline .what", has_text="محمد 5 → יוסף 7").locator("bdi")
        assert is_left_of(values.nth(1), values.nth(2))
        page.get_by_role("button", name="Remove the tag vip").click()
        type_tag(page, "spring")
        save(page)
        assert "was changed successfully" in page.locator("body").inner_text()
    assert Contact.objects.get(pk=people[2].pk).tags == ["early", "spring"]
    assert_links_match_tags()


def is_left_of(one: Locator, other: Locator) -> bool:
    first, second = one.bounding_box(), other.bounding_box()
    assert first
    assert second
    return first["x"] + first["width"] <= second["x"] + 1


def test_the_keyboard_reaches_all_around_a_page_and_a_phone_shows_50_contacts(
    admin_server: httpx.Client, admin_staff: SimpleNamespace, people: list[Contact]
) -> None:
    for _ in range(50):
        ContactFactory.create(
            tenant=admin_staff.tenant, tags=["newsletter", "wholesale", "vip", "sv-SE", "fr-FR"],
            email=f"{'long' * 12}@example.com", source="csv_import", opted_in_at=timezone.now(),
            last_message_at=timezone.now(), name="A long name of a person and a company " * 2,
        )  # fmt: skip
    with page_of(admin_server) as page:
        log_in(page, admin_staff)
        page.goto(reverse("admin:contacts_tag_changelist"))
        page.keyboard.press("Control+k")
        box = page.get_by_label("Search text")
        box.press_sequentially("GRACE hóp", delay=30)
        page.keyboard.press("Enter")
        expect(page.locator(".summary")).to_contain_text("Grace Hopper")
        name = page.get_by_label("Name", exact=True)
        name.press("Meta+k")
        box.press_sequentially("grace@")
        expect(page.get_by_role("status").last).to_contain_text("1 contact.")
        assert_accessible(page)
        page.keyboard.press("ArrowDown")
        expect(page.get_by_role("link", name="Grace Hopper")).to_be_focused()
        page.keyboard.press("Escape")
        expect(name).to_be_focused()
        page.goto(CONTACTS)
        stops: list[str] = []
        while not any("Filters" in stop for stop in stops) and len(stops) < 40:
            page.keyboard.press("Tab")
            stops.append(page.locator(":focus").aria_snapshot().partition("\n")[0])
        email = admin_staff.user.email
        for wanted in ("Skip to", "Menu", f"A {email} {email}", "Find a contact", "Filters"):
            assert any(f'"{wanted}' in stop for stop in stops), (wanted, stops)
        account = page.get_by_role("button", name=email)
        opens(account, page.get_by_role("link", name="Change password"))
        opens(page.get_by_role("button", name="Filters", exact=True), page.get_by_label("Country"))
        page.get_by_role("button", name="Menu", exact=True).press("Enter")
        expect(page.get_by_role("navigation", name="Menu")).to_be_hidden()
        page.set_viewport_size(NARROW)  # type: ignore[arg-type]
        opens(
            page.get_by_role("button", name="Menu", exact=True),
            page.get_by_role("link", name="Overview"),
        )
        expect(page.locator("tr.data-row")).to_have_count(50)
        assert page.evaluate("document.documentElement.scrollHeight") <= 5000
        assert_fits(page)


def opens(control: Locator, content: Locator) -> None:
    """Enter on `control` shows `content`, and Escape hides it and leads back."""
    expect(control).to_have_attribute("aria-expanded", "false")
    control.press("Enter")
    expect(content).to_be_visible()
    expect(control).to_have_attribute("aria-expanded", "true")
    control.page.keyboard.press("Escape")
    expect(content).to_be_hidden()
    expect(control).to_be_focused()


def test_metadata_is_edited_in_rows_or_as_json_beside_a_timeline_with_notes(
    admin_server: httpx.Client, admin_staff: SimpleNamespace, people: list[Contact]
) -> None:
    stays = {"big": 12345678901234567890, "nested": {"a": [1.0, None, "]"]}}
    values = {"city": "Paris", "code": "12", "orders": 3, "level": "VIP", **stays}
    edit.change(people[0], metadata=values)
    MetadataField.objects.create(tenant=people[0].tenant, key="level", label="Grade")
    address = reverse("admin:contacts_contact_change", args=[people[0].pk])
    with page_of(admin_server) as page:
        log_in(page, admin_staff)
        page.goto(address)
        changes_rows_at_the_speed_of_typing(page)
        save(page)
        expect(page.locator("body")).to_contain_text("was changed successfully")
        page.goto(address)
        expect(page.get_by_label("Value of orders")).to_have_value("4")
        page.get_by_role("button", name="Edit as JSON").click()
        box = page.get_by_label("Metadata")
        typed = box.input_value()
        box.fill(typed[:-2] + ",\n}")
        save(page)
        # Python 3.13 points at the comma, an older one at what comes after it.
        place = re.compile("line 13, column 14|line 14, column 1")
        expect(page.locator(".field-metadata")).to_contain_text(place)
        page.get_by_role("button", name="Edit as rows").click()
        expect(page.locator(".field-metadata")).to_contain_text("This is not a JSON object.")
        expect(box).to_have_value(typed[:-2] + ",\n}")
        box.fill(typed.replace("Lyon", "Oslo"))
        save(page)
        expect(page.locator("body")).to_contain_text("was changed successfully")
        page.goto(address)
        page.set_viewport_size({"width": 1280, "height": 800})
        writes_a_note(page, admin_staff.user.email)
        look_at(page)
    found = Contact.objects.get(pk=people[0].pk).metadata
    assert rules.spelled(found) == rules.spelled(
        {"city": "Oslo", "orders": 4, "level": "gold", **stays, "age": "12"}
    )


def changes_rows_at_the_speed_of_typing(page: Page) -> None:
    page.get_by_label("Grade", exact=True).fill("gold")
    expect(page.get_by_label("Value of level")).to_have_count(0)
    page.get_by_label("Value of city").fill("")
    page.get_by_label("Value of city").press_sequentially("Lyon", delay=30)
    page.get_by_role("button", name="Remove code").click()
    page.get_by_role("button", name="Add a key").click()
    page.keyboard.type("orders", delay=30)
    page.get_by_label("Value of orders").last.press_sequentially("12", delay=30)
    page.get_by_label("Value of orders").first.fill("4,")
    page.get_by_role("button", name="Save", exact=True).click()
    expect(page.get_by_text("This is not JSON.")).to_be_visible()
    expect(page.get_by_text("Another row has this key.")).to_be_visible()
    page.get_by_label("Value of orders").first.fill("4")
    page.get_by_label("Key").last.fill("level")
    expect(page.get_by_text("This key is one of the fields above.")).to_be_visible()
    page.get_by_label("Key").last.fill("age")
    expect(page.get_by_text("Another row has this key.")).to_have_count(0)


def writes_a_note(page: Page, author: str) -> None:
    timeline = page.get_by_role("complementary", name="Timeline")
    entries = timeline.get_by_role("listitem")
    for number in range(4):
        expect(entries.nth(number)).to_be_in_viewport()
    expect(entries.first).to_contain_text('metadata.city: "Lyon" → "Oslo"')
    page.get_by_label("New note").press_sequentially("Call at 9", delay=30)
    page.get_by_role("button", name="Add note").click()
    expect(entries.first).to_contain_text("Call at 9")
    expect(entries.first).to_contain_text(f"by {author}")


def test_a_name_conflict_is_resolved_and_leaving_unsaved_changes_asks(
    admin_server: httpx.Client, admin_staff: SimpleNamespace, people: list[Contact]
) -> None:
    address = reverse("admin:contacts_contact_change", args=[people[0].pk])
    asked: list[str] = []

    def stay(dialog: Dialog) -> None:
        asked.append(dialog.type)
        dialog.dismiss()

    def try_to_leave() -> int:
        """The number of times that the browser has asked. If it does not ask, the page is left."""
        before = len(asked)
        page.get_by_role("link", name="Overview").click()
        while len(asked) == before and not page.url.endswith("/admin/"):
            page.wait_for_timeout(20)
        page.wait_for_load_state("networkidle")
        return len(asked)

    with page_of(admin_server) as page:
        page.on("dialog", stay)
        log_in(page, admin_staff)
        page.goto(address)
        name = page.get_by_label("Name", exact=True)
        name.fill("Ada King")
        assert page.context.browser
        state = page.context.storage_state()
        other = page.context.browser.new_page(
            base_url=str(admin_server.base_url), storage_state=state
        )
        other.goto(address)
        other.get_by_label("Name", exact=True).fill("Lady Lovelace")
        save(other)
        other.close()
        assert try_to_leave() == 1
        save(page)
        expect(page.locator(".conflicts")).to_contain_text("Lady Lovelace, by ann@acme.example at")
        look_at(page)
        expect(name).to_have_value("Ada King")
        assert try_to_leave() == 2, "it is not saved yet"
        page.get_by_label("Keep mine").check()
        save(page)
        expect(page.locator("body")).to_contain_text("was changed successfully")
        page.goto(address)
        box = page.get_by_role("combobox", name="Tags")
        box.fill("new")
        assert try_to_leave() == 3
        box.fill("")
        name.fill("other")
        name.fill("Ada King")
        assert try_to_leave() == 3, "all is as it was"
        page.goto(CONTACTS)
        page.get_by_text("Filters").first.click()
        page.get_by_role("combobox", name="With tag").fill("vip")
        page.goto(CONTACTS)
        page.goto(reverse("admin:contacts_contact_add"))
        page.get_by_label("Phone").fill("+14155550177")
        assert try_to_leave() == 4
        save(page)
        expect(page.locator("body")).to_contain_text("was added successfully")
    assert len(asked) == 4
    assert Contact.objects.get(pk=people[0].pk).name == "Ada King"


def test_a_chart_is_drawn_once_though_its_tile_comes_before_the_page_has_loaded(
    admin_server: httpx.Client, admin_staff: SimpleNamespace
) -> None:
    late: list[Route] = []
    with page_of(admin_server) as page:
        log_in(page, admin_staff)
        page.route("**/*.woff2", lambda route: late.append(route))
        page.goto("/admin/", wait_until="domcontentloaded")
        expect(page.locator("canvas.chart")).to_be_visible()
        page.wait_for_function("!document.querySelector('.htmx-settling, .htmx-added')")
        assert page.evaluate("document.readyState") == "interactive"
        assert late
        for font in late:
            font.continue_()
        page.wait_for_load_state("load")
        assert page.evaluate("Object.keys(Chart.instances).length") == 1


def test_filters_find_their_contacts_and_empty_filters_find_all(
    admin_server: httpx.Client, admin_staff: SimpleNamespace, people: list[Contact]
) -> None:
    edit.change(people[0], tags=["early"], phone="+33612345678")
    rows, filters = "#result_list tr.data-row", "Filters"
    with page_of(admin_server) as page:
        log_in(page, admin_staff)
        page.goto(CONTACTS)
        page.get_by_text(filters).first.click()
        page.get_by_role("button", name="Apply Filters").click()
        expect(page.locator(rows)).to_have_count(len(people))
        page.get_by_text(filters).first.click()
        page.locator("select[name=country]").select_option(label="France (FR)")
        page.get_by_role("button", name="Apply Filters").click()
        expect(page.locator(rows)).to_have_count(1)
        page.get_by_role("link", name="Remove the filter Country: FR").click()
        page.get_by_text(filters).first.click()
        page.get_by_role("combobox", name="With tag").fill("vip")
        page.get_by_role("button", name="Apply Filters").click()
        expect(page.locator(rows)).to_have_count(len(people) - 1)
        page.get_by_role("link", name="Save this view").click()
        page.get_by_label("Name", exact=True).fill("<b>VIPs</b>")
        look_at(page)
        save(page)
        expect(page.locator(rows)).to_have_count(len(people) - 1)
        view = page.get_by_role("link", name=f"<b>VIPs</b> {len(people) - 1}")
        expect(view).to_be_visible()
        page.get_by_role("link", name="Edit the view “<b>VIPs</b>”").click()
        look_at(page)
        view.click()
        expect(page.locator(rows)).to_have_count(len(people) - 1)
        page.get_by_text("Columns", exact=True).click()
        page.get_by_role("checkbox", name="Source", exact=True).uncheck()
        look_at(page)
        page.get_by_role("button", name="Show these columns").click()
        expect(page.locator("td.field-source")).to_have_count(0)
        expect(page.locator(rows)).to_have_count(len(people) - 1)
        page.goto("/admin/")
        expect(view).to_be_visible()
        page.wait_for_function("Object.keys(Chart.instances).length === 1")


def test_many_contacts_are_tagged_after_their_number_was_confirmed(
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


def test_two_contacts_are_merged_brought_back_from_changes_and_one_is_erased_with_a_receipt(
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
        expect(page.locator("body")).to_contain_text("2 contacts merged.")
        expect(page.locator(".summary")).to_contain_text("Grace Hopper")
        page.get_by_role("link", name="Proof of consent").click()
        expect(page.locator("h1.title")).to_have_text("Proof of consent")
        look_at(page)
        page.get_by_role("link", name="Changes").first.click()
        page.get_by_role("link", name="Today", exact=True).click()
        page.get_by_role("link", name=admin_staff.user.email, exact=True).first.click()
        rows = page.locator("#result_list tr.data-row")
        expect(rows).to_have_count(2)
        expect(rows.last).to_contain_text("Merged into")
        look_at(page)
        rows.last.get_by_role("link", name="Undo").click()
        page.get_by_role("button", name="Undo").click()
        expect(page.get_by_role("heading", name="Undone").first).to_be_visible()
        page.goto(CONTACTS)
        expect(page.locator("#result_list")).to_contain_text("Ada")
        page.get_by_role("link", name="Grace Hopper").click()
        page.get_by_role("link", name="Erase").click()
        look_at(page)
        page.get_by_label("I have checked").check()
        page.get_by_role("button", name="Erase").click()
        expect(page.locator("h1.title")).to_have_text("Receipt of an erasure")
        look_at(page)
        page.emulate_media(media="print")
        expect(page.get_by_role("button")).to_have_count(0)
    assert Contact.objects.count() == len(people) - 1


def test_a_token_is_issued_copied_and_used(
    admin_server: httpx.Client, admin_staff: SimpleNamespace
) -> None:
    with page_of(admin_server, permissions=["clipboard-read", "clipboard-write"]) as page:
        log_in(page, admin_staff)
        page.goto(reverse("admin:tenants_apitoken_add"))
        page.get_by_label("Name").fill("n8n")
        page.get_by_label("User").select_option(label=admin_staff.user.email)
        page.get_by_label("Create and change contacts").check()
        save(page)
        assert_accessible(page)
        page.get_by_role("button", name="Copy").click()
        expect(page.locator("button.copy .status")).to_have_text("Copied")
        secret = page.evaluate("navigator.clipboard.readText()")
        page.get_by_role("link", name="I have copied it").click()
        page.get_by_role("link", name="n8n", exact=True).click()
        page.wait_for_load_state()
        assert secret not in page.content(), "it is shown once"
    assert ApiToken.objects.get(name="n8n").expires_at
    answer = httpx.post(
        urljoin(str(admin_server.base_url), "/api/v1/actions/create-contact"),
        headers={"Authorization": f"Bearer {secret}"},
        json={"phone": "+14155550123", "name": "Romain"},
        timeout=60,
    )
    assert answer.status_code == 201
    assert admin_staff.tenant.contacts.get().name == "Romain"


def look_at(page: Page) -> None:
    """Checks that the page is accessible with a screen reader and fits a phone."""
    assert_accessible(page)
    page.set_viewport_size(NARROW)  # type: ignore[arg-type]
    assert_fits(page)
    page.set_viewport_size(WIDE)  # type: ignore[arg-type]


SHOP = "Mobile;Full name;Town\n+33 6 12 34 56 78;Zoé;Lyon\n12;Bob;\n1.4E+10;Al;Bath\n"


def test_a_file_with_two_bad_rows_is_previewed_checked_and_imported(
    admin_server: httpx.Client, admin_staff: SimpleNamespace, server_data_dir: Path, tmp_path: Path
) -> None:
    shop = tmp_path / "shop.csv"
    shop.write_text(SHOP)
    with page_of(admin_server) as page:
        log_in(page, admin_staff)
        page.goto(reverse("admin:contacts_import_add"))
        look_at(page)
        page.locator("input[type=file]").set_input_files(shop)
        page.get_by_role("button", name="Upload and preview").click()
        expect(page.locator(".count")).to_have_text("The first 3 records: 2 with errors")
        expect(page.locator(".why").first).to_contain_text("too short")
        expect(page.locator(".why").last).to_contain_text("its digits are lost")
        expect(page.get_by_label("Mobile", exact=True)).to_have_value("phone")
        look_at(page)
        page.get_by_label("Town", exact=True).select_option(label="metadata: another key…")
        page.get_by_label("Metadata key of Town").fill("city")
        page.locator("summary", has_text="Options").click()
        assert_accessible(page)
        page.get_by_role("button", name="Update the preview").click()
        expect(page.get_by_label("Town", exact=True)).to_have_value("metadata.city")
        page.get_by_role("button", name="Check the whole file").click()
        expect(page.locator("#progress")).to_contain_text("queued")
        look_at(page)
        work(server_data_dir, tmp_path / "log")
        expect(page.locator("#progress")).to_contain_text("Check finished")
        look_at(page)
        page.get_by_role("button", name="Import", exact=True).click()
        expect(page.locator("#progress")).to_contain_text("Queued")
        work(server_data_dir, tmp_path / "log")
        expect(page.locator("#progress")).to_contain_text("3 of 3 records")
        look_at(page)
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
        assert process.wait(PATIENCE) == 0, log.read_text()
