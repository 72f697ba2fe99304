"""`manage.py move_database`: everything arrives, and the service goes on where it was."""

import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import compress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.core.management import CommandError, call_command
from django.db import connection

from contacts.change_log.feed import FeedPosition
from contacts.models import EVENTS, Change, Contact, Webhook
from contacts.moving import database
from contacts.moving.database import SOURCE, TARGET
from contacts.webhooks import outbox
from tenants.models import Tenant
from tests.admin.test_people import full_tenant
from tests.support.databases import test_database_url
from tests.support.factories import TenantFactory
from tests.support.processes import manage

pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]
# What a reader of the feed would get next, how many deliveries a webhook would send again, and
# those of one more change; then a row whose id the database gives out.
GO_ON = """
import json, time
from contacts.change_log.feed import FeedPosition
from contacts.models import Delivery
from contacts.webhooks import outbox
from tenants.models import Tenant, User
acme = Tenant.objects.get(slug='acme')
unread = [change.pk for change in acme.changes.after(FeedPosition(*{position}))[0]]
before = Delivery.objects.count()
outbox.enqueue_deliveries()
again = Delivery.objects.count() - before
acme.contacts.update_or_create(phone='+4915112345678', defaults={{'name': 'Eva'}})
for _ in range(6000):  # somebody else's transaction may hold the feed up
    outbox.enqueue_deliveries()
    if Delivery.objects.count() > before + again:
        break
    time.sleep(0.05)
User.objects.create(email='new@acme.example')
print(json.dumps([unread, again, Delivery.objects.count() - before - again]))
"""


@pytest.fixture(autouse=True)
def other_databases_are_allowed(db: None, django_db_blocker: Any) -> Iterator[None]:
    """Django's tests refuse databases that the settings do not name."""
    with django_db_blocker.unblock():
        yield


def tell_all(tenant: Tenant) -> None:
    """Transactions of other tests on the same server may hold the feed up."""
    for _ in range(6000):
        outbox.enqueue_deliveries()
        if len(tenant.changes.after(FeedPosition())[0]) == tenant.changes.count():
            outbox.enqueue_deliveries()
            return
        time.sleep(0.05)


@pytest.fixture
def busy(acme: SimpleNamespace) -> Tenant:
    """A tenant whose webhook was told everything, beside one with rows of every kind."""
    full_tenant()
    outbox.create(Webhook(tenant=acme.tenant, url="https://example.com/", events=[*EVENTS]))
    for number in range(5):
        acme.api.create(phone=f"+1415555{number:04}", tags=["vip", "b"], metadata={"n": number})
    tell_all(acme.tenant)
    return acme.tenant


def contents(using: str) -> dict[str, list[tuple[Any, ...]]]:
    """All rows of all tables, but for the numbers of the old server's transactions."""
    found = {}
    for table in [table for group in database.tables() for table in group]:
        is_kept = [field.name != "xid" for field in database.stored_fields(table)]
        rows = database.in_order(table, using)
        found[table.__name__] = [tuple(compress(row, is_kept)) for row in rows]
    return found


@contextmanager
def empty_database() -> Iterator[str]:
    """The URL of one of PostgreSQL, with tables."""
    owner = urlsplit(os.environ["DATABASE_URL"])
    name = f"{urlsplit(test_database_url()).path[1:]}_second"
    with psycopg.connect(owner.geturl(), autocommit=True) as own:
        own.execute(f'CREATE DATABASE "{name}" TEMPLATE "{os.environ["TEST_TEMPLATE"]}"'.encode())
        yield owner._replace(path=f"/{name}").geturl()
        own.execute(f'DROP DATABASE "{name}"'.encode())


def interrupted(count: int) -> Any:
    left = iter(range(count))

    def tell(rows: int) -> None:
        if next(left, None) is None:
            raise KeyboardInterrupt

    return tell


@pytest.mark.skipif(connection.vendor == "sqlite", reason="PostgreSQL moves to SQLite and back")
def test_an_interrupted_move_goes_on_and_another_one_brings_everything_back(
    busy: Tenant, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(database, "BATCH", 3)
    changes, position = busy.changes.after(FeedPosition())
    read = changes[2]
    position = position._replace(xid=read.xid, id=read.pk)
    first = f"sqlite:///{tmp_path}/first.sqlite3"
    with database.target_database(settings.DATABASE_FROM(first)):
        call_command("migrate", database=TARGET, verbosity=0)
        with pytest.raises(KeyboardInterrupt):
            database.move(interrupted(database.number_of_rows() // 2))
        assert Contact.objects.using(TARGET).exists()
        busy.contacts.order_by("pk")[0].delete()  # meanwhile
        contact = busy.contacts.order_by("pk")[0]
        busy.contacts.update_or_create(phone=contact.phone, defaults={"name": "Ada"})
        tell_all(busy)
        database.move(lambda rows: None)
        assert contents(TARGET) == contents(SOURCE)
        before = contents(SOURCE)
    later = Change.objects.filter(tenant=busy, pk__gt=read.pk)
    unread = [*later.order_by("xid", "pk").values_list("pk", flat=True)]
    with empty_database() as second:
        done = manage(tmp_path, "move_database", "--to", second, DATABASE_URL=first)
        assert done.returncode == 0, done.stderr
        assert f"{sum(map(len, before.values()))} rows of" in done.stdout
        with database.target_database(settings.DATABASE_FROM(second)):
            assert contents(TARGET) == before
        code = GO_ON.format(position=[*position])
        done = manage(tmp_path, "shell", "--no-imports", "-c", code, DATABASE_URL=second)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout.splitlines()[-1]) == [unread, 0, 1]


def test_what_cannot_be_moved_is_refused(busy: Tenant, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/other.sqlite3"
    with pytest.raises(CommandError, match="must begin with postgres:// or sqlite:///"):
        call_command("move_database", to="mysql://localhost/contacts")
    with pytest.raises(CommandError, match="is the database that is in use"):
        call_command("move_database", to=test_database_url())
    gone = TenantFactory.create()
    call_command("move_database", to=url)
    gone.delete()
    with pytest.raises(CommandError, match="has tenants that this one does not have"):
        call_command("move_database", to=url)
