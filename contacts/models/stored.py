"""Contacts read without Django's querysets: building one takes longer than the database needs to
answer it. For what is called most often, create-contact and get-contact."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models.sql import Query

from contacts.db.connections import prepared_cursor
from contacts.db.replica import reading_alias
from contacts.db.statements import find_sql, find_with_owner_sql, look_up_sql
from contacts.values.numbering_plans import old_forms
from tenants.fields import hex_id
from tenants.models import Tenant

from .contact import Contact

FIELDS = {str(field.column): field for field in Contact._meta.concrete_fields}  # by column


def look_up(tenant: Tenant, key: dict[str, str]) -> Contact:
    """`tenant.contacts.find`. A phone, current or former, takes one statement.

    Phones of countries whose plan has moved take a second one if it finds no current phone: the
    contact may be stored under an old form.
    """
    if phone := key.get("phone"):
        contact = read(look_up_sql(all_columns()), tenant.pk, phone)
        if contact and (contact.phone == phone or not old_forms(phone)):
            contact.tenant = tenant
            return contact
        if not old_forms(phone):
            raise Contact.DoesNotExist
    return tenant.contacts.find(lock=False, **key)


def find_stored(tenant_id: str, phone: str) -> Contact | None:
    """The row with this phone, a contact or a former phone."""
    return read(find_sql(all_columns()), tenant_id, phone)


def find_with_owner(tenant_id: str, phone: str) -> tuple[Contact | None, str | None]:
    """`find_stored`; and for a former phone, the phone of the contact that had it."""
    row = read_row(find_with_owner_sql(all_columns()), tenant_id, phone)
    return (made(row[:-1]), row[-1]) if row else (None, None)


def read(sql: str, tenant_id: str, phone: str) -> Contact | None:
    """The contact that the statement finds. `sql`: selects `all_columns`."""
    row = read_row(sql, tenant_id, phone)
    return made(row) if row else None


def read_row(sql: str, tenant_id: str, phone: str) -> Sequence[Any] | None:
    with prepared_cursor(reading_alias()) as cursor:
        cursor.execute(sql, {"tenant": hex_id(tenant_id), "phone": phone})
        row: Sequence[Any] | None = cursor.fetchone()
        return row


def made(row: Sequence[Any]) -> Contact:
    """The contact with these values of `all_columns`."""
    names = all_columns()
    return Contact.from_db(reading_alias(), attributes(names), converted(names, row))


def all_columns() -> tuple[str, ...]:
    return tuple(FIELDS)


@lru_cache
def attributes(names: tuple[str, ...]) -> list[str]:
    """The names of the attributes of a contact, by the names of its columns."""
    return [FIELDS[name].attname for name in names]


def converted(names: tuple[str, ...], values: Sequence[Any]) -> list[Any]:
    """The values of the columns `names`, as the attributes of a contact have them."""
    values = [*values]
    connection = connections[DEFAULT_DB_ALIAS]
    for place, (functions, expression) in converters(names).items():
        for convert in functions:
            values[place] = convert(values[place], expression, connection)
    return values


@lru_cache
def converters(names: tuple[str, ...]) -> dict[int, Any]:
    """Kept, because making them takes longer than converting a row."""
    shown = [FIELDS[name].get_col(Contact._meta.db_table) for name in names]
    return Query(Contact).get_compiler(DEFAULT_DB_ALIAS).get_converters(shown)
