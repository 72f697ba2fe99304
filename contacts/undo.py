"""Takes back what a change set did to contacts: a command, an import, a request.

Only where a field still holds what the change set wrote into it; the rest is reported. What is
taken back is a change like any other, so it can be taken back too.
"""

from collections.abc import Callable, Iterator, Sequence
from copy import copy
from datetime import datetime
from typing import Any, NamedTuple

from django.db import transaction
from django.db.models import Count, Exists, Max, Min, OuterRef, QuerySet

from tenants.fields import parse_ulid
from tenants.models import Tenant

from . import rules
from .changes import (
    ENDS,
    MOMENTS,
    TOLD,
    Change,
    ChangeQuerySet,
    Fields,
    exchanged,
    moment,
    value_of,
)
from .models import BulkAction, Contact, Decision, Erasure, Import
from .pacing import Pace
from .sql import transactional, tried_twice

SINCE = "has changed since"
AT_ONCE = 1000  # contacts that a request changes; more are left to a worker
BATCH = 1000  # contacts a transaction


class Undone(NamedTuple):
    """What became of a contact: the fields `taken_back`, and why others were not."""

    contact: Contact
    taken_back: list[str]
    problems: list[str]

    def lines(self) -> list[str]:
        """What was taken back, for people."""
        return [f"{self.name}: {', '.join(self.taken_back)}"] if self.taken_back else []

    def refusals(self) -> list[str]:
        """What was not, and why."""
        return [f"{self.name}: {problem}" for problem in self.problems]

    @property
    def name(self) -> str:
        return self.contact.phone or self.contact.pk


@transactional
def undo(
    tenant: Tenant, change_set: str, contact_ids: Sequence[str], *, dry_run: bool = False
) -> list[Undone]:
    """Takes back what `change_set` did to these contacts of `tenant`, the last change first.

    The number of statements does not depend on the number of contacts, but for what SQLite takes
    at once. A dry run differs in its end only.
    """
    undone = Batch(tenant, change_set, contact_ids).run()
    if dry_run:
        transaction.set_rollback(True)
    return undone


def contact_ids(tenant: Tenant, change_set: str, size: Callable[[], int]) -> Iterator[list[str]]:
    """The contacts that `change_set` changed, some at a time, of `size` changes, which is asked
    each time. Those it changed last come first: they may have the phones of others that are to
    come back."""
    told, end = tenant.changes.filter(change_set=change_set), None
    while changes := list(
        (told.filter(pk__lt=end) if end else told)
        .order_by("-pk")
        .values_list("pk", "contact_id")[: size()]
    ):
        found = told.filter(contact_id__in={contact_id for _, contact_id in changes})
        last = found.values("contact_id").annotate(last=Max("pk")).values_list("contact_id", "last")
        yield [pk for pk, change in last if end is None or change < end]
        end = changes[-1][0]


class Summary(NamedTuple):
    """`kinds`: how many changes of each."""

    actor: str
    began_at: datetime
    contacts: int
    kinds: list[tuple[str, int]]


class ChangeSet:
    """What one request, import or command did to contacts; of the tenants in `among` only. Of one
    that changed nothing there, and of what is no id, `tenants` is empty."""

    def __init__(self, spelling: str, among: QuerySet[Tenant]) -> None:
        self.id, self.tenants = "", list[Tenant]()
        try:
            self.id = parse_ulid(spelling)
        except ValueError:
            return
        changes = Change.objects.filter(tenant=OuterRef("pk"), change_set=self.id)
        self.tenants = list(among.filter(Exists(changes)).order_by("slug"))

    def is_running(self) -> bool:
        """Whether a worker is still at it: what it does from now on would stay."""
        mine = {"tenant__in": self.tenants, "pk": self.id}
        actions = BulkAction.objects.filter(finished_at=None, **mine)
        imports = Import.objects.unfinished().filter(**mine)
        return actions.exists() or imports.exists()

    def changes(self) -> ChangeQuerySet:
        return Change.objects.filter(tenant__in=self.tenants, change_set=self.id)

    def summary(self) -> Summary:
        told = self.changes().aggregate(
            actor=Max("actor"), began_at=Min("at"), contacts=Count("contact_id", distinct=True)
        )
        kinds = self.changes().values_list("kind").annotate(Count("pk")).order_by("kind")
        return Summary(**told, kinds=[(Change.Kind(kind).label, n) for kind, n in kinds])

    def batches(self, size: Callable[[], int]) -> Iterator[tuple[Tenant, list[str]]]:
        for tenant in self.tenants:
            for batch in contact_ids(tenant, self.id, size):
                yield tenant, batch

    def first(self, number: int) -> Iterator[tuple[Tenant, list[str]]]:
        """The batches of no more than `number` contacts."""
        left = number
        for tenant, batch in self.batches(lambda: number):
            yield tenant, batch[:left]
            left -= len(batch)
            if left <= 0:
                return

    def rehearse(self, number: int) -> list[tuple[Tenant, Undone]]:
        """What `take_back` would do to the first contacts."""
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
        """The contacts of one of the tenants, in the order in which they are taken back."""
        return [pk for batch in contact_ids(tenant, self.id, lambda: BATCH) for pk in batch]

    def tried(self, tenant: Tenant, batch: list[str], *, dry_run: bool = False) -> list[Undone]:
        return tried_twice(lambda: undo(tenant, self.id, batch, dry_run=dry_run))


