"""What waits for the batches of an import, and for what batches wait. PostgreSQL only: SQLite has
one writer at a time."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction

from contacts import erasing
from contacts.db.transactions import hold_tenant
from contacts.models import Erasure, TenantLock, Webhook
from contacts.webhooks import outbox
from tenants.models import Tenant
from tests.support.api import PHONE
from tests.support.factories import TenantFactory
from tests.support.imports import bring, write

pytestmark = [
    pytest.mark.both,
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time"),
]


def erase(tenant: Tenant) -> None:
    erasing.erase(tenant, PHONE)
    assert Erasure.objects.count() == 1


def delete(tenant: Tenant) -> None:
    tenant.delete()
    assert not Tenant.objects.filter(pk=tenant.pk).exists()


def add_webhook(tenant: Tenant) -> None:
    outbox.create(Webhook(tenant=tenant, url="https://shop.example/hook", events=[]))


def change_webhook(tenant: Tenant) -> None:
    outbox.change(tenant.webhooks.get(), {"events": []})


def hold(tenant: Tenant) -> None:
    with transaction.atomic():
        hold_tenant(tenant.pk)


def impatient(verb: Callable[[Tenant], None], tenant: Tenant) -> None:
    """Does not wait for a lock for long, as in a request."""
    own: Any = connection
    own.lock_timeout = "100ms"
    try:
        verb(tenant)
    finally:
        connection.close()


@pytest.mark.parametrize("was_held", [False, True])
@pytest.mark.parametrize("verb", [erase, delete, add_webhook, change_webhook])
def test_who_needs_a_tenant_alone_waits_for_those_who_hold_it(
    verb: Callable[[Tenant], None], was_held: bool
) -> None:
    """Also for the first one to hold the tenant, who creates the row that all lock, and takes it
    back here."""
    tenant: Any = TenantFactory.create()
    if verb is change_webhook:
        Webhook.objects.create(tenant=tenant, url="https://shop.example/hook", events=[])
    if was_held:
        hold(tenant)
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            hold_tenant(tenant.pk)
            if was_held:
                pool.submit(impatient, hold, tenant).result()
            with pytest.raises(OperationalError, match="lock timeout"):
                pool.submit(impatient, verb, tenant).result()
            transaction.set_rollback(True)
        pool.submit(impatient, verb, tenant).result()


def test_batches_wait_for_who_needs_the_tenant_alone() -> None:
    tenant: Any = TenantFactory.create()
    hold(tenant)
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        hold_tenant(tenant.pk, alone=True)
        with pytest.raises(OperationalError, match="lock timeout"):
            pool.submit(impatient, hold, tenant).result()


def test_the_batches_of_a_first_dry_run_do_not_wait_for_each_other(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    """A dry run takes back what its batches create, but not the row that they lock."""
    bring(write(tmp_path / "shop.csv", ["phone"], [PHONE]), "--dry-run")
    assert TenantLock.objects.filter(tenant=acme.tenant).exists()
