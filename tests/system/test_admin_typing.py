"""Tags typed in a real browser, at any speed and with late suggestions. The typed text decides; a
suggestion for another text is never used."""

from collections.abc import Iterator
from itertools import count
from types import SimpleNamespace

import httpx
import pytest
from django.urls import reverse
from playwright.sync_api import Locator, Page, expect

from tests.support.browser import assert_accessible, log_in, page_of
from tests.support.factories import ContactFactory

pytestmark = [pytest.mark.once, pytest.mark.slow]

SPEEDS = [0, 30, 80, 150, 300]  # milliseconds a key
LIST = reverse("admin:contacts_contact_changelist")
ADD = reverse("admin:contacts_contact_add")
TAGS = ["newsletter", "vip", "vip-old", "van", "x"]
OPTION = ".suggestions [role=option]"
NUMBERS = count(200)
# Delays suggestions. Suggestions for a shorter text arrive after the newer ones for a longer text.
# The page waits for them a second, after which it would use the typed text: here, as long as a busy
# machine needs.
LATE = """
const wait = window.setTimeout;
window.setTimeout = (call, time, ...given) => wait(call, time === 1000 ? 60_000 : time, ...given);
const real = window.fetch;
window.fetch = async (url, ...options) => {
  const { length } = new URL(url, location).searchParams.get("term") ?? "";
  await new Promise((done) => setTimeout(done, 500 - 50 * length));
  return real(url, ...options);
};
"""


@pytest.fixture
def page(admin_server: httpx.Client, admin_staff: SimpleNamespace) -> Iterator[Page]:
    """Tests read stored values from a page: while a browser is open, Django refuses database
    queries in this thread."""
    for number, tag in enumerate(TAGS):
        ContactFactory.create(
            tenant=admin_staff.tenant, phone=f"+1415555010{number}", name=tag, tags=[tag]
        )
    with page_of(admin_server) as page:
        page.add_init_script(LATE)
        log_in(page, admin_staff)
        yield page


def filter_box(page: Page) -> Locator:
    page.goto(LIST)
    page.get_by_text("Filters").first.click()
    box = page.get_by_role("combobox", name="With tag")
    box.click()
    return box


def apply(page: Page, how: str = "click") -> None:
    with page.expect_navigation():
        if how == "Enter":
            page.keyboard.press("Enter")
        else:
            page.get_by_role("button", name="Apply Filters").click()


def active_filters(page: Page) -> list[str]:
    chips = page.locator(".active-filters a").all_inner_texts()
    return [chip.removesuffix("×").strip() for chip in chips]


def shown(page: Page) -> list[str]:
    return page.locator("#result_list tr.data-row a").all_inner_texts()


def tag_box(page: Page) -> Locator:
    """The box for the tags of a new contact."""
    page.goto(ADD)
    page.get_by_label("Phone").fill(f"+1415555{next(NUMBERS):04}")
    box = page.get_by_role("combobox", name="Tags")
    box.click()
    return box


def saved(page: Page) -> str:
    """The stored tags after an immediate click on Save."""
    with page.expect_navigation():
        page.get_by_role("button", name="Save and continue editing").click()
    expect(page.locator("body")).to_contain_text("added successfully")
    return page.locator("input[name=initial-tags]").input_value()


def test_a_filter_uses_the_typed_tag_at_any_speed(page: Page) -> None:
    for speed in SPEEDS:
        filter_box(page)
        page.keyboard.type("vip", delay=speed)
        apply(page, "Enter")
        assert (active_filters(page), shown(page)) == (["With tag: vip"], ["vip"]), speed
        filter_box(page)
        page.keyboard.type("new", delay=speed)
        apply(page)
        assert (active_filters(page), shown(page)) == ([], []), speed
        expect(page.locator("body")).to_contain_text("With tag: There is no tag “new”.")
    page.get_by_text("Filters").first.click()
    expect(page.get_by_role("combobox", name="With tag")).to_have_value("new")
    suggests_with_the_keys_and_with_the_mouse(page, filter_box(page))


