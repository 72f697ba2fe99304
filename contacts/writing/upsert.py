"""Creating contacts, or updating those with the same phones: however many callers write one phone
at the same time, one contact results, because the database decides, in one statement. The steps
around the statement are in this module in their order."""

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import partial
from itertools import chain, starmap
from typing import Any, NamedTuple

from django.db import connection

from contacts.change_log.difference import CONSENT, difference
from contacts.db.connections import prepared_cursor, sql_kind
from contacts.db.dialects import dialect_of
from contacts.db.expressions import IsAnyOf
from contacts.db.rows import row_in_json
from contacts.db.statements import Upsert, replacing, upsert_sql
from contacts.models import (
    Change,
    Contact,
    Entry,
    OptOut,
    Outcome,
    all_columns,
    find_stored,
    with_folded,
)
from contacts.values import rules
from tenants.fields import bits, hex_id, ulid_of
from tenants.models import Tenant

from . import complete, consent, former_phones, links, renumber
from .complete import marked
from .former_phones import FormerPhone
from .rows import logged


class PhonesRefused(ValueError):
    """Rows that break a rule together with what is stored. `reasons`: by phone. Nothing of the call
    is written; remove these rows and retry."""

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__(f"{len(reasons)} rows break a rule")
        self.reasons = reasons


class Written(NamedTuple):
    """A row that an upsert has inserted or changed. `pk`: hexadecimal digits; `tags`:
    comma-separated; `consent`, `was`, `now`: see `entry_of`; `opted_out_at`: of a new row
    whose phone opted out before."""

    phone: str
    pk: str
    tags: str
    metadata_bytes: int
    consent: Any
    was: str | None
    now: str
    seen: int | None
    opted_out_at: datetime | None = None

    def kept_out(self, at: datetime | None) -> "Written":
        """The same row where its phone opted out `at` this time, if it did: then the log must not
        say that the row has opted anybody in."""
        return self._replace(consent=None, opted_out_at=at) if at else self

    @property
    def ulid(self) -> str:
        return ulid_of(int(self.pk, 16))

    @property
    def outcome(self) -> Outcome:
        return Outcome.CREATED if self.was is None else Outcome.UPDATED


# One contact


def update_or_create(
    tenant: Tenant,
    phone: str,
    defaults: dict[str, Any],
    only_if_new: dict[str, Any] | None = None,
) -> Contact:
    """Upserts on (tenant, phone); a former phone updates the contact that had it.

    `phone`: in E.164. `defaults`: the fields to set, in the shape that `rules` gives them.
    `only_if_new`: what a new contact gets besides; a stored contact keeps its values.

    Returns the contact as it is stored, with its `outcome`.
    """
    given = defaults | (only_if_new or {})
    contact = Contact(tenant=tenant, phone=phone, **given)
    changes = with_folded(defaults)
    return complete.write(contact, changes) or upsert_one(contact, given, changes)


def upsert_one(contact: Contact, given: dict[str, Any], changes: Sequence[str]) -> Contact:
    """`update_or_create` in a transaction. Returns what is stored, with its `outcome`."""

    def write_one(current: dict[str, str]) -> Contact:
        contact.phone = current.get(phone, phone)
        return write_and_find(contact, given, changes)

    phone = contact.phone
    return former_phones.by_current(contact.tenant_id, [phone], write_one)


def write_and_find(contact: Contact, given: dict[str, Any], changes: Sequence[str]) -> Contact:
    """Writes the row of the contact; returns what is stored. Raises `FormerPhone`."""
    fields = row_in_json(hex_id(contact.pk), given | {"phone": contact.phone}, dialect_of().moment)
    names = with_folded(given)
    written = write({contact.phone: fields}, names, replacing(changes), contact)
    row = written.get(contact.phone)
    outcome = row.outcome if row else Outcome.UNCHANGED
    if row and outcome is Outcome.CREATED and not row.opted_out_at:
        return marked(contact, Outcome.CREATED)
    stored = find_stored(contact.tenant_id, contact.phone)
    if not stored or stored.former_of_id:
        raise FormerPhone
    stored.outcome = outcome
    return stored


