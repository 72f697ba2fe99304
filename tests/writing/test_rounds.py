"""Rows that wait together are written together, and nobody pays for another's row."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError, OperationalError, ProgrammingError, connection, transaction
from django.test.utils import CaptureQueriesContext
from psycopg import _queries

from contacts.change_log.cause import caused_by
from contacts.change_log.difference import difference
from contacts.models import Change, Contact, OptOut, Outcome, with_folded
from contacts.writing import complete, edit, rounds
from contacts.writing.complete import Row
from contacts.writing.rounds import Rounds
from tenants.fields import hex_id
from tenants.isolation import tenant_context
from tenants.models import Tenant
from tests.support.api import PHONE
from tests.support.concurrency import all_at_once
from tests.support.factories import TenantFactory
from tests.support.sql import assert_links_match_tags, statements

on_postgresql = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQL of PostgreSQL")
on_sqlite = pytest.mark.skipif(connection.vendor != "sqlite", reason="SQL of SQLite")
PHONES = [f"+1415555{number:04}" for number in range(5)]


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rows wait for their round however busy the machine is."""
    monkeypatch.setattr(rounds, "PATIENCE", 30)


class Writer:
    """Threads that bring rows, and what is written of them: the first round goes on until `go`."""

    def __init__(self, write: Callable[[Any], None] = lambda rows: None) -> None:
        self.rounds, self.written = Rounds[Any](self.write, self.wait), list[list[Any]]()
        self.write_rows, self.go = write, Event()
        self.waited = 0  # threads
        self.pool = ThreadPoolExecutor(9)

    def wait(self) -> None:
        self.waited += 1

    def write(self, rows: Any) -> None:
        self.written.append([*rows])
        self.go.wait(60)
        self.write_rows(rows)

    def bring(self, row: str, queue: str = "acme") -> Future[None]:
        """Returns when the row waits or is being written. Its key is its first character."""

        before = self.waited + len(self.written)
        future = self.pool.submit(self.rounds.write, queue, row[0], row)
        while self.waited + len(self.written) == before:
            time.sleep(0.001)
        return future


@pytest.mark.usefixtures("patient")
def test_what_waits_is_written_in_one_round_and_a_phone_twice_in_two() -> None:
    writer = Writer()
    futures = [writer.bring(row) for row in ("a", "b1", "c", "b2", "d", "b3")]
    assert writer.written == [["a"]], "who is alone is written at once"
    writer.go.set()
    for future in futures:
        future.result(30)
    assert writer.written == [["a"], ["b1", "c", "d"], ["b2"], ["b3"]]
    assert not writer.rounds.waiting


@pytest.mark.usefixtures("patient")
def test_queues_do_not_wait_for_each_other() -> None:
    writer = Writer()
    futures = [writer.bring("a", "acme"), writer.bring("b", "globex")]
    assert writer.written == [["a"], ["b"]]
    writer.go.set()
    assert [future.result(30) for future in futures] == [None, None]


@pytest.mark.usefixtures("patient")
def test_each_thread_of_a_round_gets_its_error_and_the_next_round_is_written() -> None:
    def fail(rows: list[str]) -> None:
        if "c" in rows:
            raise OperationalError("the connection is lost") from ValueError("cause")

    writer = Writer(fail)
    futures = [writer.bring(row) for row in ("a", "b", "c", "b again")]
    writer.go.set()
    errors = [future.exception(30) for future in futures]
    assert [type(error) for error in errors] == [
        type(None), OperationalError, OperationalError, type(None),
    ]  # fmt: skip
    assert errors[1] is not errors[2]
    assert isinstance(errors[1].__cause__, ValueError)  # type: ignore[union-attr]


def test_who_waits_for_too_long_is_left_to_write_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rounds, "PATIENCE", 0.05)
    writer = Writer()
    first, second = writer.bring("a"), writer.bring("b")
    assert second.result(30) is None
    assert not first.done()
    writer.go.set()
    first.result(30)
    assert writer.written == [["a"]]


# What the database writes in a round

NAMES = ["name", "email", "tags", "metadata"]


