"""What the statements that change many contacts at once cost: in proportion to those that they
change, and not to those that are stored.

Each verb runs on 1,000 of 50,000 contacts, and each statement that it executes is explained first:
so a new statement is looked at without being listed here.
"""

import os
import pkgutil
import re
import sys
from collections.abc import Callable, Iterator
from datetime import timedelta
from importlib import import_module
from types import FrameType
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import psycopg
import pytest
from django.core.management import call_command
from django.db import connection
from django.utils import timezone

from contacts import writing
from contacts.change_log.cause import caused_by
from contacts.db import planner
from contacts.db.dialects import DIALECTS
from contacts.db.transactions import transactional
from contacts.exporting import export
from contacts.finding import filters
from contacts.jobs import bulk_actions
from contacts.models import BY_CHANGE, BY_MESSAGE, Change, Contact, look_up
from contacts.writing import consent, former_phones, tags, upsert
from contacts.writing.consent import Decision
from contacts.writing.merge import merge as merge_contacts
from contacts.writing.refold import refold
from contacts.writing.undo import ChangeSet
from tenants.fields import hex_id, new_ulid
from tenants.models import Tenant
from tests.support.crowd import fill
from tests.support.factories import TenantFactory

pytestmark = [pytest.mark.both, pytest.mark.django_db]
STORED, CHANGED = 50_000, 1_000
TABLES = [*planner.ROWS]
EXPLAINED = re.compile(r"\s*(SELECT|INSERT|UPDATE|DELETE|WITH)\b")


# How statements are looked at


class Found(NamedTuple):
    """A statement that does too much, and what."""

    problem: str
    sql: str


class Watch:
    """Explains each statement before it is executed. `may_scan`: whether SQLite may go through all
    rows of a tenant, once. `reached`: the functions that execute statements, as MODULE.NAME."""

    def __init__(self, *, may_scan: bool) -> None:
        self.may_scan = may_scan
        self.most = 4 * STORED  # rows that a part of a plan of PostgreSQL may go through
        self.found: list[Found] = []
        self.reached: set[str] = set()

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if EXPLAINED.match(sql):
            self.note(sys._getframe())
            with connection.cursor() as cursor:
                problems = self.problems(cursor.cursor, sql, params[0] if many else params)
                self.found += [Found(problem, sql) for problem in problems]
        return execute(sql, params, many, context)

    def note(self, frame: FrameType | None) -> None:
        while frame is not None:
            module = frame.f_globals["__name__"].rpartition(".")[2]
            self.reached.add(f"{module}.{frame.f_code.co_qualname}")
            frame = frame.f_back

    def problems(self, cursor: Any, sql: str, params: Any) -> list[str]:
        if connection.vendor == "postgresql":
            # To go through a table once is the planner's choice: at this size it may be cheaper
            # than a thousand look-ups. To go through it for each contact is not.
            return work_of_postgresql(cursor, sql, params, most=self.most)
        # A page of a list stops early.
        may_scan = self.may_scan or " LIMIT " in sql
        return plan_of_sqlite(cursor, sql, params, may_scan=may_scan)


def plan_of_sqlite(cursor: Any, sql: str, params: Any, *, may_scan: bool) -> list[str]:
    """Its loops that go through all rows of a tenant, or of a list, for each row of another loop.
    Unless it `may_scan`, also those that do so once."""
    cursor.execute(f"EXPLAIN QUERY PLAN {sql}", params)
    steps: dict[int, list[tuple[int, str]]] = {}
    for number, parent, _, detail in cursor.fetchall():
        steps.setdefault(parent, []).append((number, detail))
    names = "|".join(TABLES)
    aliases = dict(re.findall(rf'"?({names})"? (?:AS )?"?(\w+)"?', sql))
    large = "|".join({*TABLES, *aliases.values()})
    return [
        f"{'for each row' if is_inner else 'all rows'}: {step}"
        for step, is_inner in loops(steps, 0, is_inner=False)
        if (is_inner and step.startswith("SCAN"))
        or (not (may_scan and not is_inner)
        and re.match(rf"SCAN ({large})\b|SEARCH ({large})\b.*\(tenant_id=\?\)$", step))
    ]  # fmt: skip


