from collections import Counter
from collections.abc import Container, Iterator
from typing import Any

from django.db.models import Exists, OuterRef

from contacts.change_log.difference import LOGGED
from contacts.management.bulk import BulkFix
from contacts.models import Contact, ContactTag, Note, OptOut, Tag
from contacts.schema import FOLDS, Kind
from contacts.values import rules
from contacts.values.numbering_plans import renumbered
from contacts.writing import notes
from tenants.models import Tenant


class Command(BulkFix):
    help = (
        "Lists contacts that break a rule of this version. Changes nothing. Exit status 1 if there"
        " are any."
    )
    noun = "rules broken"
    unit = "phones"
    example = "--all-tenants"
    can_be_undone = False

    def handle(self, *args: Any, **options: Any) -> None:
        self.broken: Counter[str] = Counter()
        super().handle(*args, **options)

    def finish(self, total: int) -> None:
        if total:
            counts = sorted(self.broken.items())
            self.complain(f"by rule: {', '.join(f'{rule} {number}' for rule, number in counts)}")
            raise SystemExit(1)

    def expected(self, tenant: Tenant) -> int:
        return Contact.all_phones.filter(tenant=tenant).count()

    def batches(self, tenant: Tenant) -> Iterator[list[Any]]:
        yield from super().batches(tenant)
        same = {"tenant": OuterRef("tenant")}
        contacts = Contact.objects.filter(pk=OuterRef("contact_id"), **same)
        tags = Tag.objects.filter(pk=OuterRef("tag_id"), **same)
        links = ContactTag.objects.filter(~Exists(contacts) | ~Exists(tags), tenant=tenant)
        yield from self.grouped(links.order_by("contact_id", "tag_id").iterator())
        yield from self.grouped(notes.lost().filter(tenant=tenant).order_by("pk").iterator())
        former = Contact.all_phones.filter(tenant=tenant, former_of__isnull=False)
        yield from self.grouped(former.order_by("former_of", "phone").iterator())

    def fix(self, tenant: Tenant, batch: list[Any]) -> Iterator[str]:
        if isinstance(batch[0], ContactTag):
            yield from self.check_links(batch)
        elif isinstance(batch[0], Note):
            yield from self.check_notes(batch)
        elif batch[0].former_of_id:
            yield from self.check_former(tenant, batch)
        else:
            yield from self.check_contacts(tenant, batch)

    def check_links(self, batch: list[ContactTag]) -> Iterator[str]:
        for link in batch:
            self.broken["links"] += 1
            yield f"{link.contact_id} links: the contact or its tag {link.tag_id} is missing"

    def check_notes(self, batch: list[Note]) -> Iterator[str]:
        for note in batch:
            self.broken["notes"] += 1
            yield f"{note.contact_id} notes: the contact is gone; prune_changes deletes the note"

    def check_contacts(self, tenant: Tenant, batch: list[Contact]) -> Iterator[str]:
        links: dict[str, set[str]] = {contact.pk: set() for contact in batch}
        found = ContactTag.objects.filter(tenant=tenant, tag__tenant=tenant, contact__in=batch)
        for contact_id, name in found.values_list("contact_id", "tag__name"):
            links[contact_id].add(name)
        opted_out = OptOut.objects.of(tenant.pk, [contact.phone for contact in batch])
        for contact in batch:
            problems = dict(self.problems(contact, opted_out))
            if links[contact.pk] != {*contact.tags}:
                problems["tags"] = "the tags differ from the links to tags"
            for rule, problem in problems.items():
                self.broken[rule] += 1
                yield f"{contact.pk} {rule}: {problem}"

    def check_former(self, tenant: Tenant, batch: list[Contact]) -> Iterator[str]:
        """Former phones that find nobody, or not as they should."""
        rows = Contact.all_phones.filter(tenant=tenant)
        owners = rows.in_bulk({str(row.former_of_id) for row in batch})
        for row in batch:
            for problem in former_problems(row, owners.get(str(row.former_of_id))):
                self.broken["former_phones"] += 1
                yield f"{row.former_of_id} former_phones: {row.phone}: {problem}"

    def problems(self, contact: Contact, opted_out: Container[str]) -> Iterator[tuple[str, str]]:
        """Pairs of a field and a problem. `opted_out`: phones whose owner has opted out; an opt-out
        stays with the phone, also if its contact was deleted."""
        if contact.phone in opted_out and not contact.opted_out_at:
            yield "opted_out_at", "somebody with this phone has opted out"
        for name, rule in CHECKED.items():
            value = getattr(contact, name)
            try:
                is_clean = rules.spelled(rule(value)) == rules.spelled(value)
            except ValueError as error:
                yield name, str(error)
            else:
                if not is_clean:
                    yield name, "differs from what the rule would store"
        for name, fold in FOLDS.items():
            if getattr(contact, f"{name}_folded") != fold(getattr(contact, name)):
                yield f"{name}_folded", "is outdated, so a search may not find the contact"


def former_problems(row: Contact, owner: Contact | None) -> Iterator[str]:
    """What is wrong with the row of a former phone. `owner`: the row that it names."""
    if owner is None:
        yield "the contact is missing, or belongs to another tenant"
    elif owner.former_of_id:
        yield "the contact is a former phone itself"
    if any(getattr(row, name) for name in ("name", "email", "tags", "metadata")):
        yield "the row has values; only a contact may have values"
    if renumbered(row.phone) != row.phone:
        yield f"is an old form of {renumbered(row.phone)}"


# Rules that take what they return. The rule of a moment takes text.
CHECKED = {
    field.name: field.rule for field in LOGGED if field.rule and field.kind is not Kind.MOMENT
}
