"""Whatever somebody has stored, the admin shows it as text; in a browser, as only that knows."""

from types import SimpleNamespace

import httpx
import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Dialog

from contacts.models import (
    BulkAction,
    Change,
    Contact,
    Delivery,
    Import,
    SavedView,
    Tag,
    Webhook,
)
from contacts.writing import consent, edit
from contacts.writing.consent import Decision
from tenants.models import ApiToken, Tenant, User
from tests.support.admin_pages import addresses
from tests.support.browser import log_in, page_of

pytestmark = [pytest.mark.once, pytest.mark.slow]

# Out of text, attributes, script and the expressions of the theme's own attributes. What would run
# reports itself by a dialog, or by an error on the console where the browser refuses it.
ATTACK = (
    """'"><img src=x onerror=alert(1)><script>alert(2)</script>"""
    """<p x-data x-init="alert(3)">{{ alert(4) }}${alert(5)}'-alert(6)-'`javascript:alert(7)"""
)
# When a page is loaded, the scripts of the theme have run. They change the page until the second
# frame; then images that they added have to load or to fail.
SETTLED = """async () => {
  for (const _ of [1, 2]) await new Promise((done) => requestAnimationFrame(done));
  const images = [...document.images].filter((image) => !image.complete);
  await Promise.all(images.map((image) => new Promise((done) => {
    image.addEventListener("load", done);
    image.addEventListener("error", done);
  })));
}"""


def poison(rows: SimpleNamespace) -> None:
    """Puts it into every text that a caller, a file or the staff decides, past the rules."""
    contact, now = rows.contact, timezone.now()
    tags = [ATTACK[:90], "x" + ATTACK[-90:]]
    edit.change(contact, name=ATTACK, tags=tags, metadata={ATTACK: ATTACK})
    decision = Decision(Change.Kind.OPTED_IN, now, source=ATTACK[:100], proof=ATTACK)
    consent.decide_one(rows.tenant, {"contact_id": contact.pk}, decision)
    Contact.objects.filter(pk=contact.pk).update(email=ATTACK, locale=ATTACK[:30])
    Tag.objects.filter(pk=rows.tag.pk).update(name=ATTACK[:100])
    Import.objects.update(
        file_name=ATTACK, problem=ATTACK,
        options={"mode": "upsert", "fields": {ATTACK: "phone"}, "skipped": [ATTACK]},
    )  # fmt: skip
    BulkAction.objects.update(value=ATTACK)
    SavedView.objects.update(name=ATTACK[:100], filter={"tags_all": [ATTACK]})
    ApiToken.objects.update(name=ATTACK[:100])
    hook = Webhook.objects.get()
    Webhook.objects.update(url=f"https://example.com/{ATTACK}")
    Delivery.objects.create(
        tenant=rows.tenant, webhook=hook, event=ATTACK[:30], problem=ATTACK, finished_at=now
    )
    User.objects.filter(pk=rows.user.pk).update(name=ATTACK)
    Tenant.objects.update(name=ATTACK)


def test_nothing_stored_runs_in_the_admin(
    admin_server: httpx.Client, rows: SimpleNamespace
) -> None:  # fmt: skip
    pages = addresses(rows)
    poison(rows)
    pages["delivery"] = reverse("admin:contacts_delivery_change", args=[Delivery.objects.get().pk])
    pages["deliveries"] = reverse("admin:contacts_delivery_changelist")
    pages["webhook"] = reverse("admin:contacts_webhook_change", args=[Webhook.objects.get().pk])
    pages["contact-delete"] = reverse("admin:contacts_contact_delete", args=[rows.contact.pk])
    for kind in ("tag", "import", "webhook"):
        row = {"tag": rows.tag, "import": rows.job, "webhook": Webhook.objects.get()}[kind]
        pages[f"{kind}-history"] = reverse(f"admin:contacts_{kind}_history", args=[row.pk])
    pages["token-history"] = reverse("admin:tenants_apitoken_history", args=[rows.token.pk])
    seen = 0
    dialogs: list[str] = []

    def note(dialog: Dialog) -> None:
        dialogs.append(page.url)
        dialog.dismiss()

    with page_of(admin_server) as page:
        page.on("dialog", note)
        log_in(page, rows)
        for name, address in pages.items():
            answer = page.goto(address)
            assert answer
            assert answer.status == 200, name
            page.evaluate(SETTLED)
            seen += "alert(1)" in page.content()
        page.goto(pages["contacts"])
        page.get_by_text("Filters").first.click()
        page.get_by_role("combobox", name="With tag").click()
        page.locator(".suggestions [role=option]", has_text="alert").first.wait_for()
        for action in ("add_tag", "merge"):
            page.goto(pages["contacts"])
            for box in page.locator("input.action-select").all()[:4]:
                box.check()
            page.locator("select[name=action]").select_option(action)
            with page.expect_navigation():
                page.get_by_role("button", name="Run").click()
            page.evaluate(SETTLED)
    assert not dialogs
    assert seen > 20, "it was there to be seen"