def loops(
    steps: dict[int, list[tuple[int, str]]], parent: int, *, is_inner: bool
) -> Iterator[tuple[str, bool]]:
    """The loops below the step `parent`, and whether each runs inside another one. Those that
    follow each other do; a subquery runs once, unless it is correlated."""
    for number, step in steps.get(parent, []):
        if step.startswith(("SCAN", "SEARCH")):
            yield step, is_inner
            is_inner = True
        else:
            yield from loops(steps, number, is_inner=is_inner and step.startswith("CORRELATED"))


def work_of_postgresql(cursor: Any, sql: str, params: Any, most: int) -> list[str]:
    """Its parts that go through more rows than `most`, found by doing it and taking it back."""
    cursor.execute("SAVEPOINT explained")
    cursor.execute(f"EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) {sql}", params)
    [[[told]]] = cursor.fetchall()
    cursor.execute("ROLLBACK TO SAVEPOINT explained")
    return [*large_parts(told["Plan"], most)]


def large_parts(part: dict[str, Any], most: int) -> Iterator[str]:
    rows = sum(part.get(name, 0) for name in ROWS) * part["Actual Loops"]
    if rows > most:
        name = part.get("Relation Name") or part.get("Function Name") or ""
        yield f"{rows:,.0f} rows: {part['Node Type']} {name}"
    for inner in part.get("Plans", []):
        yield from large_parts(inner, most)


ROWS = (
    "Actual Rows", "Rows Removed by Filter", "Rows Removed by Join Filter",
    "Rows Removed by Index Recheck",
)  # fmt: skip


# A tenant with many contacts, and what the planner knows of them


class Crowd(NamedTuple):
    """`ids`, `phones`: of a thousand of its contacts, here and there."""

    tenant: Tenant
    ids: list[str]
    phones: list[str]


def sqlite_knows(state: str) -> None:
    with connection.cursor() as cursor:
        if state == "as migrated":
            planner.fix_statistics(connection.alias)
        elif state == "analyzed":
            cursor.execute("ANALYZE")
        else:
            cursor.execute("DELETE FROM sqlite_stat1")
            cursor.execute("ANALYZE sqlite_schema")


def postgresql_knows(state: str) -> None:
    """The owner of the tables says so, as autovacuum would at a moment of its own."""
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    with psycopg.connect(url.geturl(), autocommit=True) as owner:
        for table in TABLES:
            owner.execute(f"ALTER TABLE {table} SET (autovacuum_enabled = off)")
            if state == "analyzed":
                owner.execute(f"VACUUM ANALYZE {table}")
            else:
                owner.execute("DELETE FROM pg_statistic WHERE starelid = %s::regclass", [table])
                owner.execute(
                    "UPDATE pg_class SET reltuples = -1, relpages = 0 WHERE oid = %s::regclass",
                    [table],
                )


# `early`: analyzed when there was hardly a contact, and since then not. `unknown`: restored from a
# dump. What SQLite knows as migrated holds for every tenant; who knows nothing may well look
# through all.
KNOW = {"sqlite": sqlite_knows, "postgresql": postgresql_knows}[connection.vendor]
STATES = {
    "sqlite": ["as migrated", "analyzed", "unknown"],
    "postgresql": ["analyzed", "early", "unknown"],
}
SURE = "as migrated"


def empty_contacts() -> None:
    """On PostgreSQL by TRUNCATE: deleted rows, also those of earlier tests, would leave large
    tables that seem to be nearly empty."""
    with connection.cursor() as cursor:
        if connection.vendor == "postgresql":
            cursor.execute(f"TRUNCATE {', '.join(TABLES)} CASCADE")
        else:
            for table in TABLES:
                cursor.execute(f"DELETE FROM {table}")  # noqa: S608


@pytest.fixture(scope="module", params=STATES[connection.vendor])
def knowledge(request: Any) -> str:
    return request.param


