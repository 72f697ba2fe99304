"""Contacts and their tags, and the one way in which both are written."""

import json
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Sequence
from copy import copy
from datetime import datetime
from functools import cache, lru_cache, partial
from itertools import chain, islice, starmap
from typing import Any, NamedTuple

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db import DatabaseError, connections, models, transaction
from django.db.models import Exists, F, Func, OuterRef, Q, Subquery, TextField, Value
from django.db.models.functions import Coalesce, Concat, Replace, StrIndex
from django.db.models.lookups import GreaterThan
from django.utils import timezone

from contacts.change_log.cause import cause_values
from contacts.change_log.difference import CONSENT, EMPTY, TOLD, difference, value_of
from contacts.db import keyset, rows, statements
from contacts.db.connections import prepared, sql_kind
from contacts.db.dialects import DIALECTS
from contacts.db.expressions import ByCodePoint, IsOneOf, UpdatedAfter, updated_after
from contacts.db.fields import FoldedField, TagNamesField
from contacts.db.keyset import Order
from contacts.db.postgresql import PostgreSQL
from contacts.db.rows import row_in_json
from contacts.db.statements import INCOMPLETE, Upsert, find_sql, insert_sql, update_sql, upsert_sql
from contacts.db.transactions import DEADLOCK, sqlstate, transactional
from contacts.values import phones, rules
from contacts.values.digests import phone_digest
from tenants.fields import ULIDField, bits, hex_id, new_ulid, ulid_of
from tenants.isolation import lock_timeout
from tenants.models import Tenant

from .change import Change, Entry, decisions
from .erasure import EARLIER_OPT_OUT, Erasure, OptOut, in_utc

DELETED = 1000  # rows that are read at a time
NAMES = 5000  # of tags that are read at a time to find a part of a name
FEW = 2000  # contacts of a tag that are found by it, and not in the order of a list

FOUND_BY = {"contact_id": "pk", "phone": "phone"}
BY_CHANGE = Order("updated_at")
BY_MESSAGE = Order("last_message_at", is_descending=True, is_nullable=True)


class TagQuerySet(models.QuerySet["Tag"]):
    @transactional
    def delete(self) -> tuple[int, dict[str, int]]:
        """Takes the tags off their contacts, then deletes them. The contacts stay."""
        tags = self.locked_with_contacts()
        for tag in tags:
            tag.contacts().replace_tag(tag.name, "")
        super(TagQuerySet, Tag.objects.filter(pk__in=[tag.pk for tag in tags])).delete()
        return len(tags), {Tag._meta.label: len(tags)}

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def locked_with_contacts(self) -> "list[Tag]":
        """The tags as stored, locked, after all contacts that carry one of them.

        Contacts come before tags, each in one order, for every writer: hence no deadlock. A
        contact that got one of the tags in between is not locked; then all is let go and
        tried again.
        """
        tags = Tag.objects.filter(pk__in=list(self.values_list("pk", flat=True)))
        links = ContactTag.objects.filter(tag__in=tags)
        contacts = Contact.objects.filter(pk__in=links.values("contact")).order_by("phone")
        while True:
            start = transaction.savepoint()
            carriers = len(contacts.select_for_update().values_list("pk"))
            locked = [*tags.order_by("name").select_for_update()]
            if links.values("contact").distinct().count() == carriers:
                return locked
            transaction.savepoint_rollback(start)

    @transactional
    def delete_unused(self) -> list[str]:
        """Deletes those that no contact carries; returns their names.

        Locked before they are looked at, so that no writer links one of them meanwhile.
        """
        tags = Tag.objects.filter(pk__in=list(self.values_list("pk", flat=True)))
        locked = list(tags.order_by("name").select_for_update())
        used = set(ContactTag.objects.filter(tag__in=locked).values_list("tag_id", flat=True))
        unused = [tag for tag in locked if tag.pk not in used]
        super(TagQuerySet, Tag.objects.filter(pk__in=[tag.pk for tag in unused])).delete()
        return [tag.name for tag in unused]

    def named_like(self, part: str) -> list["Tag"]:
        """Tags whose name holds `part` in any case, in the order of their characters.

        Compared and sorted here: databases differ in how, and no tenant has that many.
        """
        if len(part) > rules.MAX_TAG:
            return []
        text = rules.folded(part)
        found = [tag for tag in self.order_by() if text in rules.folded(tag.name)]
        return sorted(found, key=lambda tag: tag.name)

    def behind(self, name: str) -> "TagQuerySet":
        """The tags behind this name, in the order of their characters."""
        by_name = ByCodePoint("name")
        return self.filter(GreaterThan(by_name, Value(name))).order_by(by_name)

    def page(self, after: str, limit: int, part: str = "") -> list["CountedTag"]:
        """The next `limit` tags behind the name `after`, in the order of their characters. `part`:
        see `named_like`.

        Reads and counts no more tags than the page has; those that `part` leaves out are read.
        """
        if not part:
            return self.behind(after).counted(limit)
        text = rules.folded(part)
        step = max(limit, NAMES)
        found: list[str] = []
        is_more = True
        while is_more:
            some = list(self.behind(after).values_list("pk", "name")[:step])
            found += [pk for pk, name in some if text in rules.folded(name)]
            is_more = len(some) == step and len(found) < limit
            after = some[-1][1] if some else after
        return self.filter(pk__in=found[:limit]).order_by(ByCodePoint("name")).counted(limit)

    def counted(self, limit: int) -> list["CountedTag"]:
        """The first `limit` of these tags. Not counted by a join: the database may then count the
        contacts of all tags before it takes the first."""
        links = ContactTag.objects.filter(tenant=OuterRef("tenant"), tag=OuterRef("pk"))
        number = links.order_by().values("tag").annotate(n=models.Count("contact")).values("n")
        counted = self.annotate(count=Coalesce(Subquery(number), 0))
        return [CountedTag(*row) for row in counted.values_list("pk", "name", "count")[:limit]]

    def named(self, name: str) -> "Tag":
        """The tag of this name, with the ids of its `oldest` and `newest` contact; or else a new
        tag, which no contact has."""
        links = ContactTag.objects.filter(tenant=OuterRef("tenant"), tag=OuterRef("pk"))
        by_age = links.order_by("contact").values("contact")
        oldest, newest = Subquery(by_age[:1]), Subquery(by_age.reverse()[:1])
        found = self.annotate(oldest=oldest, newest=newest).filter(name=name)
        return found.first() or Tag(name=name)


