"""The lists of a tenant's contacts, and searches in them. The SQL of these queries is kept, because
the API runs them often; other filters are querysets, see `contacts.finding.filters`."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from django.db import connections

from contacts.db import keyset
from contacts.db.kept import Kept
from contacts.db.keyset import Order
from contacts.db.replica import reading_alias
from contacts.db.trigrams import is_too_short, uses_function
from tenants.models import Tenant

from .contact import Contact, ContactQuerySet, has_part, parts_of


def page(
    tenant: Tenant,
    order: Order,
    after: keyset.Position | None,
    limit: int,
    *,
    since: datetime | None = None,
    query: str = "",
    fields: tuple[str, ...] = (),
) -> list[Contact]:
    """The next `limit` contacts in `order`, after the position `after`. `since`: only those that
    have changed at this time or later. `query`: only those that match, see `matches`. `fields`: the
    only fields that the caller needs; empty for all."""
    rows = Kept().then(of_tenant, values=[("tenant", tenant.pk)])
    if since:
        rows = rows.then(ContactQuerySet.updated_since, values=[("updated_at", since)])
    if fields:
        rows = rows.then(ContactQuerySet.only, *fields)
    if not query:
        return keyset.page(rows, order, after, limit)
    indexed, unindexed = with_query(rows, tenant, query)
    return keyset.searched(indexed, unindexed, rows, order, after, limit)


def of_tenant(tenant: Any) -> ContactQuerySet:
    return Contact.objects.filter(tenant=tenant)


def with_query(rows: Kept, tenant: Tenant, query: str) -> Iterator[Kept]:
    """Those of `rows` that match: found by an index, and without one."""
    region = tenant.default_region
    parts, owners = parts_of(query, region), tenant.contacts.owners_of(query, region)
    numbers = tuple((column, len(some)) for column, some in parts.items())
    values = [(column, part) for column, some in parts.items() for part in some]
    values += [("pk", owner) for owner in owners]
    is_short = is_too_short(parts)
    by_function = not is_short and uses_function(connections[reading_alias()])
    for way in (Way(True, is_short, by_function), Way(False)):
        yield rows.then(with_part, numbers, way, values=values)


class Way(NamedTuple):
    """What the condition of a search depends on, besides the number of its texts. `is_indexed`: see
    `matches`; `is_short`: see `HasPart`; `by_function`: see `trigrams.uses_function`."""

    is_indexed: bool
    is_short: bool = False
    by_function: bool = False


def with_part(
    rows: ContactQuerySet, numbers: tuple[tuple[str, int], ...], way: Way, *values: Any
) -> ContactQuerySet:
    """The rows that `has_part` finds. `values`: so many texts for each column as `numbers` says,
    then the ids of owners."""
    rest = iter(values)
    parts = {column: [*islice(rest, number)] for column, number in numbers}
    return rows.filter(has_part(parts, [*rest], is_indexed=way.is_indexed, is_short=way.is_short))