@pytest.fixture(scope="module")
def crowd(knowledge: str, django_db_setup: None, django_db_blocker: Any) -> Iterator[Crowd]:
    """Stored once, for all tests of this file that have the same knowledge."""
    with django_db_blocker.unblock():
        empty_contacts()
        tenant, few = TenantFactory.create_batch(2)
        if knowledge == "early":
            fill(connection, few, 20)
            KNOW("analyzed")
        fill(connection, tenant, STORED)
        if knowledge != "early":
            KNOW(knowledge)
        some = tenant.contacts.carrying("t7").order_by("phone").values_list("pk", "phone")
        ids, phones = zip(*some, strict=True)
        yield Crowd(tenant, [*ids], [*phones])
        empty_contacts()
        tenant.delete()
        few.delete()


# What changes many contacts


def retag(crowd: Crowd) -> None:
    """Some come, and others go."""
    tags.retag(crowd.tenant, crowd.ids, lambda tags: [*tags[:-1], "new"])


def bulk_action(kind: str, value: str = "") -> Callable[[Crowd], None]:
    def run(crowd: Crowd) -> None:
        action = bulk_actions.plan(crowd.tenant, "user:1", kind, value, crowd.ids)
        bulk_actions.run(action)
        action.refresh_from_db()
        assert action.changed == CHANGED

    return run


def late_decisions(crowd: Crowd) -> None:
    bulk_action("opt_out")(crowd)
    before = Decision(Change.Kind.OPTED_OUT, timezone.now() - timedelta(days=1))
    consent.decide_many([*crowd.tenant.contacts.filter(pk__in=crowd.ids)], before)


def decisions_of_now(crowd: Crowd) -> None:
    now = Decision(Change.Kind.OPTED_OUT, timezone.now())
    contacts = crowd.tenant.contacts.filter(pk__in=crowd.ids)
    for _ in range(2):
        consent.decide_many_now([*contacts.all()], now)


def new_ones(crowd: Crowd) -> None:
    rows = [{"phone": f"+336{n:08}", "name": "Bob", "tags": ["a", "t1"]} for n in range(CHANGED)]
    upsert.replace_many(crowd.tenant, rows, "api")


def replaced(crowd: Crowd) -> None:
    rows = [{"phone": phone, "name": "Bob", "tags": ["a", "t1"]} for phone in crowd.phones]
    for _ in range(2):  # then unchanged
        upsert.replace_many(crowd.tenant, rows, "api")


def brought_in(crowd: Crowd) -> None:
    """As an import does."""
    rows = {phone: f'{{"id": "{n:032x}", "phone": "{phone}", "metadata": {{"a": {n}}}}}'
            for n, phone in enumerate(crowd.phones)}  # fmt: skip
    written = upsert.upsert_rows(rows, ["metadata"], ["metadata"], Contact(tenant=crowd.tenant))
    assert len(written) == CHANGED


def deletion(crowd: Crowd) -> None:
    crowd.tenant.contacts.filter(pk__in=crowd.ids).delete()


def merge(crowd: Crowd) -> None:
    contacts = [*crowd.tenant.contacts.filter(pk__in=crowd.ids)]
    merge_contacts([contacts[n : n + 2] for n in range(0, CHANGED, 2)])


def undone(verb: Callable[[Crowd], None]) -> Callable[[Crowd], None]:
    def run(crowd: Crowd) -> None:
        with caused_by("command:test", change_set := new_ulid()):
            verb(crowd)
        with caused_by("command:undo"):
            taken_back = ChangeSet(change_set, Tenant.objects.all()).take_back()
        assert len(taken_back) >= CHANGED / 2

    return run


def renamed_tag(crowd: Crowd) -> None:
    tag = crowd.tenant.tags.get(name="t7")
    tag.name = "other"
    tag.save()


def deleted_tag(crowd: Crowd) -> None:
    crowd.tenant.tags.filter(name="t7").delete()


def merged_tag(crowd: Crowd) -> None:
    """Into a tag that has a thousand contacts, too."""
    tags.rename(crowd.tenant.tags.get(name="t7"), "t8")


def refolded(crowd: Crowd) -> None:
    """After an upgrade that folds names otherwise."""
    outdated = crowd.tenant.contacts.filter(pk__in=crowd.ids)
    outdated.update(name_folded="Ann")
    refold(crowd.tenant, outdated)
    assert not outdated.filter(name_folded="Ann").exists()


