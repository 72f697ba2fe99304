"""A request waits for a lock for a moment only, whatever it does; then it is answered 503.

Else a few writers of one contact that somebody holds would keep all threads of a server.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import OperationalError, connection, transaction
from django.test.utils import CaptureQueriesContext

from contacts.db.pacing import Pace
from contacts.models import Contact
from contacts.writing import former_phones
from contacts.writing.undo import undo
from qyvo.postgresql.base import LOCK_TIMEOUT
from tenants.isolation import install_wrapper
from tenants.models import ApiToken, Tenant
from tests.support.api import PHONE, assert_error
from tests.support.processes import wait_until

NEW, OTHER = "+14155550199", "+14155550198"
CONTACT = "01J1YB4ZK7M5V9R8N6Q3T2W1X0"
# Seconds: the limit here is a tenth of one, the usual one is 20, and machines are slow at times.
SOON = 15
pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As the connections of a server, with a shorter limit."""
    if connection.vendor == "sqlite":
        monkeypatch.setitem(connection.settings_dict["OPTIONS"], "timeout", 0.1)
        yield
        return
    connection.ensure_connection()
    is_restricted = connection.is_restricted  # type: ignore[attr-defined]
    with monkeypatch.context() as patch:
        patch.setattr(connection, "lock_timeout", "100ms", raising=False)
        install_wrapper(connection, is_restricted=is_restricted)
        yield
    install_wrapper(connection, is_restricted=is_restricted)


@contextmanager
def held(write: Callable[[], Any]) -> Iterator[None]:
    """Somebody else has done `write`, in a transaction that ends with the block."""
    done, release = Event(), Event()

    def run() -> None:
        try:
            with transaction.atomic():
                write()
                done.set()
                release.wait(60)
        finally:
            done.set()
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(run)
        done.wait(60)
        try:
            yield
        finally:
            release.set()
            future.result()


def hold(tenant: Tenant) -> None:
    """Locks the contact with `PHONE`, and makes a contact and a tag."""
    list(tenant.contacts.filter(phone=PHONE).select_for_update())
    tenant.contacts.update_or_create(phone=NEW, defaults={"tags": ["new"]})


@pytest.mark.parametrize(
    ("action", "body"),
    [
        ("create-contact", {"phone": PHONE, "name": "Eva"}),
        ("create-contact", {"phone": NEW}),
        ("create-contact", {"phone": OTHER, "tags": "new"}),
        ("create-contacts", {"contacts": [{"phone": PHONE, "name": "Eva"}]}),
        ("create-contacts", {"contacts": [{"phone": OTHER, "tags": "new"}]}),
        ("update-contact", {"phone": PHONE, "name": "Eva"}),
        ("add-tag", {"phone": PHONE, "tag": "vip"}),
        ("record-consent", {"phone": PHONE, "status": "opted_out"}),
        ("delete-contact", {"phone": PHONE}),
    ],
)
def test_a_request_gives_up_on_what_somebody_else_holds(
    acme: SimpleNamespace, impatient: None, action: str, body: dict[str, Any]
) -> None:
    assert acme.api.create().status_code == 201
    with held(lambda: hold(acme.tenant)):
        began = time.monotonic()
        answer = acme.api.act(action, **body)
        assert time.monotonic() - began < SOON
        assert_error(answer, 503, "unavailable")
        assert answer.headers["Retry-After"] == "1"
        assert acme.api.act("get-contact", phone=PHONE).status_code == 200
    assert acme.api.act(action, **body).status_code in (200, 201)


def test_a_request_that_reads_is_answered_though_the_use_of_its_token_cannot_be_noted(
    acme: SimpleNamespace, impatient: None
) -> None:
    assert acme.api.create().status_code == 201
    tokens = ApiToken.objects.filter(pk=acme.token.pk)
    tokens.update(last_used_at=None)
    with held(lambda: tokens.update(name="Locked")):
        assert acme.api.act("get-contact", phone=PHONE).status_code == 200
    assert tokens.get().last_used_at is None


@pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL only")
def test_the_limit_goes_with_the_statement_and_ends_with_its_transaction(
    acme: SimpleNamespace, impatient: None
) -> None:
    def limit() -> str:
        return connection.connection.execute("SHOW lock_timeout").fetchone()[0]

    server_default = limit()
    with CaptureQueriesContext(connection) as queries:
        acme.tenant.contacts.update_or_create(phone=PHONE, defaults={"tags": ["vip"]})
    assert len(queries) == 1
    assert limit() == server_default
    with transaction.atomic():
        assert Contact.objects.count() == 1
        assert limit() == "100ms"
    assert limit() == server_default
    with connection.cursor() as cursor:
        cursor.execute("SELECT current_setting('lock_timeout')")
        assert cursor.fetchone() == ("100ms",)
    assert limit() == server_default


@pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL only")
def test_a_deadlock_is_found_before_the_limit() -> None:
    """A deadlock is tried again, a lock that did not come is not."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT %s::interval > setting::int * '1 ms'::interval FROM pg_settings"
            " WHERE name = 'deadlock_timeout'",
            [LOCK_TIMEOUT],
        )
        assert cursor.fetchone() == (True,)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
@pytest.mark.parametrize(
    "write",
    [
        lambda acme: acme.api.act("delete-contact", phone=NEW).json()["id"],
        lambda acme: acme.tenant.contacts.all().delete(),
        lambda acme: acme.api.act("erase-contact", phone=NEW).json()["id"],
        lambda acme: acme.api.act("update-contact", phone=NEW, new_phone=OTHER).json()["id"],
        lambda acme: save_with(OTHER, acme.tenant.contacts.get()),
        lambda acme: undo(acme.tenant, CONTACT, [CONTACT]),
    ],
    ids=["delete", "delete many", "erase", "change the phone", "save", "undo"],
)
def test_who_waits_for_a_former_phone_does_not_hold_the_contact(
    acme: SimpleNamespace, write: Callable[[SimpleNamespace], Any]
) -> None:
    """A batch with both phones locks them in their order: it would wait for the contact, and the
    other writer for the batch."""
    contact = Contact(pk=CONTACT, tenant=acme.tenant, phone=NEW)
    contact.save()
    former_phones.keep(contact, OTHER)
    mine = Contact.all_phones.select_for_update(nowait=True)

    def write_beside() -> None:
        try:
            write(acme)
        finally:
            connection.close()

    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            mine.get(tenant=acme.tenant, phone=OTHER)
            other = pool.submit(write_beside)
            wait_until(is_somebody_waiting)
            mine.get(tenant=acme.tenant, phone=NEW)
        other.result()


def save_with(phone: str, contact: Contact) -> None:
    contact.phone = phone
    contact.save()


def is_somebody_waiting() -> bool:
    """Whether a lock of this connection holds somebody up. Not read from pg_stat_activity, which
    shows the same for a whole transaction."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT EXISTS (SELECT FROM pg_locks"
            " WHERE NOT granted AND pg_backend_pid() = ANY (pg_blocking_pids(pid)))"
        )
        return cursor.fetchone() == (True,)


@pytest.mark.skipif(connection.vendor != "sqlite", reason="is about SQLite only")
def test_a_writer_gets_its_turn_beside_bulk_work(
    acme: SimpleNamespace,
) -> None:
    stop = Event()

    def keep_writing() -> int:
        turns, pace = 0, Pace(1)
        try:
            while not stop.is_set():
                with pace.turn(1), transaction.atomic():
                    time.sleep(0.1)
                turns += 1
        finally:
            connection.close()
        return turns

    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(keep_writing)
        began = time.monotonic()
        for turn in range(10):
            acme.tenant.contacts.update_or_create(phone=PHONE, defaults={"name": str(turn)})
        seconds = time.monotonic() - began
        stop.set()
        assert other.result() < 10 * 5, "turns of the other one"
    assert seconds < 10 * SOON


@pytest.mark.skipif(connection.vendor != "sqlite", reason="is about SQLite only")
def test_nothing_but_a_lock_is_waited_for() -> None:
    began = time.monotonic()
    with pytest.raises(OperationalError, match="no such column"), connection.cursor() as cursor:
        cursor.execute("SELECT missing FROM contacts_tag")
    assert time.monotonic() - began < SOON