# Many contacts


class Replaced(NamedTuple):
    """What `replace_many` has done with a row. `outcome`: None where a later row has another phone
    of the same contact. `phone`: the current phone of the contact."""

    outcome: Outcome | None
    pk: str
    phone: str


def replace_many(
    tenant: Tenant, contacts: Sequence[dict[str, Any]], source: str
) -> dict[str, Replaced]:
    """`update_or_create` for many contacts, without models.

    `contacts`: the fields of each, in the shape that `rules` gives them; no phone comes twice.
    `source`: of new contacts. Returns what became of each row, by the phone given. Of several
    phones of one contact, current and former, the last counts. The number of statements does not
    grow with the number of rows: rows with the same fields are written together.
    """
    if not contacts:
        return {}
    moment = dialect_of().moment
    ids = bits.take(len(contacts))
    rows = {
        fields["phone"]: row_in_json(f"{one:032x}", fields, moment)
        for fields, one in zip(contacts, ids, strict=True)
    }
    names_of = {fields["phone"]: tuple(fields) for fields in contacts}
    new = Contact(tenant=tenant, source=source)

    def write_last(current: dict[str, str]) -> dict[str, Replaced]:
        last = {current.get(phone, phone): phone for phone in rows}
        done = dict[str, Replaced]()
        # Sorted, so that two calls with the same rows do not wait for each other in a circle.
        for names, some in sorted(by_fields(last, names_of).items()):
            given = with_folded(name for name in names if name != "phone")
            done |= replace_rows(named(some, rows), given, new)
        return {
            phone: done[now] if last[now] == phone else done[now]._replace(outcome=None)
            for phone in rows
            for now in [current.get(phone, phone)]
        }

    return former_phones.by_current(tenant.pk, rows, write_last)


def by_fields(
    given: dict[str, str], names_of: dict[str, tuple[str, ...]]
) -> dict[tuple[str, ...], dict[str, str]]:
    """The rows of `given`, see `named`, by the names of their fields. `names_of`: these names, by
    the phone in `rows`."""
    groups: dict[tuple[str, ...], dict[str, str]] = {}
    for now, phone in given.items():
        groups.setdefault(names_of[phone], {})[now] = phone
    return groups


def replace_rows(rows: dict[str, str], names: Sequence[str], new: Contact) -> dict[str, Replaced]:
    """`replace_many` for rows with current and new phones. Raises `FormerPhone`."""
    written = write(rows, names, replacing(names), new)
    results = {phone: Replaced(row.outcome, row.ulid, phone) for phone, row in written.items()}
    if len(results) < len(rows):
        same = Contact.objects.filter(
            IsAnyOf("phone", rows.keys() - written.keys(), "varchar"), tenant=new.tenant_id
        )
        for phone, pk in same.values_list("phone", "pk"):
            results[phone] = Replaced(Outcome.UNCHANGED, pk, phone)
    if len(results) < len(rows):
        raise FormerPhone
    return results


def named(given: dict[str, str], rows: dict[str, str]) -> dict[str, str]:
    """The rows to write. `given`: the phone in `rows` of each, by the phone that it gets."""
    return {
        now: rows[phone] if phone == now else with_phone(rows[phone], now)
        for now, phone in given.items()
    }


def with_phone(row: str, phone: str) -> str:
    """A row, JSON of an object, with another phone."""
    return rules.spelled(json.loads(row) | {"phone": phone})