def unused_tags(crowd: Crowd) -> None:
    tags.retag(crowd.tenant, crowd.ids, lambda tags: [])
    assert tags.delete_unused(crowd.tenant.tags.filter(name__in=["t7", "t8"])) == ["t7"]


VERBS: dict[str, tuple[Callable[[Crowd], None], set[str]]] = {
    "new contacts": (new_ones, {"upsert.replace_many", "former_phones.attempt"}),
    "replaced contacts": (replaced, {"upsert.replace_many"}),
    "imported contacts": (brought_in, {"upsert.upsert_rows"}),
    "stored names": (refolded, {"refold.refold"}),
    "retagged contacts": (retag, {"tags.retag"}),
    "a tag removed": (bulk_action("remove_tag", "t7"), {"tags.retag", "bulk_actions.run_batch"}),
    "a tag replaced": (bulk_action("merge_tags", "t7,other"), {"tags.delete_merged"}),
    "a tag renamed": (bulk_action("rename_tag", "t7,other"), {"tags.retag", "tags.rename"}),
    "an update": (
        bulk_action(
            "update", '{"add_tags": ["a"], "remove_tags": ["t7"], "locale": "fr", "opt_out": true}'
        ),
        {"tags.retag", "edit.change_many", "consent.decide_many"},
    ),
    "a locale": (bulk_action("set_locale", "fr"), {"edit.change_many"}),
    "opt-outs": (bulk_action("opt_out"), {"consent.decide_many"}),
    "late decisions": (late_decisions, {"consent.decide_many"}),
    "decisions of now": (decisions_of_now, {"consent.decide_many_now"}),
    "deleted contacts": (bulk_action("delete"), {"delete.delete_many"}),
    "merged contacts": (merge, {"merge.merge"}),
    "undo of tags": (undone(retag), {"undo.undo"}),
    "undo of new contacts": (undone(new_ones), {"undo.undo"}),
    "undo of deletions": (undone(deletion), {"undo.undo", "delete.restore"}),
    "undo of merges": (undone(merge), {"undo.undo", "delete.restore"}),
    "a tag renamed at once": (renamed_tag, {"tags.save", "tags.rename"}),
    "a tag renamed to one that exists": (merged_tag, {"tags.rename"}),
    "a tag deleted at once": (deleted_tag, {"tags.delete"}),
    "unused tags": (unused_tags, {"tags.delete_unused"}),
}
# The verbs for one contact.
OF_ONE = {
    "edit.change_one", "edit.save", "tags.add_tags", "tags.remove_tags",
    "delete.delete_one", "consent.decide_one", "merge.merge_into", "erase.forget",
    "change_phone.change_locked", "former_phones.keep", "former_phones.release",
    "consent.decide_now", "messages.record", "notes.add",
}  # fmt: skip


@pytest.mark.parametrize("verb", VERBS)
def test_what_changes_many_contacts_goes_through_no_others(
    crowd: Crowd, knowledge: str, verb: str
) -> None:
    change, reached = VERBS[verb]
    watch = Watch(may_scan=knowledge != SURE)
    with connection.execute_wrapper(watch):
        change(crowd)
    assert reached <= watch.reached
    assert not watch.found, "\n".join(f"{problem}\n    {sql}" for problem, sql in watch.found)


# Each goes through all contacts once at most, to find few of them, or nobody.
FILTERS: list[dict[str, Any]] = [
    {"tags_any": ["vip", "t7"]}, {"tags_any": ["t7"]}, {"tags_all": ["vip", "t8"]},
    {"tags_all": ["t7", "nobody"]}, {"tags_none": ["vip", "t7"]}, {"consent": "opted_out"},
    {"consent": "unknown"}, {"source": ["shopify"]}, {"country": ["FR"]}, {"country": ["US", "CA"]},
    {"has_email": False}, {"created_since": "2999-01-01T00:00:00Z"},
    {"updated_since": "2999-01-01T00:00:00Z"}, {"updated_before": "1999-01-01T00:00:00Z"},
    {"last_message_since": "2026-01-01T00:00:00Z"}, {"never_messaged": True},
    {"metadata": {"a": 1, "b": {"exists": False}}},
]  # fmt: skip