class Batch:
    """Some contacts of a change set."""

    def __init__(self, tenant: Tenant, change_set: str, contact_ids: Sequence[str]) -> None:
        self.tenant = tenant
        mine = tenant.contacts.filter(pk__in=contact_ids).order_by("phone")
        self.stored = {contact.pk: contact for contact in mine.select_for_update()}
        told = tenant.changes.filter(contact_id__in=contact_ids)
        self.changes = list(told.filter(change_set=change_set).order_by("-id"))
        others = told.exclude(change_set=change_set).values("contact_id").annotate(last=Max("id"))
        self.last_elsewhere = dict(others.values_list("contact_id", "last"))
        self.holders = self.holders_of(self.phones_wanted())
        self.erased = self.erased_of(self.phones_wanted())
        survivors = [change.into for change in self.changes if change.into]
        self.opt_outs = list(
            tenant.changes.filter(contact_id__in=survivors, kind=Change.Kind.OPTED_OUT)
        )

    def phones_wanted(self) -> set[str]:
        phones = (change.fields.get("phone", {}).get("old") for change in self.changes)
        return {*filter(None, phones)}

    def holders_of(self, phones: set[str]) -> dict[str, str]:
        return dict(self.tenant.contacts.filter(phone__in=phones).values_list("phone", "pk"))

    def erased_of(self, phones: set[str]) -> set[str]:
        digests = {Erasure.digest_of(phone): phone for phone in phones}
        found = self.tenant.erasures.filter(digest__in=digests)
        return {digests[digest] for digest in found.values_list("digest", flat=True)}

    def opt_outs_since(self, merge: Change) -> list[datetime]:
        """What a person who was merged has decided since, under the other's name."""
        later = (out for out in self.opt_outs if out.contact_id == merge.into and out.pk > merge.pk)
        told = (out.fields.get("consent") for out in later)
        return [datetime.fromisoformat(consent["at"]) for consent in told if consent]

    def run(self) -> list[Undone]:
        undoings: dict[str, Undoing] = {}
        for change in self.changes:
            pk = change.contact_id
            if pk not in undoings:
                undoings[pk] = Undoing(self, pk, copy(self.stored.get(pk)))
            undoings[pk].take_back(change)
        self.save(undoings)
        results = [undoing.result() for undoing in undoings.values()]
        return sorted(results, key=lambda result: result.contact.phone)

    def save(self, undoings: "dict[str, Undoing]") -> None:
        """In this order, in which phones become free before others get them."""
        there = {pk: undoing.contact for pk, undoing in undoings.items() if undoing.contact}
        gone = self.stored.keys() & undoings.keys() - there.keys()
        Contact.objects.filter(pk__in=gone).delete()
        changed = [pk for pk in there if pk in self.stored and undoings[pk].taken_back]
        fields = {field for pk in changed for field in undoings[pk].taken_back if field in TOLD}
        Contact.objects.change_many([there[pk] for pk in changed], fields)
        Contact.objects.restore([there[pk] for pk in there if pk not in self.stored])


