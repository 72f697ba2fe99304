"""Undo: gives contacts the values that they had before a change set, which is all that one command,
import or request changed.

A field is taken back only if it still has the value that the change set wrote; other fields are
reported. Undoing is a change like any other, so it can be undone, too.

Consent is never taken back: people themselves decide whether they may be written to, see
`record-consent`. So undo never deletes a contact that has opted out, and a contact that comes back
has opted out if its owner has opted out since.

More than 400 lines, because the classes below need each other: a change set is taken back in
batches (`ChangeSet`), a batch reads everything that its contacts need in a fixed number of
statements (`Batch`), and each contact is then taken back in memory (`Undoing`).
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from copy import copy
from datetime import datetime
from typing import Any, NamedTuple

from django.db.models import Count, Max, Min, Q, QuerySet, TextChoices
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop

from contacts.change_log.difference import (
    CONSENT,
    FORMER_PHONES,
    LOGGED_FIELDS,
    MOMENTS,
    NOTES,
    Fields,
    exchanged,
    moment,
    value_of,
)
from contacts.db.pacing import Pace
from contacts.db.transactions import retry_after_race, transactional
from contacts.models import ENDS, BulkAction, Change, ChangeQuerySet, Contact, Import, OptOut
from contacts.values import rules
from contacts.values.numbering_plans import forms, renumbered
from tenants.fields import parse_ulid
from tenants.models import Tenant

from . import consent, delete, edit, former_phones, notes

AT_ONCE = 1000  # contacts that a request changes; more are left to a worker
BATCH = 1000  # contacts in one transaction


class Reason(TextChoices):
    """Why a field or a contact was not taken back: a word for programs and a text for people."""

    CONSENT = "consent", gettext_lazy("stays as it was decided")
    CHANGED = "changed", gettext_lazy("has changed since")
    GONE = "gone", gettext_lazy("is gone by now")
    RESTORED = "restored", gettext_lazy("is there again")
    FORGOTTEN = "forgotten", gettext_lazy("cannot come back: what it held has been forgotten")
    PHONE_TAKEN = "phone_taken", gettext_lazy("another contact has the phone")
    RENUMBERED = (
        "renumbered",
        gettext_lazy("keeps its new form: the numbering plan has changed"),
    )
    RULE = "rule", gettext_lazy("breaks a rule")


SAME_NUMBER = gettext_noop(
    "stays merged: %(phone)s is the phone of both contacts, in its old and its new form"
)
TAKEN = gettext_noop("another contact has the phone %(phone)s")
# What can be taken back besides fields.
CREATION, END = gettext_noop("its creation"), gettext_noop("its end")


class Kept(NamedTuple):
    """A field that was not taken back. `field`: the name of the field; `metadata.KEY` for a key of
    metadata; empty for the whole contact. `sentence`: the text for people, if the text of `reason`
    is not enough."""

    field: str
    reason: Reason
    sentence: str = ""

    def __str__(self) -> str:
        if self.sentence or not self.field:
            return self.sentence or str(self.reason.label)
        return _("%(field)s %(reason)s") % {"field": _(self.field), "reason": self.reason.label}


class Undone(NamedTuple):
    """The result for one contact: the fields that were taken back, or `CREATION` or `END`, and what
    was not taken back."""

    contact: Contact
    taken_back: list[str]
    kept: list[Kept]

    def lines(self) -> list[str]:
        """A text in English about the fields that were taken back."""
        return [f"{self.name}: {', '.join(self.taken_back)}"] if self.taken_back else []

    def refusals(self) -> list[str]:
        """Texts for people about what was not taken back, with the reasons."""
        line = _("%(label)s: %(value)s")
        return [line % {"label": self.name, "value": kept} for kept in self.kept]

    @property
    def name(self) -> str:
        return self.contact.phone or self.contact.pk


@transactional
def undo(
    tenant: Tenant, change_set: str, contact_ids: Sequence[str], *, dry_run: bool = False
) -> list[Undone]:
    """Takes back what `change_set` did to these contacts of `tenant`, the last change first.

    The number of statements does not grow with the number of contacts, except on SQLite, which
    limits the size of a statement. A dry run does the same, but writes nothing: all is decided
    before the first write.
    """
    batch = Batch(tenant, change_set, contact_ids)
    return batch.rehearse() if dry_run else batch.run()


def contact_ids(tenant: Tenant, change_set: str, size: Callable[[], int]) -> Iterator[list[str]]:
    """The ids of the contacts that `change_set` changed, in lists.

    `size`: returns how many changes the next list is made of. The contacts that were changed last
    come first: they may have a phone that an earlier contact must get back.
    """
    logged, end = tenant.changes.filter(change_set=change_set), None
    while changes := list(
        (logged.filter(pk__lt=end) if end else logged)
        .order_by("-pk")
        .values_list("pk", "contact_id")[: size()]
    ):
        found = logged.filter(contact_id__in={contact_id for _, contact_id in changes})
        last = found.values("contact_id").annotate(last=Max("pk")).values_list("contact_id", "last")
        yield [pk for pk, change in last if end is None or change < end]
        end = changes[-1][0]


class Summary(NamedTuple):
    """A change set in numbers. `kinds`: the number of changes of each kind."""

    actor: str
    began_at: datetime
    contacts: int
    kinds: list[tuple[Change.Kind, int]]

    @property
    def is_of_consent(self) -> bool:
        """Whether the change set only has decisions on consent, which undo never takes back."""
        return {kind for kind, _ in self.kinds} <= {*CONSENT.values()}


class ChangeSet:
    """All changes that one request, import or command made to contacts of the tenants in `among`.

    `tenants`: the tenants whose contacts were changed. Empty if there are none, and if `spelling`
    is not an id.
    """

    def __init__(self, spelling: str, among: QuerySet[Tenant]) -> None:
        self.id, self.tenants = "", list[Tenant]()
        try:
            self.id = parse_ulid(spelling)
        except ValueError:
            return
        # A join: a database that is sharded by tenant refuses EXISTS below the table of tenants.
        changed = among.filter(changes__change_set=self.id).distinct()
        self.tenants = list(changed.order_by("slug"))

    def is_running(self, *others: Tenant) -> bool:
        """Whether a worker still makes changes for this change set. An undo would miss the changes
        that the worker makes afterwards. `others`: tenants for which it may have made none yet."""
        mine = {"tenant__in": {*self.tenants, *others}, "pk": self.id}
        actions = BulkAction.objects.filter(finished_at=None, **mine)
        imports = Import.objects.unfinished().filter(**mine)
        return actions.exists() or imports.exists()

    def changes(self) -> ChangeQuerySet:
        return Change.objects.filter(tenant__in=self.tenants, change_set=self.id)

    def summary(self) -> Summary:
        numbers = self.changes().aggregate(
            actor=Max("actor"), began_at=Min("at"), contacts=Count("contact_id", distinct=True)
        )
        kinds = self.changes().values_list("kind").annotate(Count("pk")).order_by("kind")
        return Summary(**numbers, kinds=[(Change.Kind(kind), n) for kind, n in kinds])

    def batches(self, size: Callable[[], int]) -> Iterator[tuple[Tenant, list[str]]]:
        for tenant in self.tenants:
            for batch in contact_ids(tenant, self.id, size):
                yield tenant, batch

    def first(self, number: int) -> Iterator[tuple[Tenant, list[str]]]:
        """Batches with at most `number` contacts altogether."""
        left = number
        for tenant, batch in self.batches(lambda: number):
            yield tenant, batch[:left]
            left -= len(batch)
            if left <= 0:
                return

    def rehearse(self, number: int) -> list[tuple[Tenant, Undone]]:
        """What `take_back` would do to the first `number` contacts."""
        return [
            (tenant, undone)
            for tenant, batch in self.first(number)
            for undone in self.tried(tenant, batch, dry_run=True)
        ]

    def take_back(self) -> list[tuple[Tenant, Undone]]:
        pace, results = Pace(BATCH), list[tuple[Tenant, Undone]]()
        for tenant, batch in self.batches(lambda: pace.size):
            with pace.turn(len(batch)):
                results += ((tenant, undone) for undone in self.tried(tenant, batch))
        return results

    def ids(self, tenant: Tenant) -> list[str]:
        """The ids of the tenant's contacts, in the order in which they are taken back."""
        return [pk for batch in contact_ids(tenant, self.id, lambda: BATCH) for pk in batch]

    def tried(self, tenant: Tenant, batch: list[str], *, dry_run: bool = False) -> list[Undone]:
        return retry_after_race(lambda: undo(tenant, self.id, batch, dry_run=dry_run))