def row(tenant: Any, phone: str, **fields: Any) -> Row:
    """Caused by the phone, as by a request of its own."""
    values = {"name": "", "email": "", "tags": [], "metadata": {}} | fields
    with caused_by(f"token:{phone}"):
        return Row(Contact(tenant=tenant, phone=phone, **values), tuple(with_folded(NAMES)))


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
def test_a_round_is_one_statement_and_each_row_keeps_its_outcome_and_cause(
    acme: SimpleNamespace,
) -> None:
    """On SQLite one for each table, and two that read, in one transaction."""
    before: dict[str, Any] = {"name": "A", "tags": ["a", "b"], "metadata": {"n": 1, "gone": None}}
    after: dict[str, Any] = {"name": "B", "tags": ["b", "c"], "metadata": {"n": 1.0}}
    for phone in PHONES[:2]:
        acme.tenant.contacts.update_or_create(
            phone=phone, defaults=before, only_if_new={"source": "widget"}
        )
    acme.tenant.changes.all().delete()
    values = {4: after, 1: after, 0: before, 3: {"tags": ["new"]}}
    given = [row(acme.tenant, PHONES[number], **fields) for number, fields in values.items()]
    number = len(statements(lambda: complete.write_round(given)))
    assert number == (7 if connection.vendor == "sqlite" else 1)
    outcomes = [Outcome.CREATED, Outcome.UPDATED, Outcome.UNCHANGED, Outcome.CREATED]
    assert [each.outcome for each in given] == outcomes
    entries = acme.tenant.changes.order_by("contact_id").values_list("actor", "kind", "fields")
    states = [[state.get(name, "") for name in NAMES] for state in (before, after)]
    for state in states:
        state[2] = ",".join(state[2])
    assert sorted(entries) == [
        (f"token:{PHONES[1]}", "updated", difference(NAMES, *states)),
        (f"token:{PHONES[3]}", "created", {}),
        (f"token:{PHONES[4]}", "created", {}),
    ]
    assert acme.tenant.changes.values("change_set").distinct().count() == 3
    updated, stored = given[1].contact, Contact.objects.get(phone=PHONES[1])
    for field in Contact._meta.concrete_fields:
        assert getattr(updated, field.attname) == getattr(stored, field.attname), field.name
    assert_links_match_tags()


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_the_long_statement_is_split_at_its_parameters_once(acme: SimpleNamespace) -> None:
    complete.write_round([row(acme.tenant, PHONE)])
    kept = _queries._query2pg.cache_info()
    complete.write_round([row(acme.tenant, PHONE, name="B")])
    now = _queries._query2pg.cache_info()
    assert (now.misses, now.hits) == (kept.misses, kept.hits + 1)


@pytest.mark.both
@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("problem", ["a value", "an opt-out"])
def test_a_row_that_fails_a_round_is_the_only_one_that_is_not_written(
    acme: SimpleNamespace, problem: str
) -> None:
    good, bad = row(acme.tenant, PHONES[0]), row(acme.tenant, PHONES[1].removeprefix("+"))
    if problem == "an opt-out":
        bad = row(acme.tenant, PHONES[1])
        OptOut.of_phone(acme.tenant.pk, PHONES[1], acme.tenant.created_at).save(force_insert=True)
    complete.write_round([good, bad])
    if connection.vendor == "postgresql" or problem == "a value":
        assert (good.outcome, bad.outcome) == (None, None)
        assert not Contact.objects.exists(), "nothing is half written"
        complete.write_alone(good)
    assert good.outcome is Outcome.CREATED
    if problem == "a value":
        with pytest.raises(IntegrityError):
            complete.write_alone(bad)
    else:
        complete.write_alone(bad)
        assert bad.outcome is None, "several statements write it, and the opt-out"
    assert [*Contact.objects.values_list("phone", flat=True)] == [PHONES[0]]


@pytest.mark.both
@on_sqlite
@pytest.mark.django_db(transaction=True)
def test_a_row_has_no_outcome_if_its_commit_fails(acme: SimpleNamespace) -> None:
    """SQLite checks the tenant of a contact when the transaction ends."""
    nobody = row(Tenant(name="Deleted"), PHONE)
    complete.write_round([nobody])
    assert nobody.outcome is None
    assert not Contact.objects.exists()
    assert not Change.objects.exists()


