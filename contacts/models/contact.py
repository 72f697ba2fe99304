"""Contacts, and the questions that are asked about them. `contacts.writing` writes them.

One module, because the methods of the model and of its queryset use the same expressions.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from functools import cache, reduce
from operator import or_
from typing import Any

from django.db import connections, models
from django.db.models import Case, Exists, F, OuterRef, Q, TextField, Value, When
from django.db.models.functions import Concat, StrIndex
from django.db.models.lookups import GreaterThan
from django.utils import timezone
from django.utils.translation import gettext_lazy

from contacts.change_log.difference import (
    CONSENT,
    EMPTY,
    FORMER_PHONES,
    LOGGED_FIELDS,
    difference,
    value_of,
)
from contacts.db import keyset, rows
from contacts.db.dialects import dialect_of
from contacts.db.expressions import IsOneOf, updated_after
from contacts.db.fields import FoldedField, TagNamesField
from contacts.db.keyset import Order
from contacts.db.trigrams import HasPart, is_too_short, part_of
from contacts.values import folding, phones, rules
from contacts.values.numbering_plans import old_forms, sure_prefixes
from tenants.fields import ULIDField, hex_id, new_ulid
from tenants.models import Tenant

from .change import Change, Entry
from .erasure import OptOut, in_utc
from .owned import Owned
from .tag import Tag

FOUND_BY = {"contact_id": "pk", "phone": "phone"}
BY_CHANGE = Order("updated_at")
BY_MESSAGE = Order("last_message_at", is_descending=True, is_nullable=True)

# The tags of a contact with a comma at each end: `,vip,` is then in it only if the tag is.
FENCED_TAGS = Concat(Value(","), F("tags"), Value(","), output_field=TextField())


def carries(name: str) -> Q:
    """The condition for contacts that hold a tag of this name in their own row."""
    return Q(GreaterThan(StrIndex(FENCED_TAGS, Value(f",{name},")), 0))


def matches(
    query: str, region: str = "", owners: Sequence[str] = (), *, is_indexed: bool = True
) -> Q:
    """The condition for contacts with `query` in their name, as people type it (see
    `values.folding`), in their e-mail address, in any case, or in their phone.

    A query that is a phone, or a part of one, finds the phone in any spelling. `region`: see
    `phones.normalise`. `owners`: the contacts that had the phone before, see `owners_of`.
    `is_indexed`: False for the same condition, written so that the planner cannot use an index.
    """
    parts = parts_of(query, region)
    return has_part(parts, owners, is_indexed=is_indexed, is_short=is_too_short(parts))


def parts_of(query: str, region: str) -> dict[str, list[str]]:
    """The texts of which a contact that `matches` has one, by the column that has it."""
    text = rules.folded(query)
    return {
        "name_folded": folding.spellings(query),
        "email_folded": [text],
        "phone": sorted(filter(phones.may_hold, {text, *phones.parts(query, region)})),
    }


def has_part(
    parts: Mapping[str, Sequence[Any]], owners: Sequence[Any], *, is_indexed: bool, is_short: bool
) -> Q:
    """The condition of `matches`. `parts`: of `parts_of`. `is_short`: see `HasPart`."""
    if is_indexed:
        found = Q(HasPart(parts, is_short=is_short))
    else:
        places = (StrIndex(name, part_of(part)) for name, some in parts.items() for part in some)
        found = reduce(or_, (Q(GreaterThan(place, 0)) for place in places))
    return found | Q(pk__in=owners) if owners else found


class ContactQuerySet(models.QuerySet["Contact"]):
    def update_or_create(  # type: ignore[override]
        self,
        defaults: dict[str, Any] | None = None,
        only_if_new: dict[str, Any] | None = None,
        **key: Any,
    ) -> tuple["Contact", bool]:
        """Upserts on (tenant, phone): `tenant.contacts.update_or_create(phone=…, defaults={…})`.

        `key`: `phone` in E.164, and `tenant`, which the related manager adds. `defaults`: the
        fields to set, in the shape that `rules` gives them. `only_if_new`: what a new contact gets
        besides. It is not `create_defaults` of Django's method, which a new row gets instead of
        `defaults`; that argument is refused.

        Returns the contact and whether it is new. `contact.outcome` also distinguishes an update
        from a call that changed nothing.
        """
        from contacts.writing import upsert

        contact = upsert.update_or_create(**key, defaults=defaults or {}, only_if_new=only_if_new)
        return contact, contact.outcome is Outcome.CREATED

    update_or_create.alters_data = True  # type: ignore[attr-defined]

    def delete(self) -> tuple[int, dict[str, int]]:
        """Deletes the contacts for good; their tags stay."""
        from contacts.writing import delete

        return delete.delete_many(self)

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def find(self, *, lock: bool = False, **key: str) -> "Contact":
        """The contact with this `contact_id`, `phone` or `email`; raises `DoesNotExist`.

        `email` is compared without case; if several contacts have it, the latest updated one is
        found. A phone also finds the contact that an earlier version has stored under an old form
        of it. `lock`: keeps other writers of the contact out until the transaction ends.
        """
        [(name, value)] = key.items()
        if name == "email":
            found = self.with_email(value).order_by("-updated_at", "-pk")[:1]
        elif name == "phone" and (old := old_forms(value)):  # see `contacts.writing.renumber`
            is_old = Case(When(phone=value, then=0), default=1)
            found = self.filter(phone__in=[value, *old]).order_by(is_old)
        else:  # at most one: without an order, the query is built faster
            found = self.filter((FOUND_BY[name], value))
        for contact in found.select_for_update() if lock else found:
            return contact
        if name == "phone":
            return self.find_by_former(value, lock=lock)
        raise Contact.DoesNotExist

    def find_by_former(self, phone: str, *, lock: bool = False) -> "Contact":
        """The contact that had `phone` before; raises `DoesNotExist`. `lock`: see `find`."""
        found = self.with_former(phone)
        while True:
            for contact in found.select_for_update(of=("self",)) if lock else found:
                return contact
            # While the statement waited for the lock, the owner may have been merged into another
            # contact, which is the owner now.
            if not lock or not found.exists():
                raise Contact.DoesNotExist

    def with_former(self, phone: str) -> "ContactQuerySet":
        """The contact with this former phone, which may be stored in an old form, if there is
        one."""
        return self.filter(
            former__phone__in=[phone, *old_forms(phone)],
            former__tenant=F("tenant"),
            former__former_of__isnull=False,
        )

    def owners_of(self, query: str, region: str = "") -> list[str]:
        """The ids of the contacts that had the phone `query` before, in any spelling; none if it is
        not a whole phone. `region`: see `phones.normalise`."""
        try:
            phone = phones.normalise(query, region)
        except phones.PhoneError:
            return []
        return list(self.with_former(phone).values_list("pk", flat=True))

    def former_phones(self, contacts: Iterable["Contact"]) -> dict[str, list[str]]:
        """The former phones of `contacts` in order, by the id of the contact: one statement for
        each tenant. A question to `Contact.all_phones`."""
        tenants = {contact.pk: contact.tenant_id for contact in contacts}
        found: dict[str, list[str]] = {pk: [] for pk in tenants}
        pks = {hex_id(pk): pk for pk in tenants}
        dialect = dialect_of(self.db)
        with connections[self.db].cursor() as cursor:
            for tenant in {*tenants.values()}:
                values = {"tenant": hex_id(tenant), "ids": dialect.words(pks)}
                cursor.execute(dialect.FORMER_PHONES, values)
                for pk, phone in cursor.fetchall():
                    found[pks[pk]].append(phone)
        return found

    def add_former_phones(self, contacts: Sequence["Contact"]) -> None:
        """Gives each of `contacts` the attribute `former_phones`."""
        found = self.former_phones(contacts)
        for contact in contacts:
            contact.former_phones = found[contact.pk]

    def listed(
        self,
        order: Order,
        after: keyset.Position | None,
        limit: int,
        *,
        tag: "Tag | None" = None,
        email: str = "",
        query: str = "",
        region: str = "",
        found: "ContactQuerySet | None" = None,
        is_few: bool = False,
    ) -> keyset.Page:
        """The next `limit` contacts in `order`. They are found by the filter where it leaves few
        contacts, else in the order of the list. `tag`: of the same tenant; `query`, `region`: see
        `matches`. `found`: those of these contacts that match other filters, see
        `contacts.finding.filters`; `is_few`: there are few of them. With `found` and without
        `query`, the page is bounded, see `keyset.bounded_page`.
        """
        is_filtered = found is not None
        found = self.all() if found is None else found
        small = found.small_result(tag, email)
        if small is None and is_few:
            small = found.carrying(tag.name) if tag else found
        if small is not None:
            # Of few contacts, each is compared; an index might find many others first.
            rows = small.matching(query, region, is_indexed=False)
            return keyset.Page(keyset.gathered(rows, order, after, limit))
        of_age = [tag] if tag and order is BY_MESSAGE else []
        among, rows = self.as_old_as(*of_age), found.as_old_as(*of_age)
        rows = rows.carrying(tag.name) if tag else rows
        if is_filtered and not query:
            return keyset.bounded_page(rows, order, after, limit, among, keyset.MOST_READ)
        if not query:
            return keyset.Page(keyset.page(rows, order, after, limit))
        owners = self.owners_of(query, region)
        indexed, unindexed = (
            rows.filter(matches(query, region, owners, is_indexed=is_indexed))
            for is_indexed in (True, False)
        )
        return keyset.Page(keyset.searched(indexed, unindexed, among, order, after, limit))

    def small_result(self, tag: "Tag | None", email: str) -> "ContactQuerySet | None":
        """The contacts with the tag and the e-mail address; None where they may be many."""
        if tag and tag._state.adding:
            return self.none()
        if email:
            found = self.with_email(email)
            return found.carrying(tag.name) if tag else found
        return self.linked_to(tag) if tag and tag.is_rare() else None

    def updated_since(self, at: datetime | None) -> "ContactQuerySet":
        """The contacts that have changed at this time or later; all contacts for None."""
        return self.filter(updated_at__gte=at) if at else self.all()

    def with_tag(self, name: str) -> "ContactQuerySet":
        return self.with_tags_in([name])

    def with_tags_in(self, names: Iterable[str]) -> "ContactQuerySet":
        """The contacts with one of the tags; a contact with several of them comes several times.

        Links and tags are found by their ids alone. With the tenant besides, and statistics from
        before an import, PostgreSQL reads all links of the tenant for each contact. A cluster that
        is sharded by tenant needs the tenant: it would send all links from node to node, and locks
        nothing then.
        """
        same = {"links__tenant": F("tenant"), "links__tag__tenant": F("tenant")}
        is_sharded = dialect_of(self.db).HAS_NODES
        return self.filter(links__tag__name__in=[*names], **(same if is_sharded else {}))

    def linked_to(self, tag: Tag) -> "ContactQuerySet":
        """The contacts with this tag, which are few."""
        return self.filter(IsOneOf("pk", tag.own_links().values("contact")))

    def as_old_as(self, *tags: Tag) -> "ContactQuerySet":
        """Leaves out the contacts that are older or newer than each contact with one of the tags,
        as they were read. The index of the list holds the ids: so contacts that a file brought long
        ago are found without reading the rows of all others. A contact that gets a tag meanwhile
        may be missed: not for a sync."""
        oldest = [tag.oldest for tag in tags if tag.oldest]
        newest = [tag.newest for tag in tags if tag.newest]
        # No contact had a tag when it was read, and now many contacts have it.
        if not oldest:
            return self.all()
        return self.filter(pk__gte=min(oldest), pk__lte=max(newest))

    def carrying(self, name: str) -> "ContactQuerySet":
        """The contacts that hold a tag of this name in their own row: without a join."""
        return self.filter(carries(name))

    def surely_renumbered(self) -> "ContactQuerySet":
        """The contacts with a phone whose first digits only an old form has, see `numbering_plans`.
        Old forms with other first digits are missing; but these are found in ranges of the index.
        """
        longest = "9" * phones.MAX_DIGITS
        ranges = (Q(phone__range=(digits, digits + longest)) for digits in sure_prefixes())
        return self.filter(reduce(or_, ranges))

    def with_email(self, email: str) -> "ContactQuerySet":
        """The contacts with this e-mail address, in any case."""
        return self.filter(email_folded=rules.folded(email))

    def matching(
        self, query: str, region: str = "", *, is_indexed: bool = True
    ) -> "ContactQuerySet":
        """The contacts with `query` in them, see `matches`; all where it is empty."""
        if not query:
            return self
        owners = self.owners_of(query, region)
        return self.filter(matches(query, region, owners, is_indexed=is_indexed))


def contact_is_there() -> Exists:
    """For a query of changes: whether the contact of the change exists, or exists again."""
    same = Contact.objects.filter(tenant=OuterRef("tenant"), pk=OuterRef("contact_id"))
    return Exists(same)


def contact_lives_on() -> Exists:
    """For a query of changes: whether the contact of the change was merged into one that exists.

    If that one was merged in its turn, its own row is a former phone of the contact that stayed.
    """
    survivor = Contact.all_phones.filter(tenant=OuterRef("tenant"), pk=OuterRef("into"))
    merges = Change.objects.filter(kind=Change.Kind.MERGED, tenant=OuterRef("tenant"))
    return Exists(merges.filter(Exists(survivor), contact_id=OuterRef("contact_id")))


def decisions_of_contacts() -> Q:
    """The changes that prove why existing contacts may be written to, or may not (GDPR, article 7:
    whoever relies on consent has to be able to show it). A contact has the consent of the contacts
    that were merged into it, so their decisions are among these changes."""
    is_needed = Q(contact_is_there()) | Q(contact_lives_on())
    return is_needed & Q(kind__in=[*CONSENT.values()])


ContactVerbs = models.Manager.from_queryset(ContactQuerySet)


class ContactManager(ContactVerbs):
    """Contacts without the rows that stand for former phones."""

    def get_queryset(self) -> ContactQuerySet:  # type: ignore[override]
        found = current_contacts()._chain()  # type: ignore[attr-defined]
        found._db, found._hints = self._db, self._hints  # type: ignore[attr-defined]
        return found


@cache
def current_contacts() -> ContactQuerySet:
    """Made once, and copied for each query: a copy takes a tenth of the time of a filter."""
    return ContactQuerySet(Contact).filter(former_of=None)


class Outcome(models.TextChoices):
    CREATED = "created"
    UPDATED = "updated"
    UNCHANGED = "unchanged"


class Contact(Owned):
    """A person, by phone: one row for each phone of a tenant.

    `tags` holds the names of its tags, in order; `ContactTag` links it to the tags, to find and
    count contacts by tag. The verbs of `contacts.writing` keep the two alike.

    A former phone of a contact is a row of this table, too: `former_of` is the contact, and the
    other fields are empty. So one unique constraint says that a phone, current or former, belongs
    to one contact of the tenant, and the database decides every race. A table of all phones would
    cost each new contact a second row. `objects` and `tenant.contacts` leave these rows out;
    `all_phones` has all rows. `contacts.writing.former_phones` writes them.
    """

    class Source(models.TextChoices):
        MANUAL = "manual", gettext_lazy("Manual")
        CSV_IMPORT = "csv_import", gettext_lazy("CSV import")
        SHOPIFY = "shopify", "Shopify"
        WOOCOMMERCE = "woocommerce", "WooCommerce"
        WIDGET = "widget", gettext_lazy("Widget")
        ZAPIER = "zapier", "Zapier"
        API = "api", "API"

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="contacts", db_index=False)
    phone = models.CharField(
        max_length=1 + phones.MAX_DIGITS, help_text=gettext_lazy("E.164, such as +14155550123.")
    )
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
    # Without a constraint: the database would look for former phones with each deletion. The verbs
    # of `contacts.writing` delete them with their contact.
    former_of = models.ForeignKey(
        "self",
        models.DO_NOTHING,
        null=True,
        editable=False,
        related_name="+",
        related_query_name="former",
        db_index=False,
        db_constraint=False,
    )
    name_folded = FoldedField(of="name")
    email_folded = FoldedField(of="email")

    outcome: Outcome  # of the last `update_or_create`
    former_phones: list[str]  # `add_former_phones` sets it

    objects = ContactManager()
    all_phones = ContactQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "phone"], name="contact_phone_per_tenant"),
            models.CheckConstraint(
                condition=Q(phone__startswith="+"), name="contact_phone_international"
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "email_folded"], name="contact_email"),
            # The lists leave former phones out: a page would read those between two contacts.
            # After the id: columns that the admin's filters read without reading whole rows.
            models.Index(
                fields=["tenant", "id", "created_at", "source"],
                condition=Q(former_of__isnull=True),
                name="contact_listed_by_age",
            ),
            models.Index(
                fields=["tenant", "updated_at", "id"],
                condition=Q(former_of__isnull=True),
                name="contact_listed_by_change",
            ),
            models.Index(
                fields=["tenant", "last_message_at", "id"],
                condition=Q(former_of__isnull=True),
                name="contact_listed_by_message",
            ),
            models.Index(
                fields=["tenant", "former_of", "phone"],
                condition=Q(former_of__isnull=False),
                name="contact_former_phones",
            ),
        ]

    def __str__(self) -> str:
        return self.phone  # `writing.erase` looks for it in the admin's log

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Saves the row, or only `update_fields` of it, with its links and its log entry."""
        from contacts.writing import edit

        edit.save(self, *args, **kwargs)

    def _do_update(self, base_qs: models.QuerySet, *args: Any, **kwargs: Any) -> Any:
        """Django's UPDATE of a row finds it by its id alone; a database that is sharded by tenant
        must know the tenant, too."""
        return super()._do_update(base_qs.filter(tenant=self.tenant_id), *args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Deletes the contact for good; its tags stay."""
        return Contact.objects.filter(tenant=self.tenant_id, pk=self.pk).delete()

    @property
    def opt_out(self) -> "OptOut | None":
        """The opt-out to store when the contact is deleted, if it has opted out."""
        return self.opt_out_of(self.phone)

    def opt_outs(self, former: Iterable[str]) -> "list[OptOut | None]":
        """`opt_out` for its phone and for each of its `former` phones."""
        return [self.opt_out_of(phone) for phone in (self.phone, *former)]

    def opt_out_of(self, phone: str) -> "OptOut | None":
        """`opt_out` for another `phone` of the same person."""
        at = self.opted_out_at
        return OptOut.of_phone(self.tenant_id, phone, at) if at else None

    def has_decided(self) -> bool:
        """Whether it has opted in or out."""
        return any(getattr(self, name) for name in CONSENT)

    def logged_values(self, names: Iterable[str]) -> list[Any]:
        """The values of these fields, as JSON has them."""
        return in_json(getattr(self, name) for name in names)

    def updated_to(self, other: "Contact", names: Iterable[str]) -> Entry:
        """The change of this row to what `other` has in the fields `names`."""
        names = [name for name in names if name in EMPTY]
        fields = difference(names, self.logged_values(names), other.logged_values(names))
        return Entry(self.tenant_id, self.pk, Change.Kind.UPDATED, fields)

    def end(self, kind: Change.Kind, into: str = "", former: Sequence[str] = ()) -> Entry:
        """The end of this row: all that it held, its `former` phones, and what it was merged
        `into`."""
        held = difference(LOGGED_FIELDS, self.logged_values(LOGGED_FIELDS), [*EMPTY.values()])
        if former:
            held[FORMER_PHONES] = {"added": [], "removed": [*former]}
        return Entry(self.tenant_id, self.pk, kind, held, into, updated_after(self.updated_at))

    @staticmethod
    def ended(change: Change) -> "Contact":
        """The contact as it was at its end, unsaved."""
        held = change.fields
        values = {name: value_of(name, held.get(name, {}).get("old")) for name in LOGGED_FIELDS}
        values["tags"] = held.get("tags", {}).get("removed", [])
        values["metadata"] = {key: sides["old"] for key, sides in held.get("metadata", {}).items()}
        return Contact(pk=change.contact_id, tenant_id=change.tenant_id, **values)


def in_json(values: Iterable[Any]) -> list[Any]:
    return [rows.json_value(value, in_utc) for value in values]


def with_folded(names: Iterable[str]) -> list[str]:
    """The fields `names` of a contact, and those that hold them folded."""
    names = [*names]
    fields = Contact._meta.concrete_fields
    return names + [f.name for f in fields if isinstance(f, FoldedField) and f.of in names]