class Batch:
    """Contacts of a change set that are taken back in one transaction. The constructor locks the
    contacts with their former phones, and reads everything that taking them back needs."""

    def __init__(self, tenant: Tenant, change_set: str, contact_ids: Sequence[str]) -> None:
        self.tenant = tenant
        self.stored, _ = former_phones.lock([Contact(tenant=tenant, pk=pk) for pk in contact_ids])
        logged = tenant.changes.filter(contact_id__in=contact_ids)
        self.changes = list(logged.filter(change_set=change_set).order_by("-id"))
        others = logged.exclude(change_set=change_set).values("contact_id").annotate(last=Max("id"))
        self.last_elsewhere = dict(others.values_list("contact_id", "last"))
        old = {phone for phone in self.phones_before() if renumbered(phone) != phone}
        self.renumbered = {*map(renumbered, old)}  # in their form of today
        wanted = self.phones_wanted()
        self.holders = self.holders_of(wanted)
        self.owners = self.owners_of(wanted)
        self.owners_before = dict(self.owners)
        self.erased = self.erased_of(wanted)
        self.opted_out = OptOut.objects.of(tenant.pk, wanted)
        created = [one.contact_id for one in self.changes if one.kind == Change.Kind.CREATED]
        self.noted = notes.latest(tenant.pk, created) if created else {}
        self.merged_before = self.merges_of(self.noted)
        self.notes_back = dict[str, str]()  # ids of notes -> ids of contacts that are restored
        self.heirs_of_notes = dict[str, str]()  # ids of contacts that are deleted -> of their heirs
        survivors = {change.into for change in self.changes if change.into}
        self.heirs = self.heirs_of(survivors)
        opt_outs = Q(kind=Change.Kind.OPTED_OUT) | Q(fields__has_key="opted_out_at")
        by_whom = survivors | {*self.heirs.values()}
        self.opt_outs = list(tenant.changes.filter(opt_outs, contact_id__in=by_whom))

    def merges_of(self, contact_ids: Collection[str]) -> list[Change]:
        """The merges into contacts that exist, the last one first, of these contacts."""
        if not contact_ids:
            return []
        merges = self.tenant.changes.filter(kind=Change.Kind.MERGED, contact_id__in=contact_ids)
        there = self.tenant.contacts.filter(pk__in=merges.values("into"))
        return list(merges.filter(into__in=there.values("pk")).order_by("-pk"))

    def heir_before(self, creation: Change) -> str:
        """The id of the contact that had the notes of this one until an undo of their merge, which
        is this creation; empty if it was another one."""
        merges = (one for one in self.merged_before if one.pk < creation.pk)
        ended = (one.into for one in merges if one.contact_id == creation.contact_id)
        return next(ended, "") or ""

    def phones_wanted(self) -> set[str]:
        phones = {*map(renumbered, self.phones_before())}
        for change in self.changes:
            phones.update(*change.fields.get(FORMER_PHONES, {}).values())
        return phones

    def phones_before(self) -> set[str]:
        phones = (change.fields.get("phone", {}).get("old") for change in self.changes)
        return {*filter(None, phones)}

    def holders_of(self, phones: set[str]) -> dict[str, str]:
        """The id of the contact that has each phone, maybe stored in an old form of it."""
        today = forms(phones)
        found = self.tenant.contacts.filter(phone__in=today).values_list("phone", "pk")
        return {today[phone]: pk for phone, pk in found}

    def owners_of(self, phones: set[str]) -> dict[str, str]:
        """The ids of the contacts that have one of `phones` as a former one, by phone."""
        mine = Contact.all_phones.filter(tenant=self.tenant, former_of__isnull=False)
        found = mine.filter(phone__in=phones).values_list("phone", "former_of")
        return {phone: str(owner) for phone, owner in found}

    def erased_of(self, phones: set[str]) -> set[str]:
        return {*self.tenant.erasures.of(phones)}

    def heirs_of(self, survivors: set[str]) -> dict[str, str]:
        """For each contact that survived a merge and was merged itself later: the id of the contact
        it was merged into. Follows chains of merges."""
        heirs: dict[str, str] = {}
        merges = self.tenant.changes.filter(kind=Change.Kind.MERGED).order_by("id")
        while survivors:
            later = merges.filter(contact_id__in=survivors).values_list("contact_id", "into")
            heirs |= {contact_id: into for contact_id, into in later if into}
            survivors = {*heirs.values()} - heirs.keys() - survivors
        return heirs

    def heirs_after(self, end: Change) -> set[str]:
        """The ids of the contacts that an ended contact was merged into, one after the other."""
        names = set[str]()
        name = end.into
        while name and name not in names:
            names.add(name)
            name = self.heirs.get(name)
        return names

    def opted_out_since(self, end: Change, phone: str) -> datetime | None:
        """The time at which the owner of an ended contact has opted out since, if so: with the same
        phone, or as the owner of a contact that the ended one was merged into."""
        names = self.heirs_after(end)
        later = (out for out in self.opt_outs if out.contact_id in names and out.pk > end.pk)
        found = [datetime.fromisoformat(at) for out in later for at in times_of(out)]
        return max([*found, *filter(None, [self.opted_out.get(phone)])], default=None)

    def run(self) -> list[Undone]:
        undoings = self.decide()
        self.save(undoings)
        return results_of(undoings)

    def rehearse(self) -> list[Undone]:
        return results_of(self.decide())

    def decide(self) -> "dict[str, Undoing]":
        """Takes the changes back in memory."""
        undoings: dict[str, Undoing] = {}
        for change in self.changes:
            pk = change.contact_id
            if pk not in undoings:
                undoings[pk] = Undoing(self, pk, copy(self.stored.get(pk)))
            undoings[pk].take_back(change)
        return undoings

    def save(self, undoings: "dict[str, Undoing]") -> None:
        """Deletes before it changes, and changes before it restores: phones become free before
        other contacts get them."""
        there = {pk: undoing.contact for pk, undoing in undoings.items() if undoing.contact}
        gone = self.stored.keys() & undoings.keys() - there.keys()
        delete.delete_many(self.tenant.contacts.filter(pk__in=gone), self.heirs_of_notes)
        added, removed = exchange(self.owners_before, self.owners)
        former_phones.release_many(self.tenant.pk, removed)
        changed = [pk for pk in there if pk in self.stored and undoings[pk].taken_back]
        names = {name for pk in changed for name in undoings[pk].taken_back}
        edit.change_many(
            [there[pk] for pk in changed],
            names & {*LOGGED_FIELDS},
            lambda entry: former_phones.with_logged(
                entry,
                former_phones.logged(
                    phones_of(entry.contact_id, added), phones_of(entry.contact_id, removed)
                ),
            ),
        )
        consent.remember(undoing.opt_out for undoing in undoings.values())
        delete.restore([there[pk] for pk in there if pk not in self.stored])
        notes.move(self.tenant.pk, self.notes_back)
        former_phones.insert_many(self.tenant.pk, added)