def test_a_page_of_a_filter_goes_through_all_contacts_once_at_most(
    crowd: Crowd, knowledge: str
) -> None:
    watch = Watch(may_scan=True)
    with connection.execute_wrapper(watch):
        for raw in FILTERS:
            given = filters.with_tags(crowd.tenant, filters.check(raw))
            for order in (BY_CHANGE, BY_MESSAGE):
                filters.page_of(crowd.tenant, order, None, 51, given)
            filters.choose(crowd.tenant.contacts.all(), given).count()
    assert not watch.found, "\n".join(f"{problem}\n    {sql}" for problem, sql in watch.found)


def test_a_statement_that_goes_through_a_list_for_each_contact_is_found(crowd: Crowd) -> None:
    """So the others can fail."""
    each = {
        "sqlite": "json_each(%s) AS given WHERE contacts_contact.locale = given.value",
        "postgresql": "unnest(%s::text[]) AS given WHERE contacts_contact.locale LIKE given",
    }[connection.vendor]
    words = DIALECTS[connection.vendor].words(["fr", "en", "de", "es", "it"])
    watch = Watch(may_scan=True)
    with connection.execute_wrapper(watch), connection.cursor() as cursor:
        cursor.execute(f"SELECT count(*) FROM contacts_contact, {each}", [words])  # noqa: S608
    assert watch.found


@pytest.mark.skipif(connection.vendor != "sqlite", reason="on PostgreSQL the planner may choose it")
def test_a_statement_that_goes_through_all_contacts_is_found(crowd: Crowd) -> None:
    watch = Watch(may_scan=False)
    with connection.execute_wrapper(watch), connection.cursor() as cursor:
        cursor.execute("SELECT count(*) FROM contacts_contact WHERE locale = %s", ["fr"])
    assert watch.found


# Of so many, dead entries that all tests leave in an index stay below `4 * STORED`.
FORMER = 10_000
WITH_FORMER = """
INSERT INTO contacts_contact (id, tenant_id, phone, former_of_id, name, email, tags, metadata,
    source, locale, total_messages, created_at, updated_at, name_folded, email_folded)
SELECT {new_id}, tenant_id, '+1416' || substr(phone, 6), id, '', '', '', '{{}}', 'api', '', 0,
    created_at, updated_at, '', ''
FROM contacts_contact WHERE tenant_id = %s AND former_of_id IS NULL ORDER BY phone LIMIT {number}
"""
NEW_ID = {"sqlite": "lower(hex(randomblob(16)))", "postgresql": "gen_random_uuid()"}


@pytest.fixture
def crowd_with_former(crowd: Crowd, db: None) -> Crowd:
    sql = WITH_FORMER.format(new_id=NEW_ID[connection.vendor], number=FORMER)
    with connection.cursor() as cursor:
        cursor.execute(sql, [hex_id(crowd.tenant.pk)])
    return crowd


def get_by(prefix: str) -> Callable[[Crowd], int]:
    def look(crowd: Crowd) -> int:
        phones = [prefix + phone[5:] for phone in crowd.phones[:3]]
        return sum(bool(look_up(crowd.tenant, {"phone": phone})) for phone in phones)

    return look


def pages(listing: Callable[[Crowd, Any], list[Contact]]) -> Callable[[Crowd], int]:
    def read(crowd: Crowd) -> int:
        first = listing(crowd, None)
        return len(first) + len(listing(crowd, first[-1]))

    return read


def by_change(crowd: Crowd, last: Contact | None) -> list[Contact]:
    found = crowd.tenant.contacts.listed(
        BY_CHANGE, (last.updated_at, last.pk) if last else None, 100
    ).rows
    Contact.all_phones.add_former_phones(found)
    assert any(contact.former_phones for contact in found)
    return found


