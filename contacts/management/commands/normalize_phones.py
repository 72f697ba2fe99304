from argparse import ArgumentParser
from collections.abc import Iterator

from contacts import phones
from contacts.management.bulk import BulkFix
from contacts.models import Contact
from tenants.models import Tenant


class Command(BulkFix):
    help = "Brings stored phones to today's rule. A phone that another contact has is reported."
    noun = "phones to mend"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("--region", metavar="XX", help="country of phones without +")
        parser.add_argument(
            "--merge", action="store_true", help="merge with the contact that has the phone"
        )

    def fix(self, tenant: Tenant, batch: list[Contact]) -> Iterator[str]:
        groups: dict[str, list[Contact]] = {}
        for contact in batch:
            try:
                phone = phones.normalise(contact.phone, self.options["region"])
            except phones.PhoneError as error:
                yield f"{contact.phone}: {error}"
            else:
                if phone != contact.phone:
                    groups.setdefault(phone, []).append(contact)
        for holder in tenant.contacts.filter(phone__in=groups):
            groups[holder.phone].append(holder)
        alone = {phone: group[0] for phone, group in groups.items() if len(group) == 1}
        for phone, contact in alone.items():
            yield f"{contact.phone} → {phone}"
        self.move(alone)
        several = {phone: group for phone, group in groups.items() if len(group) > 1}
        yield from self.merge(tenant, several) if self.options["merge"] else reported(several)

    def merge(self, tenant: Tenant, groups: dict[str, list[Contact]]) -> Iterator[str]:
        kept = {}
        results = tenant.contacts.merge([*groups.values()])
        for (phone, group), (contact, problem) in zip(groups.items(), results, strict=True):
            others = ", ".join(sorted(c.phone for c in group if c.pk != contact.pk))
            if problem:
                yield f"{contact.phone}: cannot be merged with {others}: {problem}"
            else:
                yield f"{others} merged into {contact.phone}, now {phone}"
                kept[phone] = contact
        self.move(kept)

    def move(self, contacts: dict[str, Contact]) -> None:
        for phone, contact in contacts.items():
            contact.phone = phone
        Contact.objects.change_many([*contacts.values()], ["phone"])


def reported(groups: dict[str, list[Contact]]) -> Iterator[str]:
    for phone, group in groups.items():
        for contact in group:
            if contact.phone != phone:
                yield f"{contact.phone}: would be {phone}, as another contact; see --merge"
