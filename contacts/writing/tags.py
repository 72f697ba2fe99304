"""Tags: on one contact, on many contacts, and the tags themselves.

A contact holds the names of its tags, and has a link to each tag. The verbs below write both.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from functools import cache, partial
from typing import Any, NamedTuple

from django.db import connection, transaction
from django.db.models import Q, TextField
from django.db.models.functions import Cast

from contacts.change_log.difference import difference
from contacts.db.dialects import dialect_of
from contacts.db.expressions import IdDigits, IsAnyOf
from contacts.db.transactions import transactional
from contacts.finding import saved_views
from contacts.models import Change, Contact, Entry, Tag, TagQuerySet, links_of
from contacts.models.owned import key_of
from contacts.values import rules
from tenants.fields import hex_id
from tenants.models import Tenant

from . import edit, links

BATCH = 1000  # contacts a statement, where a tag is renamed or deleted


# On one contact


@transactional
def add_tags(tenant: Tenant, key: dict[str, str], *names: str) -> Contact:
    """Adds the tags after the other tags of the contact that `key` finds, except those that the
    contact has already.

    Raises `Contact.DoesNotExist`, and `RuleBroken` where these are more tags than a contact may
    have.
    """
    contact = tenant.contacts.find(lock=True, **key)
    try:
        edit.change(contact, tags=rules.tags([*contact.tags, *names]))
    except ValueError as error:
        raise rules.RuleBroken("tag" if len(names) == 1 else "tags", error) from error
    return contact


@transactional
def remove_tags(tenant: Tenant, key: dict[str, str], *names: str) -> Contact:
    """Removes the tags from the contact that `key` finds, which need not have them. Raises
    `Contact.DoesNotExist`."""
    contact = tenant.contacts.find(lock=True, **key)
    edit.change(contact, tags=without(contact.tags, names))
    return contact


# The rules for the names that a contact holds


def replaced(names: Sequence[str], old: Collection[str], new: Sequence[str]) -> list[str]:
    """`names`, with `new` in the place of each of the `old` ones, and no name twice."""
    exchanged = (other for name in names for other in (new if name in old else [name]))
    return list(dict.fromkeys(exchanged))


def without(names: Sequence[str], gone: Collection[str]) -> list[str]:
    return [name for name in names if name not in gone]


# On many contacts


class TagChange(NamedTuple):
    """A change of a contact's tags. `logged`: the change as the log keeps it."""

    before: list[str]
    after: list[str]
    logged: dict[str, Any]

    @property
    def to_link(self) -> list[str]:
        """All tags where others have to go; else only the added ones."""
        return self.after if self.has_lost else self.logged["tags"]["added"]

    @property
    def has_lost(self) -> bool:
        return bool(self.logged["tags"]["removed"])


class Retagged(NamedTuple):
    """`changed`: the phones of contacts whose tags have changed, and how. `refused`: the phones of
    contacts that stay as they were, and why."""

    changed: list[tuple[str, TagChange]]
    refused: list[tuple[str, str]]


@transactional
def retag(
    tenant: Tenant, pks: Sequence[str], retagged: Callable[[list[str]], list[str]]
) -> Retagged:
    """Gives each contact of `tenant` with an id in `pks` the tags that `retagged` makes of its
    tags. Where `retagged` raises ValueError, the contact stays as it is.

    For hundreds of thousands of contacts, batch by batch: reads no models, and writes only the
    links that are added or removed.
    """
    changed, refused = tag_changes(locked_tags(tenant, pks), retagged)
    write_tags(tenant.pk, {pk: ",".join(change.after) for pk, (_, change) in changed.items()})
    to_link = {pk: ",".join(change.to_link) for pk, (_, change) in changed.items()}
    had_links = [pk for pk, (_, change) in changed.items() if change.has_lost]
    links.link(tenant.pk, to_link, had_links)
    Change.objects.log(
        Entry(tenant.pk, pk, Change.Kind.UPDATED, change.logged)
        for pk, (_, change) in changed.items()
    )
    return Retagged([*changed.values()], refused)


def locked_tags(tenant: Tenant, pks: Iterable[str]) -> Iterable[tuple[str, str, str]]:
    """The id in hexadecimal digits, the phone and the comma-separated tags of each of these
    contacts of the tenant. They are locked in the order of their phones, as every writer does."""
    stored = Contact.objects.filter(IsAnyOf("pk", map(hex_id, pks)), tenant=tenant)
    locked = stored.order_by("phone").select_for_update()
    # Not as Django reads them: making a ULID of each id, and a list of each tags, takes longer.
    return locked.values_list(IdDigits("pk"), "phone", Cast("tags", TextField()))


def write_tags(tenant_id: str, tags: dict[str, str]) -> None:
    """Writes the comma-separated `tags` of contacts, which are locked, by the id in hexadecimal
    digits."""
    if tags:
        dialect = dialect_of()
        with connection.cursor() as cursor:
            cursor.execute(dialect.RETAG, dialect.retag_params(tenant_id, tags))