def results_of(undoings: "dict[str, Undoing]") -> list[Undone]:
    results = [undoing.result() for undoing in undoings.values()]
    return sorted(results, key=lambda result: result.contact.phone)


def exchange(before: dict[str, str], now: dict[str, str]) -> tuple[dict[str, str], dict[str, str]]:
    """The former phones that `now` has and `before` has not, and the other way round, each with the
    id of its contact."""
    added = dict(now.items() - before.items())
    return added, dict(before.items() - now.items())


def phones_of(contact_id: str, owners: dict[str, str]) -> list[str]:
    return [phone for phone, owner in owners.items() if owner == contact_id]


def times_of(opt_out: Change) -> Iterator[str]:
    """The times of an opt-out in a log entry: of the decision, and of the changed field."""
    if opt_out.kind == Change.Kind.OPTED_OUT and (consent := opt_out.fields.get("consent")):
        yield consent["at"]
    if at := opt_out.fields.get("opted_out_at", {}).get("new"):
        yield at


class Undoing:
    """Takes back the changes of one contact in memory.

    `contact`: the unsaved contact, or None if there is no contact at this point. `last`: the last
    state in which there was a contact. `opted_out_at`: for a contact that is restored, when its
    owner has opted out since.
    """

    def __init__(self, batch: Batch, pk: str, contact: Contact | None) -> None:
        self.batch = batch
        self.contact = contact
        self.last = contact or Contact(pk=pk, tenant=batch.tenant)
        self.taken_back: list[str] = []
        self.kept: list[Kept] = []
        self.opted_out_at: datetime | None = None

    @property
    def opt_out(self) -> OptOut | None:
        """The opt-out to store before the contact is restored: `restore` then opts it out."""
        if self.contact is None or self.opted_out_at is None:
            return None
        return OptOut.of_phone(self.batch.tenant.pk, self.contact.phone, self.opted_out_at)

    def result(self) -> Undone:
        """The result, without repetitions: a field may have several changes."""
        return Undone(self.last, [*dict.fromkeys(self.taken_back)], [*dict.fromkeys(self.kept)])

    def keep(self, field: str, reason: Reason, sentence: str = "") -> None:
        self.kept.append(Kept(field, reason, sentence))

    def take_back(self, change: Change) -> None:
        if change.kind == Change.Kind.CREATED:
            self.take_back_creation(change)
        elif change.kind in ENDS:
            self.take_back_end(change)
        elif self.contact is None:
            self.keep("", Reason.GONE)
        else:
            self.take_back_fields(self.contact, change)

    def take_back_fields(self, contact: Contact, change: Change) -> None:
        if change.kind in CONSENT.values() or change.fields.keys() & CONSENT.keys():
            self.keep("consent", Reason.CONSENT)
        for name, sides in sorted(change.fields.items()):
            if name in LOGGED_FIELDS and name not in CONSENT:
                self.take_back_field(contact, name, sides)
        if FORMER_PHONES in change.fields:  # after the phone, which may be one of them
            self.take_back_former(contact, **change.fields[FORMER_PHONES])

    def take_back_former(self, contact: Contact, added: list[str], removed: list[str]) -> None:
        """Releases the former phones that were added, and gives back those that were removed. A
        phone that got its new form keeps it."""
        owners = self.batch.owners
        if same := {*added} & {phone for old in removed if (phone := renumbered(old)) != old}:
            self.keep(FORMER_PHONES, Reason.RENUMBERED)
            added = [phone for phone in added if phone not in same]
            removed = [phone for phone in removed if renumbered(phone) not in same]
        mine = [phone for phone in added if owners.get(phone) == contact.pk]
        free = [phone for phone in removed if self.is_free(phone)]
        for phone in mine:
            del owners[phone]
        owners |= dict.fromkeys(free, contact.pk)
        if mine or free:
            self.taken_back.append(FORMER_PHONES)

    def is_free(self, phone: str, heirs: Collection[str] = ()) -> bool:
        """Whether the contact can have this former phone, which nobody has, or one of `heirs` as a
        former one."""
        owner = self.batch.holders.get(phone) or self.batch.owners.get(phone)
        if phone in self.batch.erased:
            self.keep(FORMER_PHONES, Reason.FORGOTTEN)
        elif owner and owner not in heirs:
            self.keep(FORMER_PHONES, Reason.PHONE_TAKEN, _(TAKEN) % {"phone": phone})
        else:
            return True
        return False

    def take_back_creation(self, change: Change) -> None:
        if self.contact is None:
            self.keep("", Reason.GONE)
        elif self.contact.opted_out_at:
            self.keep("", Reason.CONSENT, _("has opted out, and is not deleted"))
        elif change.contact_id in self.batch.noted and (
            self.batch.noted[change.contact_id] > change.at
        ):
            self.keep("", Reason.CHANGED, _("has new notes, and is not deleted"))
        elif self.batch.last_elsewhere.get(change.contact_id, 0) > change.pk:
            self.keep("", Reason.CHANGED)
        else:
            self.taken_back.append(CREATION)
            self.kept.clear()  # the contact is deleted as a whole
            if heir := self.batch.heir_before(change):
                self.batch.heirs_of_notes[self.contact.pk] = heir
            self.release_phone()
            for phone in phones_of(self.contact.pk, self.batch.owners):
                del self.batch.owners[phone]
            self.contact = None

    def take_back_end(self, change: Change) -> None:
        phone = renumbered(change.fields.get("phone", {}).get("old") or "")
        if self.contact:
            self.keep("", Reason.RESTORED)
        elif not phone or phone in self.batch.erased:
            self.keep("", Reason.FORGOTTEN)
        elif self.was_same_number(change, phone):
            self.keep("", Reason.RENUMBERED, _(SAME_NUMBER) % {"phone": phone})
        elif self.takes_phone(phone, self.batch.heirs_after(change)):
            self.contact = self.last = Contact.ended(change)
            self.contact.phone = phone
            self.taken_back.append(END)
            self.batch.notes_back |= dict.fromkeys(change.fields.get(NOTES, []), change.contact_id)
            self.take_former(change)
            opted_out_at = self.batch.opted_out_since(change, phone)
            now = copy(self.contact)
            if opted_out_at and consent.opt_out_earlier(now, opted_out_at):
                self.keep("consent", Reason.CONSENT)
                self.opted_out_at = now.opted_out_at

    def was_same_number(self, change: Change, phone: str) -> bool:
        """Whether the contact was merged into one that has the same phone, one of both in an old
        form. They are one person: bringing the contact back would make a second one."""
        is_old = phone in self.batch.renumbered
        return is_old and bool(change.into) and self.batch.holders.get(phone) == change.into

    def release_phone(self) -> None:
        if self.contact and self.batch.holders.get(self.contact.phone) == self.contact.pk:
            del self.batch.holders[self.contact.phone]

    def take_former(self, end: Change) -> None:
        """Gives a restored contact its former phones, which its heirs may have."""
        phones = end.fields.get(FORMER_PHONES, {}).get("removed", [])
        heirs = self.batch.heirs_after(end)
        free = [phone for phone in phones if self.is_free(phone, heirs)]
        self.batch.owners |= dict.fromkeys(free, self.last.pk)

    def takes_phone(self, phone: str, heirs: Collection[str] = ()) -> bool:
        """Whether the contact can have this phone, which is free, or a former phone of itself or of
        one of `heirs`. If so, it has the phone from now on."""
        owner = self.batch.owners.get(phone, self.last.pk)
        is_free = owner == self.last.pk or owner in heirs
        is_free = is_free and self.batch.holders.setdefault(phone, self.last.pk) == self.last.pk
        if is_free:
            self.batch.owners.pop(phone, None)
        else:
            self.keep("phone", Reason.PHONE_TAKEN, _(TAKEN) % {"phone": phone})
        return is_free

    def take_back_field(self, contact: Contact, name: str, sides: Fields) -> None:
        held = contact.logged_values([name])
        try:
            value = PARTS.get(name, whole)(contact, name, sides, self.kept)
        except HasChanged:
            self.keep(name, Reason.CHANGED)
            return
        except ValueError as error:
            self.keep(name, Reason.RULE, str(error))
            return
        if name == "phone":
            value = renumbered(value)
            if value == contact.phone:
                self.keep(name, Reason.RENUMBERED)
                return
            if not self.takes_phone(value):
                return
            self.release_phone()
        setattr(contact, name, value)
        if rules.spelled(contact.logged_values([name])) != rules.spelled(held):
            self.taken_back.append(name)


