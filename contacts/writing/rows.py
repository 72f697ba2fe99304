"""What the verbs share: locking contacts, and writing the rows of locked contacts together with
their links and log entries. Nothing here asks whether a change is allowed."""

from collections.abc import Callable, Collection, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from django.db import connection, models

from contacts.change_log.difference import EMPTY, difference
from contacts.db.connections import sql_kind
from contacts.db.dialects import dialect_of
from contacts.db.expressions import updated_after
from contacts.db.fields import FoldedField
from contacts.db.rows import json_value
from contacts.db.statements import update_sql
from contacts.models import Change, Contact, ContactTag, Entry, in_json, with_folded
from contacts.values import rules
from tenants.fields import ULIDField, hex_id

from . import links

FIELDS = Contact._meta.concrete_fields
FOLDED = [field for field in FIELDS if isinstance(field, FoldedField)]
# The name, attribute and column of each field, and whether the field is an id.
COLUMNS = [
    (field.name, field.attname, str(field.column), isinstance(field, ULIDField | models.ForeignKey))
    for field in FIELDS
]


class Before(NamedTuple):
    """What a contact was when it was locked. `values`: of the fields that the log describes, as
    JSON has them."""

    updated_at: datetime
    values: list[Any]


def lock(contacts: Sequence[Contact], fields: Iterable[str]) -> dict[str, Before]:
    """Locks the rows of `contacts` in the order of their phones, as every writer does.

    Returns what each row holds in `fields`, by id. A contact that is gone is left out.
    """
    tenants = {contact.tenant_id for contact in contacts}
    stored = Contact.objects.filter(tenant__in=tenants, pk__in=[one.pk for one in contacts])
    locked = stored.order_by("phone").select_for_update()
    found = locked.values_list("pk", "updated_at", *logged(fields))
    return {pk: Before(updated_at, in_json(values)) for pk, updated_at, *values in found}


def update(
    contacts: Sequence[Contact],
    before: dict[str, Before],
    fields: Iterable[str],
    describe: Callable[[Entry], Entry] = lambda entry: entry,
) -> None:
    """Writes `fields` of contacts of one tenant, their links and their log entries. The number of
    statements does not grow with the number of contacts.

    `before`: what `lock` returned for the same fields; contacts that are not in it are left out.
    `describe`: makes another log entry of the one that says what has changed.
    """
    fields = [*fields]
    there = [contact for contact in contacts if contact.pk in before]
    for contact in there:
        contact.updated_at = updated_after(before[contact.pk].updated_at)
    dialect, names = dialect_of(), {"id", *with_folded(fields), "updated_at"}
    update_columns(contacts[0].tenant_id, [columns(one, dialect, names) for one in there])
    if "tags" in fields:
        links.match(there)
    Change.objects.log(
        describe(entry_of_update(contact, before[contact.pk], fields)) for contact in there
    )


def update_columns(tenant_id: str, rows: Sequence[dict[str, Any]]) -> None:
    """Writes columns of contacts of one tenant, which are locked. `rows`: the id and the new values
    of the columns, the same columns in each, as `columns` makes them."""
    if not rows:
        return
    names = tuple(name for name in rows[0] if name != "id")
    values = {"tenant": hex_id(tenant_id), "rows": rules.spelled(rows)}
    with connection.cursor() as cursor:
        cursor.execute(update_sql(sql_kind(), names), values)


def delete(entries: Sequence[Entry]) -> tuple[int, dict[str, int]]:
    """Logs the ends of contacts, then deletes their rows, which are locked, their links and former
    phones. Their notes stay for an undo, see `notes`. Their opt-outs are remembered already, see
    `consent.remember`. Returns what `QuerySet.delete` returns; former phones are not counted, as
    they are no contacts.

    Not with `QuerySet.delete`, which finds rows by their ids alone: a database that is sharded by
    tenant would have to look everywhere.
    """
    if not entries:
        return 0, {}
    Change.objects.log(entries)
    tenants, pks = {entry.tenant_id for entry in entries}, [entry.contact_id for entry in entries]
    carried = ContactTag.objects.filter(tenant__in=tenants, contact__in=pks)
    mine = Contact.all_phones.filter(tenant__in=tenants)
    ended = mine.filter(models.Q(pk__in=pks) | models.Q(former_of__in=pks))
    counts = {
        ContactTag._meta.label: carried._raw_delete(carried.db),
        Contact._meta.label: len(entries),
    }
    ended._raw_delete(ended.db)
    return sum(counts.values()), {label: number for label, number in counts.items() if number}


def columns(contact: Contact, dialect: Any, names: Collection[str] = ()) -> dict[str, Any]:
    """The columns of the contact as statements take them in JSON; only of its fields `names`, where
    names are given."""
    for field in FOLDED:
        if not names or field.name in names:
            field.pre_save(contact, True)
    row = {}
    for name, attname, column, is_id in COLUMNS:
        if not names or name in names:
            value = getattr(contact, attname)
            if is_id:
                row[column] = value and hex_id(value)
            else:
                row[column] = value if isinstance(value, str) else json_value(value, dialect.moment)
    return row


def logged(names: Iterable[str]) -> tuple[str, ...]:
    """The fields among `names` whose changes are logged. A `-` or `+` before a name is dropped."""
    return tuple(name for name in (name.lstrip("-+") for name in names) if name in EMPTY)


def entry_of_update(contact: Contact, before: Before, fields: Iterable[str]) -> Entry:
    names = logged(fields)
    changed = difference(names, before.values, contact.logged_values(names))
    return Entry(contact.tenant_id, contact.pk, Change.Kind.UPDATED, changed)