def upsert_rows(
    rows: dict[str, str], given: Sequence[str], changes: Sequence[str], new: Contact
) -> dict[str, Written]:
    """Upserts rows of one tenant that have been read from a file.

    `rows`: by phone, as `row_in_json` makes them. `given`: the columns that the rows have besides
    id and phone, the same in each; a new contact gets its other values, and its tenant, from `new`.
    `changes`: the columns that a stored contact gets; metadata is merged, or replaced where
    `-metadata` says so, `+tags` adds to the stored tags, and nobody is opted in again. Returns the
    rows that were written, by phone; the others hold these values already. The number of statements
    does not grow with the number of rows. Raises `PhonesRefused`.

    Rows with former phones are written to the contacts that had them. Several phones of one contact
    give the same result as if the rows came one after the other.
    """

    def write_in_turns(current: dict[str, str]) -> dict[str, Written]:
        written = dict[str, Written]()
        for turn in turns(rows, current):
            done = write_turn(named(turn, rows), given, changes, new, turn)
            written |= {turn[now]: row for now, row in done.items()}
        return written

    return former_phones.by_current(new.tenant_id, rows, write_in_turns)


def write_turn(
    rows: dict[str, str],
    given: Sequence[str],
    changes: Sequence[str],
    new: Contact,
    phones: dict[str, str],
) -> dict[str, Written]:
    """`upsert_rows` for rows with current and new phones. `phones`: those that the caller gave.
    Raises `FormerPhone`."""
    try:
        written = write(rows, given, changes, new)
    except PhonesRefused as error:
        reasons = {phones[now]: reason for now, reason in error.reasons.items()}
        raise PhonesRefused(reasons) from error
    if len(written) < len(rows):
        refuse_former(new.tenant_id, rows.keys() - written.keys())
    return written


def refuse_former(tenant_id: str, phones: Iterable[str]) -> None:
    """Raises `FormerPhone` if one of `phones` is a former one."""
    former = Contact.all_phones.filter(tenant=tenant_id, former_of__isnull=False)
    if former.filter(IsAnyOf("phone", phones, "varchar")).exists():
        raise FormerPhone


def turns(rows: Iterable[str], current: dict[str, str]) -> list[dict[str, str]]:
    """The rows to write in each turn, so that each contact gets its rows in their order. A turn has
    the phone of each row by the current phone of its contact."""
    number = dict[str, int]()
    found = list[dict[str, str]]()
    for phone in rows:
        now = current.get(phone, phone)
        number[now] = number.get(now, -1) + 1
        if number[now] == len(found):
            found.append({})
        found[number[now]][now] = phone
    return found


def write(
    rows: dict[str, str], given: Sequence[str], changes: Sequence[str], new: Contact
) -> dict[str, Written]:
    """`upsert_rows`, inside a transaction."""
    renumber.bring_up_to_date(new.tenant_id, rows)
    written = insert_or_update(rows, given, changes, new)
    new_phones = [row.phone for row in written if row.was is None]
    if opted_out := OptOut.objects.of(new.tenant_id, new_phones):
        written = [row.kept_out(opted_out.get(row.phone)) for row in written]
    entry = partial(entry_of, new.tenant_id, logged(changes))
    entries = [entry(row.pk, row.was, row.now, row.consent) for row in written]
    Change.objects.log(with_decisions(entries, given, new.source))
    are_new = len(new_phones) == len(written)
    links.link_written(new.tenant_id, zip(written, entries, strict=True), are_new=are_new)
    consent.keep_known_out(new.tenant_id, opted_out)
    return {row.phone: row for row in written}


def insert_or_update(
    rows: dict[str, str], given: Sequence[str], changes: Sequence[str], new: Contact
) -> list[Written]:
    names = ("id", "phone", *given)
    values = {}
    for field in Contact._meta.concrete_fields:
        value = field.pre_save(new, True)  # also folds the name and the e-mail address of `new`
        if field.column not in names:
            values[str(field.column)] = field.get_db_prep_save(value, connection)
    dialect = dialect_of()
    consent_given = dialect.CONSENT if {*given} & {*CONSENT} else "NULL"
    size = dialect.METADATA_BYTES if "metadata" in changes else "0"
    returned = ("phone", dialect.ID_DIGITS, "tags", size, consent_given)
    sql = upsert_sql(sql_kind(), all_columns(), names, tuple(changes), logged(changes), returned)
    values |= {"tenant": hex_id(new.tenant_id)}
    written = execute(sql, values, rows)
    if large := [row.phone for row in written if row.metadata_bytes > rules.MAX_METADATA_BYTES]:
        refuse_large_metadata(new.tenant_id, large)
    if "+tags" in changes:
        refuse_many_tags(written)
    return written


