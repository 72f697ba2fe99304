"""Contacts and their tags, and the one way in which both are written."""

import json
from collections.abc import Iterable, Sequence
from copy import copy
from functools import cache
from typing import Any

from django.db import connections, models, transaction
from django.db.models import F, Func, Q, TextField, Value
from django.db.models.functions import Concat, Replace, StrIndex, Upper
from django.utils import timezone

from tenants.fields import ULIDField, new_ulid
from tenants.models import Tenant

from . import rules
from .fields import TagNamesField


class TagQuerySet(models.QuerySet["Tag"]):
    def delete(self) -> tuple[int, dict[str, int]]:
        """Deletes each tag by its own verb, which takes it off its contacts.

        Every contact that carries one is locked first: contacts before tags, in one order.
        """
        tags = list(self.order_by("name"))
        links = ContactTag.objects.filter(tag__in=tags)
        carriers = Contact.objects.filter(pk__in=links.values("contact"))
        with transaction.atomic():
            list(carriers.order_by("phone").select_for_update().values_list("pk"))
            for tag in tags:
                tag.delete()
        return len(tags), {Tag._meta.label: len(tags)}

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def named_like(self, part: str) -> list["Tag"]:
        """Tags whose name holds `part` in any case, counted, in the order of their characters.

        Compared and sorted here: databases differ in how, and no tenant has that many.
        """
        found = [
            tag
            for tag in self.with_contact_counts().order_by()
            if part.casefold() in tag.name.casefold()
        ]
        return sorted(found, key=lambda tag: tag.name)

    def with_contact_counts(self) -> "TagQuerySet":
        return self.annotate(contacts_count=models.Count("links"))


class Tag(models.Model):
    """A label of a tenant's contacts. Names are case-sensitive."""

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="tags", db_index=False)
    name = models.CharField(max_length=rules.MAX_TAG)
    created_at = models.DateTimeField(auto_now_add=True)

    contacts_count: int  # added by `with_contact_counts`

    objects = TagQuerySet.as_manager()

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["tenant", "name"], name="tag_name_per_tenant"),
            models.CheckConstraint(
                condition=~Q(name__contains=",") & ~Q(name=""), name="tag_name_fits_a_list"
            ),
        ]

    def __str__(self) -> str:
        return self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Saves the tag; a new name reaches the contacts that carry it in the same transaction."""
        with transaction.atomic():
            if not self._state.adding:
                self.rewrite_contacts(self.name)
            super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Takes the tag off its contacts, then deletes it. The contacts stay."""
        with transaction.atomic():
            self.rewrite_contacts("")
            return super().delete(*args, **kwargs)

    def rewrite_contacts(self, name: str) -> None:
        """Puts `name` in place of this tag's stored name in its contacts; `""` takes it out.

        Contacts are locked before the tag, as every writer does, lest the two deadlock. A writer
        that was just linking the tag ends before our lock on it is granted: hence the second
        look, which finds what that writer left.
        """
        stored = Tag.objects.filter(pk=self.pk)
        carriers = Contact.objects.filter(links__tag=self)
        old = stored.values_list("name", flat=True).first()
        if old not in {None, name}:
            carriers.replace_tag(old, name)
            list(stored.select_for_update())
            carriers.replace_tag(old, name)