READING: dict[str, Callable[[Crowd], int]] = {
    "get-contact by a current phone": get_by("+1415"),
    "get-contact by a former phone": get_by("+1416"),
    "find by a former phone": lambda crowd: bool(
        crowd.tenant.contacts.find(phone="+1416" + crowd.phones[0][5:], lock=True)
    ),
    "search by a former phone": lambda crowd: len(
        crowd.tenant.contacts.listed(BY_MESSAGE, None, 50, query="+1416" + crowd.phones[0][5:]).rows
    ),
    "search by a part": lambda crowd: len(
        crowd.tenant.contacts.listed(BY_MESSAGE, None, 50, query="ann").rows
    ),
    "list-contacts": pages(by_change),
    "search-contacts without filters": pages(
        lambda crowd, last: (
            crowd.tenant.contacts.listed(
                BY_MESSAGE, last and (last.last_message_at, last.pk), 50
            ).rows
        )
    ),
    "a page of an export": lambda crowd: len(next(export.pages(bulk_actions.pack(crowd.ids)))[1]),
    # Few: for a thousand, reading these 60,000 rows may cost PostgreSQL less.
    "phones of a file": lambda crowd: len(
        former_phones.current(crowd.tenant.pk, ["+1416" + phone[5:] for phone in crowd.phones[:99]])
    ),
}


@pytest.mark.parametrize(
    "knowledge", [state for state in STATES[connection.vendor] if state != "early"], indirect=True
)
@pytest.mark.parametrize("question", READING)
def test_former_phones_are_not_read_in_bulk(
    crowd_with_former: Crowd, knowledge: str, question: str
) -> None:
    """A tenant with 10,000 of them beside 50,000 contacts."""
    watch = Watch(may_scan=knowledge != SURE or question.startswith("search by"))
    watch.most = MOST_READ.get(question, 2 * CHANGED)
    if knowledge == "unknown" and question in WITH_STATISTICS:
        watch.most = 4 * STORED  # an index also has the rows that other tests took back
    with connection.execute_wrapper(watch):
        assert READING[question](crowd_with_former)
    assert not watch.found, "\n".join(f"{problem}\n    {sql}" for problem, sql in watch.found)


# A search for a part of a text reads the newest contacts, see `keyset.SEARCH_WINDOW`, and may then
# read all where there are no trigrams.
MOST_READ = {"search by a former phone": 4 * STORED, "search by a part": 4 * STORED}
# Without statistics, which autovacuum makes within a minute or two, PostgreSQL may read all phones
# of the tenant once for these; before version 17 also for a page of an export.
WITH_STATISTICS = {"find by a former phone", "phones of a file", "a page of an export"}


@pytest.mark.parametrize(
    "knowledge", [state for state in STATES[connection.vendor] if state != "unknown"], indirect=True
)
def test_contacts_with_a_tag_are_found_without_reading_all_for_each(crowd: Crowd) -> None:
    """On PostgreSQL, because the statement leaves the tenant of links and tags out, see
    `ContactQuerySet.with_tags_in`. Some contacts of the first tag: the plan for all contacts is
    the same, and a bad one would take minutes."""
    watch = Watch(may_scan=True)
    with connection.execute_wrapper(watch):
        assert len(crowd.tenant.contacts.with_tag("t0").values_list("pk")[:500]) == 500
    assert not watch.found, "\n".join(f"{problem}\n    {sql}" for problem, sql in watch.found)


def test_each_verb_for_many_contacts_is_looked_at() -> None:
    """A verb is a function of `contacts.writing` that runs in a transaction of its own."""
    there = {
        f"{found.name}.{name}"
        for found in pkgutil.iter_modules(writing.__path__)
        for name, verb in vars(import_module(f"{writing.__name__}.{found.name}")).items()
        if is_transactional(verb) and verb.__module__.endswith(f".{found.name}")
    }
    assert there >= OF_ONE
    assert there - OF_ONE <= {name for _, names in VERBS.values() for name in names}


def is_transactional(verb: Any) -> bool:
    return getattr(verb, "__code__", None) is transactional(lambda: None).__code__


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL has no fixed statistics")
def test_migrations_fix_the_statistics_of_every_index_of_the_large_tables() -> None:
    sqlite_knows("unknown")
    call_command("migrate", verbosity=0)
    with connection.cursor() as cursor:
        cursor.execute("SELECT tbl, idx FROM sqlite_stat1")
        known = {*cursor.fetchall()}
        for table in TABLES:
            cursor.execute("SELECT tbl_name, name FROM sqlite_schema WHERE type = 'index'")
            assert {row for row in cursor.fetchall() if row[0] == table} <= known