def execute(sql: Upsert, values: dict[str, Any], rows: dict[str, str]) -> list[Written]:
    """Runs an upsert of `rows`, JSON objects by phone, in the order of their phones, as all writers
    do; and again for the rows that other writers have created since it began."""
    words = dialect_of().words
    values |= {
        "rows": f"[{','.join(rows[phone] for phone in sorted(rows))}]",
        "phones": words(sorted(rows)),
    }
    before = read_before(sql, values)
    values |= {"known": words(before)}
    with prepared_cursor() as cursor:
        cursor.execute(sql.write, values)
        found = [*starmap(Written, cursor.fetchall())]
    written = [row for row in found if row.phone]
    if before:
        written = [row._replace(was=before.get(row.phone)) for row in written]
    if changed := [row.phone for row in written if row.was and row.now is None]:
        now = read_before(sql, values | {"phones": words(changed)})
        written = [row._replace(now=now.get(row.phone, row.now)) for row in written]
    new = sum(row.was is None for row in written)
    seen = len(before) if sql.before else found[0].seen if found else None
    if seen is None or seen + new == len(rows):
        return written
    done = {row.phone for row in written}
    rest = {phone: row for phone, row in rows.items() if phone not in done}
    return written + execute(sql, values, rest)


def read_before(sql: Upsert, values: dict[str, Any]) -> dict[str, str]:
    """What the rows hold that the upsert may change, by phone; empty where the statement itself
    returns it."""
    if not sql.before:
        return {}
    with connection.cursor() as cursor:
        cursor.execute(sql.before, values)
        return dict(cursor.fetchall())


def refuse_large_metadata(tenant_id: str, phones: Sequence[str]) -> None:
    """Raises `PhonesRefused` for the contacts whose merged metadata is too large."""
    refused = {}
    stored = Contact.objects.filter(tenant=tenant_id, phone__in=phones)
    for phone, metadata in stored.values_list("phone", "metadata"):
        try:
            rules.metadata(metadata)
        except ValueError as error:
            refused[phone] = str(error)
    if refused:
        raise PhonesRefused(refused)


def refuse_many_tags(written: Iterable[Written]) -> None:
    """Raises `PhonesRefused` for the contacts that got too many tags."""
    refused = {}
    for row in written:
        try:
            rules.refuse_many_tags(row.tags.split(","))
        except ValueError as error:
            refused[row.phone] = str(error)
    if refused:
        raise PhonesRefused(refused)


# Parts of statements and log entries


def entry_of(
    tenant_id: str, names: Sequence[str], pk: str, was: str | None, now: str, decided: Any
) -> Entry:
    """The log entry of a row that an upsert has written. `was`, `now`: what the columns `names`
    held and hold, as JSON. `decided`: the consent of a new row, where it may have some, as
    `CONSENT` of the dialect returns it.
    """
    if was is not None:
        fields = difference(names, json.loads(was), json.loads(now))
        return Entry(tenant_id, pk, Change.Kind.UPDATED, fields)
    given = decided and dialect_of().consent_given(decided)
    fields = difference([*CONSENT], [None, None], given) if given else {}
    return Entry(tenant_id, pk, Change.Kind.CREATED, fields)


def with_decisions(entries: Iterable[Entry], given: Iterable[str], source: str) -> Iterable[Entry]:
    """`entries`, with one more for each decision in them, where consent is among the columns
    `given`."""
    if not {*CONSENT} & {*given}:
        return entries
    return chain.from_iterable(consent.decisions_of(entry, source) for entry in entries)
