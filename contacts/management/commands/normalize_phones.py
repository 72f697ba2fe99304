from argparse import ArgumentParser
from collections.abc import Iterator

from contacts.management.bulk import BulkFix, Refused, region
from contacts.models import Contact
from contacts.values import phones
from contacts.values.numbering_plans import renumbered
from contacts.writing import edit, merge, renumber
from tenants.models import Tenant


class Command(BulkFix):
    help = (
        "Rewrites stored phones by the rule of this version. Merges contacts that have a number in"
        " its old and its new form. Reports other phones that another contact already has."
    )
    noun = "phones changed"
    example = "--all-tenants --dry-run"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--region", metavar="XX", help="country of phones without +")
        parser.add_argument(
            "--merge", action="store_true", help="always merge with the contact that has the phone"
        )

    def prepare(self, tenants: list[Tenant]) -> None:
        region(self.options["region"])

    def batches(self, tenant: Tenant) -> Iterator[list[Contact]]:
        """All contacts, then the former phones that are stored in an old form, which are few."""
        yield from super().batches(tenant)
        former = Contact.all_phones.filter(tenant=tenant, former_of__isnull=False)
        rows = former.order_by("former_of", "phone").iterator()
        yield from self.grouped([row for row in rows if renumbered(row.phone) != row.phone])

    def fix(self, tenant: Tenant, batch: list[Contact]) -> Iterator[str]:
        fix = self.fix_former if batch[0].former_of_id else self.fix_contacts
        yield from fix(tenant, batch)

    def fix_former(self, tenant: Tenant, batch: list[Contact]) -> Iterator[str]:
        """Brings former phones up to date that are stored in an old form."""
        wanted = {row.phone: renumbered(row.phone) for row in batch}
        for phone, new in wanted.items():
            yield f"{phone} → {new}, a former phone"
        for contact, others, problem in renumber.bring_up_to_date(tenant.pk, wanted.values()):
            yield merge_line(contact, others, problem)

    def fix_contacts(self, tenant: Tenant, batch: list[Contact]) -> Iterator[str]:
        wanted: dict[str, str] = {}
        for contact in batch:
            try:
                wanted[contact.phone] = phones.normalise(contact.phone, self.options["region"])
            except phones.PhoneError as error:
                yield Refused(f"{contact.phone}: {error}")
        wanted = {phone: new for phone, new in wanted.items() if phone != new}
        goals = dict.fromkeys(wanted.values())
        groups = renumber.locked_groups(tenant.pk, {phone: phone for phone in goals} | wanted)
        alone = {phone: group[0] for phone, group in groups.items() if len(group) == 1}
        for phone, contact in alone.items():
            yield f"{contact.phone} → {phone}"
        self.move(alone)
        several = {phone: group for phone, group in groups.items() if len(group) > 1}
        merged = {
            phone: group
            for phone, group in several.items()
            if self.options["merge"] or is_renumbered(phone, group)
        }
        yield from self.merge(merged)
        yield from reported({phone: several[phone] for phone in several.keys() - merged.keys()})

    def merge(self, groups: dict[str, list[Contact]]) -> Iterator[str]:
        phone_of = {contact.pk: phone for phone, group in groups.items() for contact in group}
        kept = {}
        for contact, others, problem in merge.merge([*groups.values()]):
            phone = phone_of[contact.pk]
            line = merge_line(contact, others, problem)
            yield line if problem else f"{line}, now {phone}"
            if not problem:
                kept[phone] = contact
        self.move(kept)

    def move(self, contacts: dict[str, Contact]) -> None:
        for phone, contact in contacts.items():
            contact.phone = phone
        edit.change_many([*contacts.values()], ["phone"])


def merge_line(contact: Contact, others: list[Contact], problem: str) -> str:
    gone = ", ".join(other.phone for other in others)
    if problem:
        return Refused(f"{contact.phone}: cannot be merged with {gone}: {problem}")
    return f"{gone} merged into {contact.phone}"


def is_renumbered(phone: str, group: list[Contact]) -> bool:
    """Whether the contacts have the same phone, in its form of today and in old forms: then they
    are one person for sure."""
    return all(renumbered(contact.phone) == phone for contact in group)


def reported(groups: dict[str, list[Contact]]) -> Iterator[str]:
    """`groups`: the contacts that would all get the same phone, by this phone."""
    for phone, group in groups.items():
        for contact in group:
            if contact.phone != phone:
                yield Refused(f"{contact.phone}: another contact has {phone}; see --merge")
