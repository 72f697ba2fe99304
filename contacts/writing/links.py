"""The links between contacts and tags: `ContactTag` says for each tag what `Contact.tags` says for
each contact. Whoever writes the tags of a contact writes its links in the same transaction."""

from collections.abc import Iterable, Sequence
from typing import Any

from django.db import connection

from contacts.db.dialects import dialect_of
from contacts.db.expressions import IsAnyOf
from contacts.models import Contact, Entry, Tag
from tenants.fields import hex_id


def match(contacts: Sequence[Contact]) -> None:
    """Makes the links of `contacts`, all of one tenant, agree with their `tags`; creates the tags
    that are missing.

    Called inside the transaction that wrote the contacts: its locks keep other writers of these
    contacts out.
    """
    if contacts:
        tags = {hex_id(contact.pk): ",".join(contact.tags) for contact in contacts}
        link(contacts[0].tenant_id, tags, [*tags])


def link(
    tenant_id: str, tags: dict[str, str], had_links: list[str], *, are_new: bool = False
) -> None:
    """`match` without models. `tags`: the comma-separated tags of each contact, by the id of the
    contact in hexadecimal digits. `had_links`: the ids of contacts that may have links already;
    their links to other tags are deleted. `are_new`: this transaction has created all of them."""
    tags = {carrier: names for carrier, names in tags.items() if names}
    if not tags and not had_links:
        return
    # Sorted: two writers that lock the same tags in different orders would deadlock.
    names = sorted({name for names in {*tags.values()} for name in names.split(",")})
    dialect = dialect_of()
    values = dialect.tag_params(tenant_id, names) | dialect.link_params(tags, had_links)
    with connection.cursor() as cursor:
        if tags:
            dialect.link(cursor, values, len(names), are_new=are_new)
        if had_links:
            cursor.execute(dialect.UNLINK, values)


def link_written(
    tenant_id: str, written: Iterable[tuple[Any, Entry]], *, are_new: bool = False
) -> None:
    """Links those of the written rows that are new or have other tags now.

    `written`: each row with its entry of the log. A row has `pk` in hexadecimal digits, `tags`,
    comma-separated, and `was`, which is None for a new row. `are_new`: see `link`.
    """
    tagged = [row for row, entry in written if row.was is None or "tags" in entry.fields]
    had_links = [row.pk for row in tagged if row.was is not None]
    link(tenant_id, {row.pk: row.tags for row in tagged}, had_links, are_new=are_new)


def move(source: Tag, target: Tag) -> None:
    """Gives `target` the links of `source`, a tag of the same tenant. Both tags are locked."""
    links = source.own_links()
    common = {*contacts_of(source)} & {*contacts_of(target)}
    if common:
        links.filter(IsAnyOf("contact", map(hex_id, common))).delete()
    links.update(tag=target)


def contacts_of(tag: Tag) -> Iterable[str]:
    return tag.own_links().values_list("contact", flat=True)