class CountedTag(NamedTuple):
    """A tag as list-tags answers it."""

    id: str
    name: str
    contacts_count: int


class Tag(models.Model):
    """A label of a tenant's contacts. Names are case-sensitive."""

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="tags", db_index=False)
    name = models.CharField(max_length=rules.MAX_TAG)
    created_at = models.DateTimeField(auto_now_add=True)

    oldest: str | None  # added by `named`, as is `newest`
    newest: str | None

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

    @transactional
    def save(self, *args: Any, **kwargs: Any) -> None:
        """Saves the tag; a new name reaches the contacts that carry it in the same transaction."""
        renamed = Tag.objects.filter(pk=self.pk).exclude(name=self.name)
        for stored in renamed.locked_with_contacts():
            if stored.name != self.name:
                stored.contacts().replace_tag(stored.name, self.name)
        super().save(*args, **kwargs)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """Takes the tag off its contacts, then deletes it. The contacts stay."""
        return Tag.objects.filter(pk=self.pk).delete()

    def contacts(self) -> "ContactQuerySet":
        return Contact.objects.filter(links__tag=self)

    def own_links(self) -> "ContactTagQuerySet":
        """By their primary key, which begins with the tenant."""
        return ContactTag.objects.filter(tenant=self.tenant_id, tag=self)

    def is_rare(self) -> bool:
        """Whether few contacts have it; of the others no more are counted."""
        return self.own_links()[: FEW + 1].count() <= FEW


class PhonesRefused(ValueError):
    """Rows that break a rule together with what is stored: `reasons` by phone. Nothing of the
    call is written; without them it may be made again."""

    def __init__(self, reasons: dict[str, str]) -> None:
        super().__init__(f"{len(reasons)} rows break a rule")
        self.reasons = reasons


class Decision(NamedTuple):
    """What people decide about being written to, when, by which way, and what proves it."""

    status: Change.Kind  # OPTED_IN or OPTED_OUT
    at: datetime
    source: str = ""
    proof: str = ""

    @property
    def told(self) -> dict[str, str]:
        return {"at": in_utc(self.at), "source": self.source, "proof": self.proof}

    def entry(self, entry: Entry) -> Entry:
        """`entry`, which tells what has changed, as one that tells the decision."""
        return entry._replace(kind=self.status, fields=entry.fields | {"consent": self.told})


class Retag(NamedTuple):
    """A change of tags: what they were, what they are, and how the log tells it."""

    was: list[str]
    now: list[str]
    told: dict[str, Any]

    @property
    def links(self) -> list[str]:
        """The tags to link: all, where some others have to go."""
        return self.now if self.has_lost else self.told["tags"]["added"]

    @property
    def has_lost(self) -> bool:
        return bool(self.told["tags"]["removed"])


class Retagged(NamedTuple):
    """`changed`: the contacts' phones, and how; `refused`: the phones of those who stay as they
    were, and why."""

    changed: list[tuple[str, Retag]]
    refused: list[tuple[str, str]]


class Erased(NamedTuple):
    """Whether there was a contact; and the phones of those that one with this phone was merged
    into, who may be the same person."""

    was_there: bool
    phones: list[str]


class Written(NamedTuple):
    """A row that `upsert_rows` has inserted or changed. `pk`: hexadecimal digits; `tags`:
    comma-separated; `consent`, `was`, `now`: JSON, see `entry_of`; `opted_out_at`: of a new row,
    where somebody with its phone had opted out before."""

    phone: str
    pk: str
    tags: str
    metadata_bytes: int
    consent: str | None
    was: str | None
    now: str
    seen: int | None
    opted_out_at: datetime | None = None

    def kept_out(self, at: datetime | None) -> "Written":
        """The same, where somebody with its phone opted out `at` this time: the log must not tell
        that the row has opted anybody in."""
        return self._replace(consent=None, opted_out_at=at) if at else self

    @property
    def ulid(self) -> str:
        return ulid_of(int(self.pk, 16))

    @property
    def outcome(self) -> "Outcome":
        return Outcome.CREATED if self.was is None else Outcome.UPDATED


# A tag is found in it with a comma at each end.
FENCED_TAGS = Concat(Value(","), F("tags"), Value(","), output_field=TextField())


def holds(name: str, part: str) -> Q:
    return Q(**{f"{name}__contains": part})


def holds_plainly(name: str, part: str) -> Q:
    """`holds`, of which no index knows."""
    return Q(GreaterThan(StrIndex(name, Value(part)), 0))