class ContactQuerySet(models.QuerySet["Contact"]):
    def update_or_create(  # type: ignore[override]
        self,
        defaults: dict[str, Any] | None = None,
        create_defaults: dict[str, Any] | None = None,
        **key: Any,
    ) -> tuple["Contact", bool]:
        """Upserts on (tenant, phone): `tenant.contacts.update_or_create(phone=…, defaults={…})`.

        `key`: `tenant` (the related manager adds it) and `phone` in E.164.
        `defaults`: the fields to set, already in the shape that `rules` gives them.
        `create_defaults`: what a new row gets beside them (Django's own verb: instead of them).

        Returns the contact and whether it is new; `contact.outcome` also tells an update from
        a call that changed nothing, which writes nothing. Contact, tags and links are one
        transaction, and however many callers race with one phone, one row results: the
        database decides, in one statement.
        """
        defaults = defaults or {}
        contact = Contact(**key, **defaults | (create_defaults or {}))
        with transaction.atomic():
            stored = self._upsert(contact, defaults)
            if stored is None:
                stored = self.get(**key)
                stored.outcome = Outcome.UNCHANGED
            elif stored.pk == contact.pk:
                stored.outcome = Outcome.CREATED
                stored.link_tags(fresh=True)
            else:
                stored.outcome = Outcome.UPDATED
                if "tags" in defaults:
                    stored.link_tags()
        return stored, stored.outcome is Outcome.CREATED

    update_or_create.alters_data = True  # type: ignore[attr-defined]

    def _upsert(self, contact: "Contact", changes: Iterable[str]) -> "Contact | None":
        """The row as it now is, inserted or updated in `changes`; None: it was so already."""
        connection = connections[self.db]
        values = [
            field.get_db_prep_save(field.pre_save(contact, True), connection)
            for field in Contact._meta.concrete_fields
        ]
        return next(iter([*Contact.objects.using(self.db).raw(upsert_sql(*changes), values)]), None)

    def find(self, *, lock: bool = False, **key: str) -> "Contact":
        """The contact with this `contact_id`, `phone` or `email`; raises `DoesNotExist`.

        `email` is matched without case; of several contacts that share it, the latest updated.
        `lock`: keeps other writers of the contact out until the transaction ends.
        """
        names = {"contact_id": "pk", "phone": "phone", "email": "email__iexact"}
        [(name, value)] = key.items()
        found = self.filter(**{names[name]: value}).order_by("-updated_at", "-pk")
        contact = (found.select_for_update() if lock else found).first()
        if contact is None:
            raise Contact.DoesNotExist
        return contact

    @transaction.atomic
    def change_one(self, key: dict[str, str], changes: dict[str, Any]) -> "Contact":
        """Writes `changes` to the contact that `key` finds, and nothing else of it.

        Metadata is merged: the top-level keys given overwrite, others stay; None clears it.
        Raises `DoesNotExist`, and `RuleBroken` where the merged metadata is too much.
        """
        contact = self.find(lock=True, **key)
        if "metadata" in changes:
            changes = changes | {"metadata": contact.merged_metadata(changes["metadata"])}
        contact.change(**changes)
        return contact

    @transaction.atomic
    def add_tag(self, key: dict[str, str], name: str) -> "Contact":
        """Puts the tag behind the contact's others; it may carry it already.

        Raises `DoesNotExist`, and `RuleBroken` where the contact has as many tags as it may.
        """
        contact = self.find(lock=True, **key)
        try:
            contact.change(tags=rules.tags([*contact.tags, name]))
        except ValueError as error:
            raise rules.RuleBroken("tag", error) from error
        return contact

    @transaction.atomic
    def remove_tag(self, key: dict[str, str], name: str) -> "Contact":
        """Takes the tag off the contact, which need not carry it. Raises `DoesNotExist`."""
        contact = self.find(lock=True, **key)
        contact.change(tags=[tag for tag in contact.tags if tag != name])
        return contact

    @transaction.atomic
    def delete_one(self, key: dict[str, str]) -> "Contact":
        """Deletes the contact for good; its tags stay. Raises `DoesNotExist`.

        Returns what was deleted. Locked first: a writer just linking tags to it ends before.
        """
        contact = self.find(lock=True, **key)
        deleted = copy(contact)
        contact.delete()
        return deleted

    def replace_tag(self, old: str, new: str) -> int:
        """Puts `new` in place of the tag name `old`, or takes `old` out where `new` is empty.

        Writes the names that contacts carry, not the links: a verb of `Tag`. Returns the
        number of contacts changed.
        """
        fenced = Concat(Value(","), F("tags"), Value(","), output_field=TextField())
        replaced = Replace(fenced, Value(f",{old},"), Value(f",{new}," if new else ","))
        unfenced = Func(Func(replaced, Value(","), function="LTRIM"), Value(","), function="RTRIM")
        carriers = self.annotate(place=StrIndex(fenced, Value(f",{old},"))).filter(place__gt=0)
        # In the order in which every writer of many contacts locks them.
        locked = carriers.order_by("phone").select_for_update(of=("self",)).values("pk")
        return Contact.objects.filter(pk__in=locked).update(
            tags=unfenced, updated_at=timezone.now()
        )