# Each of these functions returns the value that a field had before. It raises `HasChanged` if
# somebody has changed the field since, and `ValueError` if the old value breaks a rule. Parts that
# cannot be taken back are added to `kept`.


class HasChanged(Exception):
    """The field no longer has the value that the change set wrote."""


def whole(contact: Contact, name: str, sides: Fields, kept: list[Kept]) -> Any:
    [held] = contact.logged_values([name])
    held = moment(held) if name in MOMENTS and held else held
    if rules.spelled(held or None) != rules.spelled(sides["new"]):
        raise HasChanged
    return value_of(name, sides["old"])


def tags(contact: Contact, name: str, sides: Fields, kept: list[Kept]) -> list[str]:
    """Removes the tags that were added and adds those that were removed. Restores the old order if
    nobody has changed the tags since."""
    order = sides.get("order")
    if order and contact.tags == order["new"]:
        return order["old"]
    return rules.tags(exchanged(contact.tags, sides["added"], sides["removed"]))


def metadata(contact: Contact, name: str, sides: Fields, kept: list[Kept]) -> dict[str, Any]:
    """Takes back each key on its own."""
    held = dict(contact.metadata)
    for key, values in sorted(sides.items()):
        now = {"new": held[key]} if key in held else {}
        written = {"new": values["new"]} if "new" in values else {}
        if rules.spelled(now) != rules.spelled(written):
            kept.append(Kept(f"metadata.{key}", Reason.CHANGED))
            continue
        held.pop(key, None)
        if "old" in values:
            held[key] = values["old"]
    return rules.metadata(held)


PARTS = {"tags": tags, "metadata": metadata}