def matches(query: str, region: str = "", holds: Callable[[str, str], Q] = holds) -> Q:
    """Contacts with `query` in name, e-mail or phone, in any case.

    A query that spells a phone, or a part of one, finds that in any spelling. `region`: as in
    `phones.normalise`.
    """
    text = rules.folded(query)
    found = holds("name_folded", text) | holds("email_folded", text)
    for part in {text, *phones.parts(query, region)}:
        if phones.may_hold(part):
            found |= holds("phone", part)
    return found


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
        a call that changed nothing.
        """
        defaults = defaults or {}
        given = defaults | (create_defaults or {})
        contact = Contact(**key, **given)
        if not self._store_new(contact):
            contact = self._upsert(contact, given, with_folded(defaults))
        return contact, contact.outcome is Outcome.CREATED

    update_or_create.alters_data = True  # type: ignore[attr-defined]

    def _store_new(self, contact: "Contact") -> bool:
        """Stores a contact whose phone is new, with all that belongs to it, in one statement;
        returns False, and has done nothing, where that takes more."""
        if not statements.inserts_alone(using := self.db) or contact.has_decided():
            return False
        try:
            with prepared(using) as cursor:
                insert = insert_sql(all_columns(), lock_timeout(connections[using]))
                cursor.execute(insert, contact.parameters(PostgreSQL))
                is_new = cursor.fetchone() is not None
        except DatabaseError as error:
            if sqlstate(error) not in (DEADLOCK, INCOMPLETE):
                raise
            return False
        if is_new:
            contact.was_created(using)
        return is_new

    @transactional
    def _upsert(
        self, contact: "Contact", given: dict[str, Any], changes: Sequence[str]
    ) -> "Contact":
        """`update_or_create` in a transaction; returns what is stored, with its `outcome`."""
        moment = DIALECTS[connections[self.db].vendor].moment
        fields = row_in_json(hex_id(contact.pk), given | {"phone": contact.phone}, moment)
        names = with_folded(given)
        written = self._upsert_rows({contact.phone: fields}, names, replacing(changes), contact)
        row = written.get(contact.phone)
        outcome = row.outcome if row else Outcome.UNCHANGED
        if row and outcome is Outcome.CREATED and not row.opted_out_at:
            contact.was_created(self.db)
            return contact
        stored = self._stored(contact.tenant_id, contact.phone)
        stored.outcome = outcome
        return stored

    def _stored(self, tenant_id: str, phone: str) -> "Contact":
        """The contact with this phone, without building the query anew, which takes longer than
        the database to answer it."""
        fields = Contact._meta.concrete_fields
        with prepared(self.db) as cursor:
            cursor.execute(find_sql(all_columns()), {"tenant": hex_id(tenant_id), "phone": phone})
            rows = cursor.fetchall()
        compiler = self.using(self.db).query.get_compiler(self.db)
        columns = [field.get_col(Contact._meta.db_table) for field in fields]
        [values] = compiler.apply_converters(rows, compiler.get_converters(columns))
        return Contact.from_db(self.db, [field.attname for field in fields], values)

    @transactional
    def replace_many(
        self, tenant: Tenant, contacts: Sequence[dict[str, Any]], source: str
    ) -> "dict[str, tuple[Outcome, str]]":
        """`update_or_create` for many, of which no models are needed.

        `contacts`: their fields, as `rules` give them; each has the same ones, and a phone that no
        other has. `source`: of new ones. Returns of each phone what became of it, and the id.
        """
        if not contacts:
            return {}
        moment = DIALECTS[connections[self.db].vendor].moment
        names = with_folded(name for name in contacts[0] if name != "phone")
        rows = {
            fields["phone"]: row_in_json(f"{next(bits):032x}", fields, moment)
            for fields in contacts
        }
        new = Contact(tenant=tenant, source=source)
        written = self._upsert_rows(rows, names, replacing(names), new)
        same = self.filter(tenant=tenant, phone__in=rows.keys() - written.keys())
        return {phone: (row.outcome, row.ulid) for phone, row in written.items()} | {
            phone: (Outcome.UNCHANGED, pk) for phone, pk in same.values_list("phone", "pk")
        }

    @transactional
    def upsert_rows(
        self, rows: dict[str, str], given: Sequence[str], changes: Sequence[str], new: "Contact"
    ) -> "dict[str, Written]":
        """Upserts contacts of one tenant on their phones: however many callers race with one, one
        row results, for the database decides, in one statement.

        `rows`: by phone, as `rows.row_in_json` makes them. `given`: the columns that they have
        beside id and phone, all the same; contacts that are new get the others from `new`, their
        tenant too. `changes`: those of them that an existing contact gets; metadata is merged, or
        replaced where `-metadata` says so, and nobody is opted in again. Returns the rows that were
        written, by phone; the others were so already. The number of statements does not depend on
        the number of rows. Raises `PhonesRefused`.
        """
        return self._upsert_rows(rows, given, changes, new)

    def _upsert_rows(
        self, rows: dict[str, str], given: Sequence[str], changes: Sequence[str], new: "Contact"
    ) -> "dict[str, Written]":
        """`upsert_rows`, inside a transaction."""
        written = self._write(rows, given, changes, new)
        new_phones = [row.phone for row in written if row.was is None]
        if opted_out := OptOut.objects.of(new.tenant_id, new_phones):
            written = [row.kept_out(opted_out.get(row.phone)) for row in written]
        entry = partial(entry_of, new.tenant_id, told_of(changes))
        entries = [entry(row.pk, row.was, row.now, row.consent) for row in written]
        Change.objects.log(with_decisions(entries, given, new.source))
        tagged = [
            row
            for row, told in zip(written, entries, strict=True)
            if row.was is None or "tags" in told.fields
        ]
        had_links = [row.pk for row in tagged if row.was is not None]
        ContactTag.objects.link(new.tenant_id, {row.pk: row.tags for row in tagged}, had_links)
        self._keep_out(new.tenant_id, opted_out)
        return {row.phone: row for row in written}

    def keep_out(self, tenant_id: str, phones: Iterable[str]) -> bool:
        """Opts out the contacts that have just got these `phones`, where somebody with that phone
        had opted out before. Returns whether there were any.

        Called inside the transaction that wrote the contacts, and after the writing: the statement
        that wrote may have waited for somebody who was deleting a contact with the same phone.
        """
        opted_out = OptOut.objects.of(tenant_id, phones)
        self._keep_out(tenant_id, opted_out)
        return bool(opted_out)

    def _keep_out(self, tenant_id: str, opted_out: dict[str, datetime]) -> None:
        """The one rule for every way in which a contact gets a phone. `opted_out`: when somebody
        opted out, by phone."""
        if not opted_out:
            return
        found = Contact.objects.filter(tenant=tenant_id, phone__in=opted_out).order_by("phone")
        contacts = [c for c in found.select_for_update() if c.stay_out(opted_out[c.phone])]
        decisions = {
            contact.pk: Decision(Change.Kind.OPTED_OUT, opted_out[contact.phone], EARLIER_OPT_OUT)
            for contact in contacts
        }
        self.change_many(
            contacts, [*CONSENT], lambda entry: decisions[entry.contact_id].entry(entry)
        )

    def _write(
        self, rows: dict[str, str], given: Sequence[str], changes: Sequence[str], new: "Contact"
    ) -> "list[Written]":
        """The rows inserted or changed."""
        connection = connections[self.db]
        columns = ("id", "phone", *given)
        values = {}
        for field in Contact._meta.concrete_fields:
            value = field.pre_save(new, True)  # folds what `new` has, which it may be asked for
            if field.column not in columns:
                values[str(field.column)] = field.get_db_prep_save(value, connection)
        dialect = DIALECTS[connection.vendor]
        consent = dialect.CONSENT if {*given} & {*CONSENT} else "NULL"
        size = dialect.METADATA_BYTES if "metadata" in changes else "0"
        returned = ("phone", dialect.ID_DIGITS, "tags", size, consent)
        told = told_of(changes)
        kind = sql_kind(self.db)
        sql = upsert_sql(kind, all_columns(), columns, tuple(changes), told, returned)
        values |= {"tenant": hex_id(new.tenant_id)}
        written = self._run(sql, values, rows)
        if large := [row.phone for row in written if row.metadata_bytes > rules.MAX_METADATA_BYTES]:
            self.filter(tenant=new.tenant_id, phone__in=large).refuse_large_metadata()
        return written

    def _run(self, sql: Upsert, values: dict[str, Any], rows: dict[str, str]) -> "list[Written]":
        """Runs an upsert of `rows`, JSON objects by phone, in the order of their phones, as all
        writers do; and once more for those that others have just created."""
        words = DIALECTS[connections[self.db].vendor].words
        values |= {
            "rows": f"[{','.join(rows[phone] for phone in sorted(rows))}]",
            "phones": words(sorted(rows)),
        }
        before = self._before(sql, values)
        with prepared(self.db) as cursor:
            cursor.execute(sql.write, values)
            found = [*starmap(Written, cursor.fetchall())]
        written = [row for row in found if row.phone]
        if before:
            written = [row._replace(was=before.get(row.phone)) for row in written]
        new = sum(row.was is None for row in written)
        seen = found[0].seen if found else None
        if seen is None or seen + new == len(rows):
            return written
        done = {row.phone for row in written}
        rest = {phone: row for phone, row in rows.items() if phone not in done}
        return written + self._run(sql, values, rest)

    def _before(self, sql: Upsert, values: dict[str, Any]) -> dict[str, str]:
        """What the rows are that an upsert may change, by phone, where it does not say itself."""
        if not sql.before:
            return {}
        with connections[self.db].cursor() as cursor:
            cursor.execute(sql.before, values)
            return dict(cursor.fetchall())

    def refuse_large_metadata(self) -> None:
        """Raises `PhonesRefused` for those whose metadata is too much by now."""
        refused = {}
        for phone, metadata in self.values_list("phone", "metadata"):
            try:
                rules.metadata(metadata)
            except ValueError as error:
                refused[phone] = str(error)
        if refused:
            raise PhonesRefused(refused)

    def find(self, *, lock: bool = False, **key: str) -> "Contact":
        """The contact with this `contact_id`, `phone` or `email`; raises `DoesNotExist`.

        `email` is matched without case; of several contacts that share it, the latest updated.
        `lock`: keeps other writers of the contact out until the transaction ends.
        """
        [(name, value)] = key.items()
        if name == "email":
            found = self.with_email(value).order_by("-updated_at", "-pk")[:1]
        else:  # there is one at most, and to say in which order would take a while
            found = self.filter((FOUND_BY[name], value))
        for contact in found.select_for_update() if lock else found:
            return contact
        raise Contact.DoesNotExist

    def page(
        self,
        after: tuple[datetime, str] | None,
        limit: int,
        *,
        tag: "Tag | None" = None,
        since: datetime | None = None,
    ) -> list["Contact"]:
        """The next `limit` contacts by (updated_at, id), behind the position `after`.

        `tag`, `since` (inclusive): None for all.
        """
        found = self.filter(updated_at__gte=since) if since else self
        return found.listed(BY_CHANGE, after, limit, tag=tag)

    def recent(
        self, after: tuple[datetime | None, str] | None, limit: int, **filters: Any
    ) -> list["Contact"]:
        """The next `limit` contacts behind the position (last_message_at, id) `after`.

        The latest message first, then those without any; where equal, the newest contact.
        `filters`: see `listed`.
        """
        return self.listed(BY_MESSAGE, after, limit, **filters)

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
    ) -> list["Contact"]:
        """The next `limit` contacts in `order`, by what finds them soonest: the filter, where it
        leaves few of them, or the order. `tag`: of their tenant; `query`, `region`: see `matches`.
        """
        few = self.few(tag, email)
        if few is not None:
            return keyset.gathered(few.matching(query, region), order, after, limit)
        among = self.as_old_as(tag) if tag and order is BY_MESSAGE else self.all()
        found = among.carrying(tag.name) if tag else among
        if not query:
            return keyset.page(found, order, after, limit)
        matching, plainly = (
            found.filter(matches(query, region, h)) for h in (holds, holds_plainly)
        )
        return keyset.searched(matching, plainly, among, order, after, limit)

    def few(self, tag: "Tag | None", email: str) -> "ContactQuerySet | None":
        """Those with the tag and the e-mail address; None where they may be many."""
        if tag and tag._state.adding:
            return self.none()
        if email:
            found = self.with_email(email)
            return found.carrying(tag.name) if tag else found
        return self.linked_to(tag) if tag and tag.is_rare() else None

    def with_tag(self, name: str) -> "ContactQuerySet":
        return self.filter(links__tag__name=name)

    def linked_to(self, tag: Tag) -> "ContactQuerySet":
        """Those with this tag, where they are few."""
        return self.filter(IsOneOf("pk", tag.own_links().values("contact")))

    def as_old_as(self, tag: Tag) -> "ContactQuerySet":
        """Without those that are older or newer than all that had the tag when it was read. The
        index of the list holds the ids: what a file brought long ago is found without reading the
        rows of all others. Not for readers who may miss nothing."""
        # Nobody had it yet, and now many have.
        if not tag.oldest:
            return self.all()
        return self.filter(pk__gte=tag.oldest, pk__lte=tag.newest)

    def carrying(self, name: str) -> "ContactQuerySet":
        """Those with a tag of this name, as their own rows tell."""
        return self.filter(GreaterThan(StrIndex(FENCED_TAGS, Value(f",{name},")), 0))

    def with_email(self, email: str) -> "ContactQuerySet":
        """Those with this e-mail address, in any case."""
        return self.filter(email_folded=rules.folded(email))

    def matching(self, query: str, region: str = "") -> "ContactQuerySet":
        """Those with `query` in name, e-mail or phone, see `matches`; without one, all."""
        return self.filter(matches(query, region)) if query else self

    @transactional
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

    @transactional
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

    @transactional
    def remove_tag(self, key: dict[str, str], name: str) -> "Contact":
        """Takes the tag off the contact, which need not carry it. Raises `DoesNotExist`."""
        contact = self.find(lock=True, **key)
        contact.change(tags=[tag for tag in contact.tags if tag != name])
        return contact

    @transactional
    def delete_one(self, key: dict[str, str]) -> "Contact":
        """Deletes the contact for good; its tags stay. Raises `DoesNotExist`.

        Returns what was deleted. Locked first: a writer just linking tags to it ends before.
        """
        contact = self.find(lock=True, **key)
        OptOut.objects.remember([contact.opt_out])
        self._delete([contact.end(Change.Kind.DELETED)])
        return contact

    @transactional
    def delete(self) -> tuple[int, dict[str, int]]:
        """Deletes the contacts, of any tenant, for good; their tags stay.

        Some at a time: the log needs to know what they held.
        """
        counts: Counter[str] = Counter()
        pks = iter(list(self.order_by("phone").values_list("pk", flat=True)))
        while some := list(islice(pks, DELETED)):
            found = Contact.objects.filter(pk__in=some).order_by("phone").select_for_update()
            OptOut.objects.remember(contact.opt_out for contact in found)
            _, models_of = self._delete([contact.end(Change.Kind.DELETED) for contact in found])
            counts.update(models_of)
        return counts.total(), dict(counts)

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]

    def _delete(self, entries: Sequence[Entry]) -> tuple[int, dict[str, int]]:
        """Deletes the contacts that the `entries` of the log tell of, after their opt-outs are
        remembered."""
        Change.objects.log(entries)
        pks = [entry.contact_id for entry in entries]
        return super(ContactQuerySet, Contact.objects.filter(pk__in=pks)).delete()

    @transactional
    def change_many(
        self,
        contacts: Sequence["Contact"],
        fields: Iterable[str],
        tell: Callable[[Entry], Entry] = lambda entry: entry,
    ) -> None:
        """Saves `fields` of contacts of one tenant, and the links of their tags with them.

        `Contact.save` for many: the statements do not grow with their number. `tell`: what the
        log says instead of an entry.
        """
        if not contacts:
            return
        fields = [*with_folded(fields), "updated_at"]
        told = told_of(fields)
        stored = Contact.objects.filter(pk__in=[contact.pk for contact in contacts])
        locked = stored.order_by("phone").select_for_update().values_list("pk", "updated_at", *told)
        before = {pk: (updated_at, in_json(values)) for pk, updated_at, *values in locked}
        there = [contact for contact in contacts if contact.pk in before]
        for contact in there:
            contact.updated_at = updated_after(before[contact.pk][0])
        if "phone" in fields:
            phones = {contact.pk: contact.phone for contact in there}
            opted_out = stored.exclude(opted_out_at=None)
            OptOut.objects.remember(c.opt_out for c in opted_out if c.phone != phones[c.pk])
        dialect, names = DIALECTS[connections[self.db].vendor], ["id", *fields]
        rows = [contact.for_sql(dialect, names) for contact in there]
        self._update(contacts[0].tenant_id, rows)
        if "tags" in fields:
            ContactTag.objects.match(there)
        entries = (
            Entry(
                contact.tenant_id,
                contact.pk,
                Change.Kind.UPDATED,
                difference(told, before[contact.pk][1], contact.told(told)),
            )
            for contact in there
        )
        Change.objects.log(map(tell, entries))
        if "phone" in fields:
            self.keep_out(contacts[0].tenant_id, [contact.phone for contact in there])

    def _update(self, tenant_id: str, rows: Sequence[dict[str, Any]]) -> None:
        """Writes columns of contacts of one tenant, which are locked. `rows`: the id, and what the
        columns get, the same ones in each, as `Contact.for_sql` makes them."""
        if not rows:
            return
        columns = tuple(name for name in rows[0] if name != "id")
        values = {"tenant": hex_id(tenant_id), "rows": rules.spelled(rows)}
        with connections[self.db].cursor() as cursor:
            cursor.execute(update_sql(connections[self.db].vendor, columns), values)

    @transactional
    def retag(
        self, tenant: Tenant, pks: Sequence[str], retagged: Callable[[list[str]], list[str]]
    ) -> "Retagged":
        """Gives the contacts of `tenant` with the ids `pks` the tags that `retagged` makes of
        theirs; those for whom it raises ValueError stay as they are.

        `change_many` for hundreds of thousands, batch by batch: without models, and of links only
        those that come or go.
        """
        stored = Contact.objects.filter(tenant=tenant, pk__in=pks).order_by("phone")
        locked = stored.select_for_update().values_list("pk", "phone", "tags", "updated_at")

        @cache  # of hundreds of thousands many have the same
        def of(names: str) -> Retag:
            was = names.split(",") if names else []
            now = retagged(was)
            return Retag(was, now, difference(["tags"], [names], [",".join(now)]))

        changed, refused = dict[str, tuple[str, Retag]](), list[tuple[str, str]]()
        rows = list[dict[str, Any]]()
        moment = DIALECTS[connections[self.db].vendor].moment
        for pk, phone, tags, updated_at in locked:
            try:
                retag = of(",".join(tags))
            except ValueError as error:
                refused.append((phone, str(error)))
            else:
                if retag.told:
                    changed[hex_id(pk)] = phone, retag
                    at = moment(updated_after(updated_at))
                    rows.append({"id": hex_id(pk), "tags": ",".join(retag.now), "updated_at": at})
        self._update(tenant.pk, rows)
        links = {pk: ",".join(retag.links) for pk, (_, retag) in changed.items()}
        had_links = [pk for pk, (_, retag) in changed.items() if retag.has_lost]
        ContactTag.objects.link(tenant.pk, links, had_links)
        Change.objects.log(
            Entry(tenant.pk, pk, Change.Kind.UPDATED, retag.told)
            for pk, (_, retag) in changed.items()
        )
        return Retagged([*changed.values()], refused)

    @transactional
    def decide_one(self, key: dict[str, str], decision: "Decision") -> "Contact":
        """Records what the contact that `key` finds has decided. Raises `DoesNotExist`."""
        contact = self.find(lock=True, **key)
        self.decide_many([contact], decision)
        return contact

    @transactional
    def decide_many(self, contacts: Sequence["Contact"], decision: "Decision") -> list["Contact"]:
        """Records a decision of contacts of one tenant, which are locked; of those that have one
        of a later time, in the log only. Returns all but those of whom it is recorded already."""
        if not contacts:
            return []
        changed, late = list[Contact](), list[Contact]()
        for contact in contacts:
            (changed if contact.decide(decision) else late).append(contact)
        self.change_many(changed, [*CONSENT], decision.entry)
        if decision.status == Change.Kind.OPTED_IN:
            OptOut.objects.forget(contacts[0].tenant_id, [contact.phone for contact in changed])
        told = Change.objects.filter(
            tenant_id=contacts[0].tenant_id,
            contact_id__in=[contact.pk for contact in late],
            kind=decision.status,
        )
        known = {
            pk
            for pk, fields in told.values_list("contact_id", "fields")
            if fields.get("consent") == decision.told
        }
        fresh = [contact for contact in late if contact.pk not in known]
        Change.objects.log(
            decision.entry(Entry(contact.tenant_id, contact.pk, decision.status, {}))
            for contact in fresh
        )
        return [*changed, *fresh]

    @transactional
    def restore(self, contacts: Sequence["Contact"]) -> None:
        """Creates contacts of one tenant that were there before, under their old ids."""
        ordered = sorted(contacts, key=lambda contact: contact.phone)
        if not ordered:
            return
        changes = Change.objects.filter(tenant=ordered[0].tenant_id)
        ends = changes.last_ends([contact.pk for contact in ordered])
        for contact in ordered:
            if contact.pk in ends:  # readers have seen the end, and follow what comes later
                contact.updated_at = updated_after(ends[contact.pk])
        Contact.objects.bulk_create(ordered)
        ContactTag.objects.match(ordered)
        Change.objects.log(
            Entry(contact.tenant_id, contact.pk, Change.Kind.CREATED, {}) for contact in ordered
        )
        if ordered:
            self.keep_out(ordered[0].tenant_id, [contact.phone for contact in ordered])

    @transactional
    def merge(
        self,
        groups: Sequence[Sequence["Contact"]],
        key: Callable[["Contact"], Any] = lambda contact: None,
    ) -> list[tuple["Contact", list["Contact"], str]]:
        """Makes each group of contacts of one tenant one; the oldest id stays.

        Name, e-mail and locale: the newest that is not empty. Tags: all. Metadata: all keys, the
        newest value. Consent: the stricter; where that is an opt-out, the phones of the others
        have opted out too. `key`: what made them a group; one that has changed
        meanwhile is left alone. Returns of each group the one that stays, the others, and why
        they could not be merged, or "". The statements do not grow with the number of groups,
        but for what SQLite takes at once.
        """
        pks = [contact.pk for group in groups for contact in group]
        rows = Contact.objects.filter(pk__in=pks).order_by("phone").select_for_update()
        locked = {row.pk: row for row in rows}
        results, kept, gone, opted_out = [], [], list[Entry](), list[OptOut | None]()
        for group in groups:
            wanted = key(group[0])
            same = (locked[c.pk] for c in group if c.pk in locked and key(locked[c.pk]) == wanted)
            first, *others = sorted(same, key=lambda contact: contact.pk) or [group[0]]
            if others:
                problem = first.absorb(others)
                results.append((first, others, problem))
                if not problem:
                    kept.append(first)
                    gone += [other.end(Change.Kind.MERGED, into=first.pk) for other in others]
                    opted_out += [first.opt_out_of(other.phone) for other in others]
        OptOut.objects.remember(opted_out)
        self._delete(gone)
        self.change_many(kept, Contact.MERGED)
        return results

    @transactional
    def merge_as(self, contacts: Sequence["Contact"], chosen: dict[str, Any]) -> "Contact":
        """`merge` for contacts of one person, with the values of fields that somebody has `chosen`
        instead. Raises `ValueError` where they cannot be merged, or are gone."""
        for kept, _, problem in self.merge([contacts]):
            if problem:
                raise ValueError(problem)
            kept.change(**chosen)
            return kept
        raise ValueError("Of these contacts not two are left.")

    @transactional
    def erase(self, tenant: Tenant, phone: str) -> "Erased":
        """Forgets the person with this phone, as data protection asks (GDPR, article 17).

        The contact is deleted, also where the admin's log tells of it, which names contacts by
        their phones. A keyed digest of the phone stays, so that no later import brings the
        person back; and, after an opt-out, one by which the phone starts as opted out where
        somebody creates the contact anew in another way.
        """
        # Imports hold it, batch by batch; others, which look at its key only, pass.
        Tenant.objects.select_for_update(no_key=True).get(pk=tenant.pk)
        Erasure.objects.get_or_create(tenant=tenant, digest=phone_digest(phone))
        told = LogEntry.objects.filter(
            Q(user__tenant=tenant) | Q(user__is_superuser=True),
            content_type=ContentType.objects.get_for_model(Contact),
            object_repr=phone,
        )
        told.update(object_repr="erased", change_message="")
        # Those that run lock themselves before their contacts, and may be refusing this one.
        refusing = tenant.bulk_actions.filter(Q(refused__gt=0) | Q(finished_at=None))
        for action in refusing.order_by("pk").select_for_update():
            action.refusals = [told for told in action.refusals if phone not in " ".join(told)]
            action.save(update_fields=["refusals"])
        stored = list(tenant.contacts.filter(phone=phone).select_for_update())
        OptOut.objects.remember(contact.opt_out for contact in stored)
        self._delete([contact.end(Change.Kind.ERASED)._replace(fields={}) for contact in stored])
        into = tenant.changes.forget(phone, [contact.pk for contact in stored])
        same = tenant.contacts.filter(pk__in=into).order_by("phone")
        return Erased(bool(stored), list(same.values_list("phone", flat=True)))

    def replace_tag(self, old: str, new: str) -> int:
        """Puts `new` in place of the tag name `old`, or takes `old` out where `new` is empty.

        Writes the names that contacts carry, not the links: for `Tag`, which has locked both.
        Returns the number of contacts changed.
        """
        replaced = Replace(FENCED_TAGS, Value(f",{old},"), Value(f",{new}," if new else ","))
        unfenced = Func(Func(replaced, Value(","), function="LTRIM"), Value(","), function="RTRIM")
        carriers = self.carrying(old)
        told = {"tags": {"added": [new] * bool(new), "removed": [old]}}
        Change.objects.log(
            Entry(tenant_id, pk, Change.Kind.UPDATED, told)
            for tenant_id, pk in carriers.values_list("tenant_id", "pk").iterator()
        )
        return Contact.objects.filter(pk__in=carriers.values("pk")).update(
            tags=unfenced, updated_at=UpdatedAfter("updated_at")
        )


def contact_is_there() -> Exists:
    """Of a change: whether its contact still is, or is again."""
    same = Contact.objects.filter(tenant=OuterRef("tenant"), pk=OuterRef("contact_id"))
    return Exists(same)


def decisions_of_contacts() -> Q:
    """The changes that prove why people who are still there may be written to, or may not (GDPR,
    article 7: whoever relies on consent has to be able to show it)."""
    return Q(contact_is_there(), kind__in=[*CONSENT.values()])


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
    name_folded = FoldedField(of="name")
    email_folded = FoldedField(of="email")

    outcome: Outcome  # of the last `update_or_create`

    objects = ContactQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["tenant", "phone"], name="contact_phone_per_tenant"),
            models.CheckConstraint(
                condition=Q(phone__startswith="+"), name="contact_phone_international"
            ),
        ]
        indexes = [
            models.Index(fields=["tenant", "email_folded"], name="contact_email"),
            # Behind the id, what the staff's filters look through without reading whole rows.
            models.Index(fields=["tenant", "id", "created_at", "source"], name="contact_by_age"),
            models.Index(fields=["tenant", "updated_at", "id"], name="contact_keyset"),
            models.Index(fields=["tenant", "last_message_at", "id"], name="contact_recency"),
        ]

    def __str__(self) -> str:
        return self.phone  # also in the admin's log, from which a person may have to be erased

    @transactional
    def save(
        self,
        *args: Any,
        update_fields: Iterable[str] | None = None,
        before: "Contact | None" = None,
        **kwargs: Any,
    ) -> None:
        """Saves the row, or only `update_fields` of it, and the links of its tags with it.

        `before`: as it is stored, where it is locked already.
        """
        before = before or Contact.objects.filter(pk=self.pk).select_for_update().first()
        self.updated_at = updated_after(before.updated_at) if before else timezone.now()
        if update_fields is not None:
            update_fields = {*with_folded(update_fields), "updated_at"}
        super().save(*args, update_fields=update_fields, **kwargs)
        if update_fields is None or "tags" in update_fields:
            ContactTag.objects.match([self])
        if before is None:
            entry = Entry(self.tenant_id, self.pk, Change.Kind.CREATED, {})
        else:
            entry = before.updated_to(self, update_fields or TOLD)
        Change.objects.log([entry])
        if before is None or "phone" in entry.fields:
            OptOut.objects.remember([before.opt_out] if before else [])
            if Contact.objects.keep_out(self.tenant_id, [self.phone]):
                self.refresh_from_db(fields=[*CONSENT, "updated_at"])

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        return Contact.objects.filter(pk=self.pk).delete()

    def was_created(self, using: str) -> None:
        """Notes that the row is stored by now."""
        self.outcome = Outcome.CREATED
        self._state.adding, self._state.db = False, using

    @property
    def opt_out(self) -> "OptOut | None":
        """What is to be remembered when the contact goes: its opt-out, if there is one."""
        return self.opt_out_of(self.phone)

    def opt_out_of(self, phone: str) -> "OptOut | None":
        """The same for another `phone` of this person."""
        at = self.opted_out_at
        return OptOut.of_phone(self.tenant_id, phone, at) if at else None

    def stay_out(self, at: datetime) -> bool:
        """Opts the person out, unsaved, whatever the row says, because somebody opted out by this
        phone before; returns whether that changes anything."""
        before = (self.opted_in_at, self.opted_out_at)
        self.opted_out_at = max(at, self.opted_out_at or at)
        if self.opted_in_at and self.opted_in_at > self.opted_out_at:
            self.opted_in_at = None
        return (self.opted_in_at, self.opted_out_at) != before

    def has_decided(self) -> bool:
        """Whether it has said, for or against, if it may be written to."""
        return any(getattr(self, name) for name in CONSENT)

    def told(self, names: Iterable[str]) -> list[Any]:
        """The values of these fields, as JSON has them."""
        return in_json(getattr(self, name) for name in names)

    def updated_to(self, other: "Contact", names: Iterable[str]) -> Entry:
        """The change of this row to what `other` has in the fields `names`."""
        names = [name for name in names if name in EMPTY]
        fields = difference(names, self.told(names), other.told(names))
        return Entry(self.tenant_id, self.pk, Change.Kind.UPDATED, fields)

    def end(self, kind: Change.Kind, into: str = "") -> Entry:
        """The end of this row: all that it held, and what it was merged `into`."""
        held = difference(TOLD, self.told(TOLD), [*EMPTY.values()])
        return Entry(self.tenant_id, self.pk, kind, held, into, updated_after(self.updated_at))

    @staticmethod
    def ended(change: Change) -> "Contact":
        """The contact as it was at its end, unsaved."""
        held = change.fields
        values = {name: value_of(name, held.get(name, {}).get("old")) for name in TOLD}
        values["tags"] = held.get("tags", {}).get("removed", [])
        values["metadata"] = {key: sides["old"] for key, sides in held.get("metadata", {}).items()}
        return Contact(pk=change.contact_id, tenant_id=change.tenant_id, **values)

    def for_sql(self, dialect: Any, names: Collection[str] = ()) -> dict[str, Any]:
        """The columns of the row, or those of its fields `names`, as `sql` takes them in JSON."""
        row = {}
        for field in Contact._meta.concrete_fields:
            if names and field.name not in names:
                continue
            value = field.pre_save(self, True)
            value = hex_id(value) if isinstance(field, IDS) else value
            row[str(field.column)] = rows.json_value(value, dialect.moment)
        return row

    def parameters(self, dialect: Any) -> dict[str, Any]:
        """What the statement needs that inserts the row with all that belongs to it."""
        row = {"rows": f"[{rules.spelled(self.for_sql(dialect))}]"}
        row["digest"] = phone_digest(self.phone)
        return row | dialect.of_tags(self.tenant_id, sorted(self.tags)) | cause_values(dialect)

    def merged_metadata(self, given: dict[str, Any] | None) -> dict[str, Any]:
        try:
            return {} if given is None else rules.metadata(self.metadata | given)
        except ValueError as error:
            raise rules.RuleBroken("metadata", error) from error

    def decide(self, decision: Decision) -> bool:
        """Puts the decision in force, unsaved; or returns False, because a later one is. At one
        moment the one to opt out counts."""
        in_force = self.opted_out_at or self.opted_in_at
        is_out = decision.status == Change.Kind.OPTED_OUT
        if in_force and (decision.at, is_out) <= (in_force, bool(self.opted_out_at)):
            return False
        if is_out:
            self.opted_out_at = decision.at
        else:
            self.opted_in_at, self.opted_out_at = decision.at, None
        return True

    MERGED = (
        "name", "email", "locale", "tags", "metadata", "opted_in_at", "opted_out_at",
        "last_message_at", "total_messages", "created_at",
    )  # fmt: skip

    def absorb(self, others: "Sequence[Contact]") -> str:
        """Takes over what `others` know, unsaved; or says why it cannot, and changes nothing."""
        everybody = sorted([self, *others], key=lambda contact: contact.updated_at)
        metadata: dict[str, Any] = {}
        for contact in everybody:
            metadata |= contact.metadata
        try:
            tags = rules.tags([tag for contact in [self, *others] for tag in contact.tags])
            self.metadata = rules.metadata(metadata)
        except ValueError as error:
            return str(error)
        self.tags = tags
        for name in ("name", "email", "locale"):
            values = [getattr(contact, name) for contact in everybody]
            setattr(self, name, next(filter(None, reversed(values)), ""))
        outs = [contact.opted_out_at for contact in everybody if contact.opted_out_at]
        ins = [contact.opted_in_at for contact in everybody if contact.opted_in_at]
        self.opted_out_at = max(outs, default=None)
        # The stricter: in, only where all of them are.
        self.opted_in_at = max(ins) if len(ins) == len(everybody) and not outs else None
        messages = [c.last_message_at for c in everybody if c.last_message_at]
        self.last_message_at = max(messages, default=None)
        self.total_messages = sum(contact.total_messages for contact in everybody)
        self.created_at = min(contact.created_at for contact in everybody)
        return ""

    def change(self, **fields: Any) -> None:
        """Saves those of `fields` that differ; writes nothing where none does. It is locked."""
        changed = [
            name
            for name, value in fields.items()
            if rules.spelled(getattr(self, name)) != rules.spelled(value)
        ]
        before = copy(self)
        for name in changed:
            setattr(self, name, fields[name])
        if changed:
            self.save(update_fields=changed, before=before)


IDS = (ULIDField, models.ForeignKey)


@lru_cache
def all_columns() -> tuple[str, ...]:
    """Those of a contact."""
    return tuple(str(field.column) for field in Contact._meta.concrete_fields)


def in_json(values: Iterable[Any]) -> list[Any]:
    return [rows.json_value(value, in_utc) for value in values]


def told_of(changes: Iterable[str]) -> tuple[str, ...]:
    """Those of the columns `changes` that the log tells of."""
    return tuple(name for name in (change.lstrip("-") for change in changes) if name in EMPTY)


def entry_of(
    tenant_id: str, names: Sequence[str], pk: str, was: str | None, now: str, consent: str | None
) -> Entry:
    """What an upsert has done to a row. `names`: the columns of which `was` and `now` tell what
    they held and hold; `consent`: that of a new row, where it may have some. All three are JSON.
    """
    if was is not None:
        fields = difference(names, json.loads(was), json.loads(now))
        return Entry(tenant_id, pk, Change.Kind.UPDATED, fields)
    decided = difference([*CONSENT], [None, None], json.loads(consent)) if consent else {}
    return Entry(tenant_id, pk, Change.Kind.CREATED, decided)


def with_decisions(entries: Iterable[Entry], given: Iterable[str], source: str) -> Iterable[Entry]:
    """`entries`, and those of the decisions in them where consent is among the columns `given`."""
    if not {*CONSENT} & {*given}:
        return entries
    return chain.from_iterable(decisions(entry, source) for entry in entries)


def replacing(changes: Iterable[str]) -> tuple[str, ...]:
    """The columns `changes`, as those of an upsert that does not merge metadata."""
    return tuple("-metadata" if name == "metadata" else name for name in changes)


def with_folded(names: Iterable[str]) -> list[str]:
    """The fields `names` of a contact, and those that hold them folded."""
    names = [*names]
    fields = Contact._meta.concrete_fields
    return names + [f.name for f in fields if isinstance(f, FoldedField) and f.of in names]


class ContactTagQuerySet(models.QuerySet["ContactTag"]):
    def match(self, contacts: Sequence[Contact]) -> None:
        """Makes the links of `contacts`, all of one tenant, say what their `tags` say.

        Unknown tags are created. Inside the transaction that wrote the contacts, whose locks
        keep other writers of them out.
        """
        if contacts:
            tags = {hex_id(contact.pk): ",".join(contact.tags) for contact in contacts}
            self.link(contacts[0].tenant_id, tags, [*tags])

    def link(self, tenant_id: str, tags: dict[str, str], had_links: list[str]) -> None:
        """`match`, for the ids of contacts as hexadecimal digits, with their tags as the database
        has them; `had_links`: those of them that may have links already."""
        tags = {carrier: names for carrier, names in tags.items() if names}
        if not tags and not had_links:
            return
        # Sorted: one order for all callers, or they would deadlock.
        names = sorted({name for names in {*tags.values()} for name in names.split(",")})
        dialect = DIALECTS[connections[self.db].vendor]
        values = dialect.of_tags(tenant_id, names) | dialect.of_links(tags, had_links)
        with connections[self.db].cursor() as cursor:
            if tags:
                dialect.link(cursor, values, len(names))
            if had_links:
                cursor.execute(dialect.UNLINK, values)


class ContactTag(models.Model):
    """The contacts of a tag: what `Contact.tags` says, turned round.

    Without constraints, which the database would check link by link at the commit: a third of what
    an import costs. Whoever writes links has locked their contacts and tags; `check_contacts` tells
    of links that hang. (Citus could not have them: they do not hold the tenant.)
    """

    pk = models.CompositePrimaryKey("tenant_id", "tag_id", "contact_id")
    tenant = models.ForeignKey(
        Tenant, models.CASCADE, related_name="+", db_index=False, db_constraint=False
    )
    tag = models.ForeignKey(Tag, models.CASCADE, related_name="links", db_constraint=False)
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="links", db_constraint=False)

    objects = ContactTagQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.contact_id} {self.tag_id}"
