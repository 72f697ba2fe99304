"""Tests that start programs (servers, browsers, poolers) or measure. Others do neither."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from django.contrib.auth.models import Permission
from django.utils import timezone

from contacts.jobs import bulk_actions, duplicate_search
from contacts.models import BulkAction, Contact, Export, Import, SavedView, Webhook
from tenants.models import ApiToken, User
from tests.support.api import PASSWORD
from tests.support.factories import ContactFactory
from tests.support.processes import serving


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.system)


@pytest.fixture(autouse=True)
def no_program_starts() -> None:
    """Replaces the fixture that keeps the other tests from starting programs."""


@pytest.fixture(scope="session")
def server_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def server_url(django_db_setup: None, server_data_dir: Path) -> Iterator[str]:
    """The address of a server in two processes."""
    with serving(server_data_dir / "log", workers=2, RATELIMIT_DEFAULT="") as url:
        yield url


@pytest.fixture
def server(
    server_url: str, transactional_db: None, acme: SimpleNamespace
) -> Iterator[httpx.Client]:
    """A client of the real server with Acme's token. The server sees what the test commits."""
    headers = {"Authorization": f"Bearer {acme.plaintext}"}
    # Of many threads that share kept connections, one may close a connection that another has just
    # begun to use: httpcore takes an answer for the end of a connection that nobody uses.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    with httpx.Client(base_url=server_url, headers=headers, limits=limits, timeout=60) as client:
        yield client


# The admin in a real browser


@pytest.fixture
def admin_server(server_url: str, transactional_db: None) -> Iterator[httpx.Client]:
    """A client of the real server, without a token."""
    with httpx.Client(base_url=server_url, timeout=60) as web:
        yield web


@pytest.fixture
def admin_staff(admin_server: httpx.Client, acme: SimpleNamespace) -> SimpleNamespace:
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
def people(admin_staff: SimpleNamespace) -> list[Contact]:
    names = ["Ada Lovelace", "Grace Hopper", "Mary Kenneth Keller", "Radia Perlman"]
    return [
        ContactFactory.create(
            tenant=admin_staff.tenant, name=name, phone=f"+1415555010{number}",
            email=f"{name.split()[0].lower()}@example.com", tags=["vip", "early"],
            metadata={"city": "Paris"},
        )
        for number, name in enumerate(names)
    ]  # fmt: skip


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
        token=admin_staff.token, tenant=tenant, user=user, export=export, running=running,
        stopped=stopped, view=view,
    )  # fmt: skip
