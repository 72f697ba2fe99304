"""One of each kind of row, as the pages of the admin show them."""

from datetime import timedelta
from types import SimpleNamespace
from typing import Any

from django.utils import timezone

from contacts.jobs import bulk_actions, duplicate_search
from contacts.models import BulkAction, Contact, Export, Import, SavedView, Webhook
from tenants.models import ApiToken, Tenant, User
from tests.support.factories import ContactFactory

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
    {"name": "Martin Zoé", "phone": "+33639980132", "email": "zoe.martin@example.com",
     "tags": ["newsletter"], "source": "csv_import"},
    {"name": "Liam Carter", "phone": "+61491570157", "email": "", "source": "manual"},
    {"name": "Romain", "phone": "+14155550123", "email": "romain@example.com",
     "tags": ["vip", "fr-FR"], "source": "api"},
]  # fmt: skip


def make_people(tenant: Tenant) -> list[Contact]:
    names = ["Ada Lovelace", "Grace Hopper", "Mary Kenneth Keller", "Radia Perlman"]
    return [
        ContactFactory.create(
            tenant=tenant, name=name, phone=f"+1415555010{number}",
            email=f"{name.split()[0].lower()}@example.com", tags=["vip", "early"],
            metadata={"city": "Paris"},
        )
        for number, name in enumerate(names)
    ]  # fmt: skip


def make_rows(staff: SimpleNamespace, people: list[Contact]) -> SimpleNamespace:
    """The rows of `tests.support.admin_pages.addresses`. `staff`: becomes a superuser."""
    tenant, user, now = staff.tenant, staff.user, timezone.now()
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
    export, running = (
        Export.objects.create(
            tenant=tenant, actor=f"user:{user.pk}", format=form, filters=filters, state=state,
            total=12_000, written=written, finished_at=finished, expires_at=expires,
        )
        for form, filters, state, written, finished, expires in [
            ("xlsx", None, Export.State.DONE, 12_000, now, now + timedelta(days=1)),
            ("csv", {"tag": "vip", "updated_since": None}, Export.State.WRITING, 4_000, None, None),
        ]
    )  # fmt: skip
    pks = [contact.pk for contact in people]
    action = bulk_actions.plan(tenant, f"user:{user.pk}", BulkAction.Kind.ADD_TAG, "gold", pks)
    bulk_actions.start(action)
    stopped = BulkAction.objects.create(
        tenant=tenant, actor=f"user:{user.pk}", kind=BulkAction.Kind.DELETE, total=5_000,
        done=2_000, changed=2_000, problem=bulk_actions.STOPPED,
    )  # fmt: skip
    Import.objects.create(
        tenant=tenant, file_name="customers.pdf", state=Import.State.REFUSED, finished_at=now,
        problem="This is a PDF, and not a file of contacts.", options={"mode": "upsert"},
    )  # fmt: skip
    Webhook.objects.create(tenant=tenant, url="https://example.com/hook", events=[])
    view = SavedView.objects.create(
        tenant=tenant, actor=f"user:{user.pk}", name="VIPs", filter={"tags_all": ["vip"]}
    )
    duplicate_search.search(once=True)
    alike = tenant.contacts.get(phone="+33639980123")
    return SimpleNamespace(
        contact=people[0], alike=alike, tag=tenant.tags.get(name="vip"), job=job, action=action,
        token=staff.token, tenant=tenant, user=user, export=export, running=running,
        stopped=stopped, view=view,
    )  # fmt: skip