def tag_changes(
    contacts: Iterable[tuple[str, str, str]], retagged: Callable[[list[str]], list[str]]
) -> tuple[dict[str, tuple[str, TagChange]], list[tuple[str, str]]]:
    """What changes in each of `contacts`, see `locked_tags`. Returns, by the id, the phone and the
    change; and the refused, see `Retagged`."""

    @cache  # many of hundreds of thousands of contacts have the same tags
    def change_of(names: str) -> TagChange:
        before = names.split(",") if names else []
        after = retagged(before)
        return TagChange(before, after, difference(["tags"], [names], [",".join(after)]))

    changed, refused = dict[str, tuple[str, TagChange]](), list[tuple[str, str]]()
    for pk, phone, tags in contacts:
        try:
            change = change_of(tags)
        except ValueError as error:
            refused.append((phone, str(error)))
        else:
            if change.logged:
                changed[pk] = phone, change
    return changed, refused


# The tags themselves


@transactional
def save(tag: Tag, save_row: Callable[[], None]) -> None:
    """Saves a tag with `save_row`, Django's own way; a new name of a stored tag is first given to
    its contacts, see `rename`."""
    if not tag._state.adding:
        rename(tag, tag.name)
    save_row()


@transactional
def rename(tag: Tag, name: str) -> None:
    """Gives the stored tag, and all contacts that have it, the new name. The tag keeps its id. If
    another tag of the tenant has the name already, that tag is merged into this one. Saved views
    that name the tag get the new name, too.

    All contacts are locked until the transaction ends. If they are many, give them the new name
    with `retag` first, batch by batch: then only the links are left to do here, which takes about a
    second of SQLite's lock for 200,000.
    """
    renamed = Tag.objects.filter(tenant=tag.tenant_id, pk=tag.pk).exclude(name=name)
    if not renamed.exists():
        return
    found = lock_with_contacts(renamed, Q(tenant=tag.tenant_id, name=name))
    stored = next((one for one in found if one.pk == tag.pk), None)
    if stored is None:  # somebody else has just given it this name, or deleted it
        return
    carriers = contacts_of([stored])
    for other in found:
        if other.pk != stored.pk:
            links.move(other, stored)
            delete_rows([other])
    stored.own_row().update(name=name)
    for some in batches(carriers):
        retag(stored.tenant, some, lambda names: replaced(names, [stored.name], [name]))
    saved_views.replace_tags(tag.tenant_id, [stored.name], name)


@transactional
def delete(tags: TagQuerySet) -> tuple[int, dict[str, int]]:
    """Removes the tags, of any tenants, from their contacts, then deletes them. Returns what
    `QuerySet.delete` returns."""
    found = lock_with_contacts(tags)
    for tenant in {tag.tenant_id: tag.tenant for tag in found}.values():
        mine = [tag for tag in found if tag.tenant_id == tenant.pk]
        gone = {tag.name for tag in mine}
        for some in batches(contacts_of(mine)):
            retag(tenant, some, partial(without, gone=gone))
    delete_rows(found)
    return len(found), {Tag._meta.label: len(found)}


@transactional
def delete_merged(tenant: Tenant, names: Collection[str], new: str) -> None:
    """Deletes the tags `names` of the tenant as `delete_unused` does, after their contacts have got
    the tag `new` instead. Saved views that named one of them name `new`."""
    delete_unused(tenant.tags.filter(name__in=names))
    saved_views.replace_tags(tenant.pk, names, new)


@transactional
def delete_unused(tags: TagQuerySet) -> list[str]:
    """Deletes those of the tags that no contact has; returns their names.

    The tags are locked before their links are looked at, so that no writer links one of them
    meanwhile.
    """
    locked = list(rows_of([*tags]).order_by("name").select_for_update())
    used = set(links_of(locked).values_list("tag_id", flat=True))
    unused = [tag for tag in locked if tag.pk not in used]
    delete_rows(unused)
    return [tag.name for tag in unused]


def lock_with_contacts(tags: TagQuerySet, others: Q = Q()) -> list[Tag]:  # noqa: B008
    """Locks all contacts that have one of `tags`, then these tags and the tags that `others`
    describes; returns all these tags as they are stored.

    Every writer locks contacts before tags, and each in one order: so they do not deadlock. A
    contact that got one of the tags between the two steps is not locked; then all locks are
    released and taken again.
    """
    chosen = [*tags]
    stored = Tag.objects.filter(key_of(chosen) | others).order_by("name")
    while True:
        start = transaction.savepoint()
        carriers = contacts_of(chosen)
        # By their ids: with a subquery, PostgreSQL may go through all links of the tags for each
        # contact of the tenant while it takes the tables for empty ones.
        contacts = Contact.objects.filter(
            IsAnyOf("pk", map(hex_id, carriers)), tenant__in={tag.tenant_id for tag in chosen}
        )
        list(contacts.order_by("phone").select_for_update().values_list("pk"))
        found = [*stored.select_for_update()]
        if {*contacts_of(chosen)} <= {*carriers}:
            return found
        transaction.savepoint_rollback(start)


def contacts_of(tags: Collection[Tag]) -> list[str]:
    """The ids of the contacts that have one of `tags`, in one order for all writers."""
    links = links_of(tags).order_by("contact")
    return list(links.values_list("contact", flat=True).distinct())


def rows_of(tags: Collection[Tag]) -> TagQuerySet:
    return Tag.objects.filter(key_of(tags))


def delete_rows(tags: Collection[Tag]) -> None:
    """Deletes the tags with their links. Django's own way finds both by ids alone."""
    links_of(tags).delete()
    rows = rows_of(tags)
    rows._raw_delete(rows.db)


def batches(pks: Sequence[str]) -> Iterator[Sequence[str]]:
    return (pks[start : start + BATCH] for start in range(0, len(pks), BATCH))