def suggests_with_the_keys_and_with_the_mouse(page: Page, box: Locator) -> None:
    page.keyboard.type("vi")
    expect(page.locator(OPTION)).to_have_text(["vip", "vip-old"])
    assert_accessible(page)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    expect(box).to_have_value("vip-old")
    box.fill("n")
    page.locator(OPTION, has_text="newsletter").click()
    expect(box).to_have_value("newsletter")
    apply(page)
    assert active_filters(page) == ["With tag: newsletter"]


def test_typed_tags_are_stored_at_any_speed(page: Page) -> None:
    """Enter completes the text to an existing tag, in upper or lower case; a comma does not."""
    for speed in SPEEDS:
        tag_box(page)
        page.keyboard.type("go\nnew\nVIP\nne,va", delay=speed)
        assert saved(page) == "go, newsletter, vip, ne, va", speed
    for part in (
        offers_a_new_tag_below_the_existing_ones,
        changes_a_completed_tag_back,
        parts_pasted_tags,
        lets_input_methods_compose,
        takes_chips_away,
        stores_what_was_typed_on_the_way_to_the_next_field,
        stores_what_was_typed_where_no_suggestions_come,
    ):
        part(page, tag_box(page))


def offers_a_new_tag_below_the_existing_ones(page: Page, box: Locator) -> None:
    page.keyboard.type("vip-")
    expect(page.locator(OPTION)).to_have_text(["vip-old", "Create tag “vip-”"])
    expect(page.locator(f"{OPTION}[aria-selected=true]")).to_have_text("vip-old")
    active = f"#{box.get_attribute('aria-activedescendant')}"
    expect(page.locator(active)).to_have_text("vip-old")
    assert_accessible(page)
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    assert saved(page) == "vip-"


def changes_a_completed_tag_back(page: Page, box: Locator) -> None:
    page.keyboard.type("newsl\n")
    expect(page.get_by_text("“newsl” was completed to “newsletter”.")).to_be_visible()
    assert_accessible(page)
    page.get_by_role("button", name="Create “newsl” instead").click()
    assert saved(page) == "newsl"


PASTE = """(box, text) => {
  const clipboardData = new DataTransfer();
  clipboardData.setData("text", text);
  const event = new ClipboardEvent("paste", { clipboardData, bubbles: true, cancelable: true });
  if (box.dispatchEvent(event)) document.execCommand("insertText", false, text);
}"""


def parts_pasted_tags(page: Page, box: Locator) -> None:
    box.evaluate(PASTE, "a, b")
    page.keyboard.type(",")
    box.evaluate(PASTE, "c\nd\n")
    assert saved(page) == "a, b, c, d"


def lets_input_methods_compose(page: Page, box: Locator) -> None:
    composing = page.context.new_cdp_session(page)
    text = {"text": "にほん", "selectionStart": 3, "selectionEnd": 3}
    composing.send("Input.imeSetComposition", text)
    enter = {"key": "Enter", "isComposing": True, "bubbles": True}
    box.dispatch_event("keydown", enter)
    expect(box).to_have_value("にほん")
    composing.send("Input.insertText", {"text": "日本"})
    expect(box).to_have_value("日本")
    assert saved(page) == "日本"


def takes_chips_away(page: Page, box: Locator) -> None:
    page.keyboard.type("a,b,c,")
    page.get_by_role("button", name="Remove the tag a").click()
    expect(box).to_be_focused()
    page.keyboard.press("Backspace")
    expect(box).to_have_value("c")
    assert_accessible(page)
    page.keyboard.type("2")
    assert saved(page) == "b, c2"


def stores_what_was_typed_on_the_way_to_the_next_field(page: Page, box: Locator) -> None:
    page.keyboard.type("va")
    page.keyboard.press("Tab")
    expect(page.locator(".tag-names .chip")).to_have_attribute("title", "va")
    assert saved(page) == "va"


def stores_what_was_typed_where_no_suggestions_come(page: Page, box: Locator) -> None:
    page.route("**/tag-names/**", lambda route: route.fulfill(body="<html>"))
    page.keyboard.type("new\n")
    assert saved(page) == "new"
    page.unroute("**/tag-names/**")