class Outcome(models.TextChoices):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


class Contact(models.Model):
    """A person, by phone: one row for each phone of a tenant.

    `tags` is what the contact carries, in order. `ContactTag` says the same turned round, for
    finding and counting by tag; `save`, `update_or_create` and `Tag` keep the two alike.
    """

    class Source(models.TextChoices):
        MANUAL = "manual"
        CSV_IMPORT = "csv_import", "CSV import"
        SHOPIFY = "shopify", "Shopify"
        WOOCOMMERCE = "woocommerce", "WooCommerce"
        WIDGET = "widget"
        ZAPIER = "zapier"
        API = "api", "API"

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="contacts", db_index=False)
    phone = models.CharField(max_length=1 + 15, help_text="E.164, such as +14155550123.")
    name = models.CharField(max_length=rules.MAX_NAME, blank=True)
    email = models.EmailField(max_length=rules.MAX_EMAIL, blank=True)
    tags = TagNamesField(default=list, blank=True)
    metadata = models.JSONField(default=dict, blank=True, encoder=rules.CompactJSON)
    source = models.CharField(max_length=20, choices=Source, default=Source.API, editable=False)
    locale = models.CharField(max_length=rules.MAX_LOCALE, blank=True)
    opted_in_at = models.DateTimeField(null=True, editable=False)
    opted_out_at = models.DateTimeField(null=True, editable=False)
    last_message_at = models.DateTimeField(null=True, editable=False)
    total_messages = models.PositiveIntegerField(default=0, editable=False)
    created_at = models.DateTimeField(default=timezone.now, editable=False)
    updated_at = models.DateTimeField(default=timezone.now, editable=False)

    outcome: Outcome  # what the last `update_or_create` did

    objects = ContactQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "phone"], name="contact_phone_per_tenant"),
            models.CheckConstraint(
                condition=Q(phone__startswith="+"), name="contact_phone_international"
            ),
        ]
        indexes = [
            models.Index("tenant", Upper("email"), name="contact_email"),  # as __iexact asks
        ]

    def __str__(self) -> str:
        return self.name or self.phone

    def save(self, *args: Any, update_fields: Iterable[str] | None = None, **kwargs: Any) -> None:
        """Saves the row, or only `update_fields` of it, and the links of its tags with it."""
        self.updated_at = timezone.now()
        written = None if update_fields is None else {*update_fields, "updated_at"}
        with transaction.atomic():
            super().save(*args, update_fields=written, **kwargs)
            if written is None or "tags" in written:
                self.link_tags()

    def merged_metadata(self, given: dict[str, Any] | None) -> dict[str, Any]:
        try:
            return {} if given is None else rules.metadata(self.metadata | given)
        except ValueError as error:
            raise rules.RuleBroken("metadata", error) from error

    def change(self, **fields: Any) -> None:
        """Saves those of `fields` that differ; writes nothing where none does."""
        changed = [
            name
            for name, value in fields.items()
            if rules.spelled(getattr(self, name)) != rules.spelled(value)
        ]
        for name in changed:
            setattr(self, name, fields[name])
        if changed:
            self.save(update_fields=changed)

    def link_tags(self, *, fresh: bool = False) -> None:
        """Makes the links say what `tags` says; unknown tags are created.

        Inside the transaction that wrote the row, whose lock keeps other writers of this
        contact out. `fresh`: the row is new and cannot have links yet.
        """
        names = sorted({*self.tags})  # one order for all callers, or they would deadlock
        if names:
            ContactTag.objects.link(self, names)
        if not fresh:
            tags = Tag.objects.filter(tenant=self.tenant_id, name__in=names)
            self.links.exclude(tag__in=tags).delete()


