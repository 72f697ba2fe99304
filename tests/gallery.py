"""Each main page of the admin as people see it: light and wide, dark and narrow.

Kept as pictures in `.artifacts` (or ARTIFACTS_DIR), and checked for what keeps people out. Not
part of `make test`, which would look at two databases; .ci/run runs it: `pytest tests/gallery.py`.
One picture is docs/admin.png; CONTRIBUTING.md says how to renew it.
"""

from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from django.urls import reverse
from django.utils import timezone
from playwright.sync_api import Page

from contacts.jobs import bulk_actions
from contacts.models import BulkAction, Contact, Import, Webhook
from tenants.models import ApiToken, User

from .browser import (
    NARROW,
    WIDE,
    assert_accessible,
    assert_fits,
    keep_screenshot,
    log_in,
    page_of,
)
from .factories import ContactFactory

# More people for the list, newest last. The phones are in ranges that are reserved for fiction, by
# Bundesnetzagentur, PTS, ACMA, Ofcom, ARCEP and NANPA.
MORE_PEOPLE: list[dict[str, Any]] = [
    {"name": "Lena Vogt", "phone": "+4915228817386", "email": "lena.vogt@example.com",
     "tags": ["newsletter"], "source": "csv_import", "consent": "opted_in_at"},
    {"name": "Maya Lindqvist", "phone": "+46701740605", "email": "maya@example.com",
     "tags": ["wholesale", "sv-SE"], "source": "csv_import"},
    {"name": "Liam Carter", "phone": "+61491570156", "email": "liam.carter@example.com",
     "tags": ["newsletter"], "source": "csv_import", "consent": "opted_out_at"},
    {"name": "Priya Nair", "phone": "+447700900123", "email": "priya@example.com",
     "tags": ["vip", "wholesale"], "source": "manual", "consent": "opted_in_at"},
    {"name": "Zoé Martin", "phone": "+33639980123", "email": "zoe.martin@example.com",
     "tags": ["fr-FR"], "source": "api", "consent": "opted_in_at"},
    {"name": "Romain", "phone": "+14155550123", "email": "romain@example.com",
     "tags": ["vip", "fr-FR"], "source": "api"},
]  # fmt: skip

LOOKS: dict[str, dict[str, Any]] = {
    "light": {"color_scheme": "light", "viewport": WIDE},
    "dark": {"color_scheme": "dark", "viewport": NARROW},
}


@pytest.fixture
def rows(admin_staff: SimpleNamespace, people: list[Contact]) -> SimpleNamespace:
    """One of each kind, as the pages show them."""
    tenant, user, now = admin_staff.tenant, admin_staff.user, timezone.now()
    User.objects.filter(pk=user.pk).update(is_superuser=True)
    Contact.objects.filter(pk=people[1].pk).update(opted_in_at=now)
    Contact.objects.filter(pk=people[2].pk).update(opted_out_at=now)
    for day, person in enumerate(MORE_PEOPLE):
        seen = now - timedelta(days=len(MORE_PEOPLE) - day)
        decided = {person["consent"]: seen} if "consent" in person else {}
        values = {name: value for name, value in person.items() if name != "consent"}
        ContactFactory.create(tenant=tenant, last_message_at=seen, **values, **decided)
    ApiToken.objects.issue(user, "n8n", expires_at=now + timedelta(days=3))
    job = Import.objects.create(
        tenant=tenant, file_name="customers.csv", state=Import.State.DONE, rows=3, created=2,
        failed=1, finished_at=now, options={"mode": "upsert", "fields": {"Mobile": "phone"}},
    )  # fmt: skip
    pks = [contact.pk for contact in people]
    action = bulk_actions.plan(tenant, f"user:{user.pk}", BulkAction.Kind.ADD_TAG, "gold", pks)
    bulk_actions.start(action)
    Webhook.objects.create(tenant=tenant, url="https://example.com/hook", events=[])
    return SimpleNamespace(
        contact=people[0], tag=tenant.tags.get(name="vip"), job=job, action=action,
        token=admin_staff.token, tenant=tenant, user=user,
    )  # fmt: skip


def addresses(rows: SimpleNamespace) -> dict[str, str]:
    def page(name: str, *arguments: Any) -> str:
        return reverse(f"admin:{name}", args=arguments)

    contact, tag, action = rows.contact.pk, rows.tag.pk, rows.action.pk
    return {
        "overview": page("index"),
        "contacts": page("contacts_contact_changelist"),
        "contacts-filtered": f"{page('contacts_contact_changelist')}?tag={tag}&consent=in",
        "contacts-nobody": f"{page('contacts_contact_changelist')}?q=nobody",
        "contact": page("contacts_contact_change", contact),
        "contact-new": page("contacts_contact_add"),
        "contact-history": page("contacts_contact_history", contact),
        "contact-consent": page("contacts_contact_consent", contact),
        "undo": page("contacts_contact_undo", action),
        "bulk-action": page("contacts_bulkaction_change", action),
        "bulk-actions": page("contacts_bulkaction_changelist"),
        "tags": page("contacts_tag_changelist"),
        "tag": page("contacts_tag_change", tag),
        "tag-merge": page("contacts_tag_merge", tag),
        "tag-delete": page("contacts_tag_delete", tag),
        "imports": page("contacts_import_changelist"),
        "import": page("contacts_import_change", rows.job.pk),
        "import-new": page("contacts_import_add"),
        "tokens": page("tenants_apitoken_changelist"),
        "token": page("tenants_apitoken_change", rows.token.pk),
        "token-new": page("tenants_apitoken_add"),
        "token-rotate": page("tenants_apitoken_rotate", rows.token.pk),
        "users": page("tenants_user_changelist"),
        "user": page("tenants_user_change", rows.user.pk),
        "two-factor": page("two_factor"),
        "tenants": page("tenants_tenant_changelist"),
        "tenant-new": page("tenants_tenant_add"),
        "webhooks": page("contacts_webhook_changelist"),
        "landing": reverse("landing"),
    }


def look_at(page: Page, name: str, problems: list[str]) -> None:
    page.wait_for_load_state("networkidle")
    keep_screenshot(page, name)
    for check in (assert_fits, assert_accessible):
        try:
            check(page)
        except AssertionError as error:
            problems.append(f"{name}: {error}")


@pytest.mark.parametrize("look", LOOKS)
def test_each_page_can_be_read_by_everybody(
    admin_server: httpx.Client, rows: SimpleNamespace, tmp_path: Path, look: str
) -> None:
    file = tmp_path / "customers.csv"
    file.write_text("Mobile;Name;City\n+33612345678;Zoé;Lyon\n12;Bob;\n")
    problems: list[str] = []
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
        for action in ("add_tag", "merge"):
            page.goto(addresses(rows)["contacts"])
            for box in page.locator("input.action-select").all()[:2]:
                box.check()
            page.locator("select[name=action]").select_option(action)
            page.get_by_role("button", name="Run").click()
            look_at(page, f"{action}-{look}", problems)
    assert not problems, "\n\n".join(problems)