class Undoing:
    """One contact on its way back, unsaved; None while it is not there."""

    def __init__(self, batch: Batch, pk: str, contact: Contact | None) -> None:
        self.batch = batch
        self.contact = contact
        self.last = contact or Contact(pk=pk, tenant=batch.tenant)
        self.taken_back: list[str] = []
        self.problems: list[str] = []

    def result(self) -> Undone:
        return Undone(self.last, unique(self.taken_back), unique(self.problems))

    def take_back(self, change: Change) -> None:
        if change.kind == Change.Kind.CREATED:
            self.take_back_creation(change)
        elif change.kind in ENDS:
            self.take_back_end(change)
        elif self.contact is None:
            self.problems.append("is gone by now")
        else:
            for name, sides in sorted(change.fields.items()):
                if name in TOLD:
                    self.take_back_field(self.contact, name, sides)

    def take_back_creation(self, change: Change) -> None:
        if self.contact is None:
            self.problems.append("is gone by now")
        elif self.batch.last_elsewhere.get(change.contact_id, 0) > change.pk:
            self.problems.append(SINCE)
        else:
            self.taken_back.append("its creation")
            self.release_phone()
            self.contact = None

    def take_back_end(self, change: Change) -> None:
        phone = change.fields.get("phone", {}).get("old")
        if self.contact:
            self.problems.append("is there again")
        elif not phone or phone in self.batch.erased:
            self.problems.append("cannot come back: what it held has been forgotten")
        elif problem := self.problem_with_phone(phone):
            self.problems.append(problem)
        else:
            self.contact = self.last = Contact.ended(change)
            for at in self.batch.opt_outs_since(change):
                self.contact.decide(Decision(Change.Kind.OPTED_OUT, at))
            self.taken_back.append("its end")

    def release_phone(self) -> None:
        if self.contact and self.batch.holders.get(self.contact.phone) == self.contact.pk:
            del self.batch.holders[self.contact.phone]

    def problem_with_phone(self, phone: str) -> str:
        """Why the contact cannot have this phone; it is its own from now on, if it can."""
        if self.batch.holders.setdefault(phone, self.last.pk) != self.last.pk:
            return f"another contact has the phone {phone}"
        return ""

    def take_back_field(self, contact: Contact, name: str, sides: Fields) -> None:
        held = contact.told([name])
        try:
            value = PARTS.get(name, whole)(contact, name, sides, self.problems)
        except ValueError as error:
            self.problems.append(str(error))
            return
        if name == "phone" and (problem := self.problem_with_phone(value)):
            self.problems.append(problem)
            return
        if name == "phone":
            self.release_phone()
        setattr(contact, name, value)
        if rules.spelled(contact.told([name])) != rules.spelled(held):
            self.taken_back.append(name)


def unique(lines: list[str]) -> list[str]:
    return list(dict.fromkeys(lines))


# What a field was before. Each raises `ValueError` where it cannot be that again, or adds to
# `problems` what of it cannot.


def whole(contact: Contact, name: str, sides: Fields, problems: list[str]) -> Any:
    [held] = contact.told([name])
    held = moment(held) if name in MOMENTS and held else held
    if rules.spelled(held or None) != rules.spelled(sides["new"]):
        raise ValueError(f"{name} {SINCE}")
    return value_of(name, sides["old"])


def tags(contact: Contact, name: str, sides: Fields, problems: list[str]) -> list[str]:
    """Without those that were added, and with those removed; in their old order, where nobody has
    touched them since."""
    order = sides.get("order")
    if order and contact.tags == order["new"]:
        return order["old"]
    return rules.tags(exchanged(contact.tags, sides["added"], sides["removed"]))


def metadata(contact: Contact, name: str, sides: Fields, problems: list[str]) -> dict[str, Any]:
    """Key by key."""
    held = dict(contact.metadata)
    for key, values in sorted(sides.items()):
        now = {"new": held[key]} if key in held else {}
        written = {"new": values["new"]} if "new" in values else {}
        if rules.spelled(now) != rules.spelled(written):
            problems.append(f"metadata.{key} {SINCE}")
            continue
        held.pop(key, None)
        if "old" in values:
            held[key] = values["old"]
    return rules.metadata(held)


PARTS = {"tags": tags, "metadata": metadata}