class ContactTagQuerySet(models.QuerySet["ContactTag"]):
    def link(self, contact: Contact, names: Sequence[str]) -> None:
        """Links `contact` to the tags of these sorted, distinct `names`; unknown tags are created.

        SQLite has one writer at a time. On PostgreSQL the tags are also locked against being
        renamed or deleted until the transaction ends; a tag that somebody else creates or
        renames at this very moment escapes the statement once, and the next finds it.
        """
        connection = connections[self.db]
        new = [Tag(tenant_id=contact.tenant_id, name=name) for name in names]
        key = Contact._meta.pk
        values = {
            "tenant": key.get_db_prep_value(contact.tenant_id, connection),
            "contact": key.get_db_prep_value(contact.pk, connection),
        }
        with connection.cursor() as cursor:
            if connection.vendor == "sqlite":
                Tag.objects.bulk_create(new, ignore_conflicts=True)
                cursor.execute(LINK_SQL, values | {"names": json.dumps(names)})
                return
            ids = [key.get_db_prep_value(tag.pk, connection) for tag in new]
            values |= {"names": names, "ids": ids, "now": timezone.now()}
            linked = 0
            while linked < len(names):
                cursor.execute(LOCK_AND_LINK_SQL, values)
                [linked] = cursor.fetchone()


class ContactTag(models.Model):
    """The contacts of a tag: what `Contact.tags` says, turned round."""

    pk = models.CompositePrimaryKey("tenant_id", "tag_id", "contact_id")
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    tag = models.ForeignKey(Tag, models.CASCADE, related_name="links")
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="links")

    objects = ContactTagQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.contact_id} {self.tag_id}"


# The statements that the ORM cannot say. The upsert is the same on both databases.


@cache
def upsert_sql(*changes: str) -> str:
    """INSERT … ON CONFLICT of one contact; its parameters are all fields in the model's order.

    `changes`: the columns that an existing row gets. A row that has these values already is
    left alone and not returned. EXCLUDED.updated_at, not now(): that also runs on Citus.
    """
    table = Contact._meta.db_table
    columns = [str(field.column) for field in Contact._meta.concrete_fields]
    action = "DO NOTHING"
    if changes:
        assignments = ", ".join(f"{name} = EXCLUDED.{name}" for name in [*changes, "updated_at"])
        stored = ", ".join(f"{table}.{name}" for name in changes)
        given = ", ".join(f"EXCLUDED.{name}" for name in changes)
        action = f"DO UPDATE SET {assignments} WHERE ({stored}) IS DISTINCT FROM ({given})"
    return (
        f"INSERT INTO {table} ({', '.join(columns)}) "  # noqa: S608 - names of our own columns
        f"VALUES ({', '.join(['%s'] * len(columns))}) "
        f"ON CONFLICT (tenant_id, phone) {action} "
        f"RETURNING {', '.join(columns)}"
    )


LINK_SQL = """
INSERT INTO contacts_contacttag (tenant_id, contact_id, tag_id)
SELECT %(tenant)s, %(contact)s, id FROM contacts_tag
WHERE tenant_id = %(tenant)s AND name IN (SELECT value FROM json_each(%(names)s))
ON CONFLICT DO NOTHING
"""

# Django's foreign keys are checked, and lock what they point to, at commit only: too late for a
# tag that is renamed meanwhile. Hence FOR KEY SHARE, the lock that a foreign key takes.
LOCK_AND_LINK_SQL = """
WITH known AS (
    SELECT id FROM contacts_tag
    WHERE tenant_id = %(tenant)s AND name = ANY(%(names)s::text[])
    ORDER BY name FOR KEY SHARE
), made AS (
    INSERT INTO contacts_tag (id, tenant_id, name, created_at)
    SELECT id, %(tenant)s, name, %(now)s
    FROM unnest(%(ids)s::uuid[], %(names)s::text[]) AS given (id, name)
    ON CONFLICT DO NOTHING RETURNING id
), tags AS (
    SELECT id FROM known UNION ALL SELECT id FROM made
), linked AS (
    INSERT INTO contacts_contacttag (tenant_id, contact_id, tag_id)
    SELECT %(tenant)s, %(contact)s, id FROM tags
    ON CONFLICT DO NOTHING
)
SELECT count(*) FROM tags
"""