@pytest.mark.both
@on_sqlite
@pytest.mark.django_db(transaction=True)
def test_a_transaction_of_sqlite_writes_rows_of_several_tenants_and_kinds(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    tenants = [acme.tenant, globex.tenant]
    given = [row(tenant, phone, tags=["a"]) for tenant in tenants for phone in PHONES[:2]]
    given.append(Row(Contact(tenant=acme.tenant, phone=PHONES[2], name="C"), ("name",)))
    assert {complete.queue_of(one) for one in given} == {None}
    with CaptureQueriesContext(connection) as captured:
        complete.write_round(given)
    assert [query["sql"] for query in captured].count("COMMIT") == 1
    assert {one.outcome for one in given} == {Outcome.CREATED}
    for tenant, number in zip(tenants, (3, 2), strict=True):
        entries = tenant.changes.values_list("actor", flat=True)
        assert sorted(filter(None, entries)) == [f"token:{phone}" for phone in PHONES[:2]]
        assert tenant.contacts.count() == tenant.changes.count() == number
    assert_links_match_tags()


@on_postgresql
@pytest.mark.django_db(transaction=True)
def test_links_that_another_writer_makes_while_the_statement_waits_are_not_left(
    acme: SimpleNamespace,
) -> None:
    """The statement does not see them: it began before."""

    def write() -> None:
        try:
            acme.tenant.contacts.update_or_create(phone=PHONE, defaults={"tags": ["c"]})
        finally:
            connection.close()

    contact, _ = acme.tenant.contacts.update_or_create(phone=PHONE, defaults={"tags": ["a"]})
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            edit.change(contact, tags=["a", "b"])
            waiting = pool.submit(write)
            with pytest.raises(TimeoutError):
                waiting.result(0.5)
        waiting.result(30)
    assert Contact.objects.get().tags == ["c"]
    assert_links_match_tags()


# Rounds with contacts of several tenants, on PostgreSQL


def given_by(tenant: Any, phone: str, **fields: Any) -> Row:
    """A row of a request of the tenant, and its queue has to be the one of all tenants."""
    with tenant_context(tenant.pk):
        one = row(tenant, phone, **fields)
        assert complete.queue_of(one) == one.changes
    return one


@pytest.fixture
def nobody_apart() -> Iterator[None]:
    complete.apart.clear()
    yield
    complete.apart.clear()


several = pytest.mark.usefixtures("nobody_apart")


@on_postgresql
@several
@pytest.mark.django_db(transaction=True)
def test_contacts_of_several_tenants_are_written_in_one_statement(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    tenants = [acme.tenant, globex.tenant]
    globex.tenant.contacts.update_or_create(phone=PHONE, defaults={"tags": ["a", "gone"]})
    globex.tenant.changes.all().delete()
    given = [given_by(one, phone, tags=["a"]) for phone in PHONES[:2] for one in tenants]
    given += [given_by(acme.tenant, PHONE, tags=["b"]), given_by(globex.tenant, PHONE, tags=["b"])]
    with tenant_context(acme.tenant.pk):
        executed = statements(lambda: complete.write_round(given))
    assert len(executed) == 1
    assert [one.outcome for one in given] == [Outcome.CREATED] * 5 + [Outcome.UPDATED]
    for tenant in tenants:
        actors = tenant.changes.values_list("actor", "kind")
        kind = "created" if tenant is acme.tenant else "updated"
        expected = {(f"token:{phone}", "created") for phone in PHONES[:2]}
        assert {*actors} == expected | {(f"token:{PHONE}", kind)}
        assert {*tenant.contacts.values_list("phone", flat=True)} == {*PHONES[:2], PHONE}
    assert Change.objects.values("xid").distinct().count() == 1
    assert_links_match_tags()


@on_postgresql
@several
@pytest.mark.django_db(transaction=True)
def test_a_round_writes_to_its_own_tenants_only(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    """Row-level security would stop a mistake of the writer, such as the wrong tenant in a row."""
    if not connection.is_restricted:  # type: ignore[attr-defined]
        pytest.skip("the role bypasses row-level security")
    initech = TenantFactory.create()
    given = [given_by(acme.tenant, PHONE), given_by(globex.tenant, PHONE)]
    wrong = given_by(globex.tenant, PHONES[1])
    wrong.values = wrong.values.replace(hex_id(globex.tenant.pk), hex_id(initech.pk))
    complete.write_round([*given, wrong])
    assert {one.outcome for one in (*given, wrong)} == {None}
    with tenant_context(globex.tenant.pk), pytest.raises(ProgrammingError, match="row-level"):
        complete.write_alone(wrong)
    assert not Contact.objects.exists()
    with tenant_context(globex.tenant.pk):
        assert complete.queue_of(given[0]) != given[0].changes, "globex with a row of acme"


@on_postgresql
@several
@pytest.mark.django_db(transaction=True)
def test_a_tenant_that_fails_a_round_is_written_without_the_others_for_a_while(
    acme: SimpleNamespace, globex: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody holds a contact of the tenant: the others wait once, and for a moment only."""
    monkeypatch.setattr(complete, "waits", lambda: "300ms")
    held, _ = globex.tenant.contacts.update_or_create(phone=PHONE, defaults={})
    mine = [given_by(acme.tenant, phone) for phone in PHONES[:3]]
    theirs = given_by(globex.tenant, PHONE)

    def write() -> None:
        try:
            complete.write_round([*mine, theirs])
            assert {one.outcome for one in (*mine, theirs)} == {None}, "nothing is half written"
            for one in mine:
                complete.write_alone(one)
            with pytest.raises(OperationalError, match="lock timeout"):
                complete.write_alone(theirs)
        finally:
            connection.close()

    monkeypatch.setattr(complete, "QUICK", 30)
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        Contact.objects.select_for_update().get(pk=held.pk)
        pool.submit(write).result(30)
    assert [one.outcome for one in mine] == [Outcome.CREATED] * 3
    assert [*complete.apart] == [globex.tenant.pk]
    with tenant_context(globex.tenant.pk):
        assert complete.queue_of(theirs) == (
            hex_id(globex.tenant.pk), globex.tenant.pk, theirs.changes,
        )  # fmt: skip
    complete.write_alone(theirs)
    assert theirs.outcome is Outcome.UNCHANGED
    assert not complete.apart


@on_postgresql
@several
@pytest.mark.django_db(transaction=True)
def test_rounds_of_the_same_contacts_of_several_tenants_never_wait_for_each_other_in_a_circle(
    acme: SimpleNamespace, globex: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(complete, "ROUND_LOCK_TIMEOUT", "20s")

    def write(number: int) -> list[Row]:
        """Half of the threads bring the rows in the opposite order."""
        written = []
        for turn in range(8):
            rows = [
                row(tenant, phone, name=f"{number} {turn}", tags=[f"tag {phone}"])
                for tenant in (acme.tenant, globex.tenant)
                for phone in PHONES
            ][:: (-1) ** number]
            complete.write_round(rows)
            for one in rows:  # before PostgreSQL 18, a row that another round has changed meanwhile
                if not one.outcome:
                    with tenant_context(one.contact.tenant_id):
                        complete.write_alone(one)
            written += rows
        return written

    for one in all_at_once(write, 4):
        assert all(each.outcome for each in one)
    assert acme.tenant.contacts.count() == globex.tenant.contacts.count() == len(PHONES)
    assert_links_match_tags()


@on_postgresql
@several
@pytest.mark.django_db(transaction=True)
def test_a_tenant_that_is_gone_is_a_clear_error_and_the_connection_goes_on(
    acme: SimpleNamespace,
) -> None:
    """PostgreSQL checks the tenant of a contact when the transaction ends."""
    good, nobody = given_by(acme.tenant, PHONE), given_by(Tenant(name="Deleted"), PHONE)
    backend = connection.connection.info.backend_pid
    complete.write_round([good, nobody])
    assert (good.outcome, nobody.outcome) == (None, None)
    with tenant_context(nobody.contact.tenant_id), pytest.raises(IntegrityError, match="foreign"):
        complete.write_alone(nobody)
    complete.write_alone(good)
    assert good.outcome is Outcome.CREATED
    assert connection.connection.info.backend_pid == backend
