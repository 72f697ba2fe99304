from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError

from contacts.management.bulk import BulkFix, Refused
from contacts.models import Contact
from contacts.values import phones
from contacts.writing.merge import merge
from tenants.models import Tenant


class Command(BulkFix):
    help = "Merges contacts of the same person. The oldest stays, with the newest values."
    noun = "groups merged"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--by", required=True, metavar="WHAT",
            help="phone-variant (Brazil's ninth digit, Mexico's 1, Argentina's 9), email, or"
            " metadata.KEY",
        )  # fmt: skip

    def prepare(self, tenants: list[Tenant]) -> None:
        by = self.options["by"]
        if by not in {"phone-variant", "email"} and by.removeprefix("metadata.") in {by, ""}:
            raise CommandError(f"--by takes phone-variant, email or metadata.KEY, not “{by}”.")
        self.has_key = by in {"phone-variant", "email"}

    def key(self, contact: Contact) -> Any:
        """Contacts with the same key are the same person. None: the contact has no key and is not
        merged."""
        by = self.options["by"]
        if by == "phone-variant":
            return phones.variant_key(contact.phone)
        if by == "email":
            return contact.email_folded or None
        value = contact.metadata.get(by.removeprefix("metadata."))
        is_key = isinstance(value, str | int) and not isinstance(value, bool)
        return (type(value).__name__, value) if is_key and value != "" else None

    def batches(self, tenant: Tenant) -> Iterator[list[list[Contact]]]:
        """Compares the keys in Python: databases compare text in different ways. Keeps all keys of
        the tenant in memory, about 300 bytes each."""
        by = self.options["by"].removeprefix("metadata.")
        found: dict[Any, list[str]] = defaultdict(list)
        for batch in self.by_key(tenant.contacts.all()):
            for contact in batch:
                self.has_key = self.has_key or by in contact.metadata
                if (key := self.key(contact)) is not None:
                    found[key].append(contact.pk)
        repeated = [pks for pks in found.values() if len(pks) > 1]
        del found
        for part in self.grouped(repeated):
            contacts = tenant.contacts.in_bulk([pk for pks in part for pk in pks])
            groups = [[contacts[pk] for pk in pks if pk in contacts] for pks in part]
            yield [group for group in groups if group]

    def finish(self, total: int) -> None:
        """Raises `CommandError` if no contact has the metadata key: it is probably mistyped."""
        if not self.has_key:
            key = self.options["by"].removeprefix("metadata.")
            raise CommandError(f"No contact has “{key}” in its metadata.")

    def fix(self, tenant: Tenant, batch: list[list[Contact]]) -> Iterator[str]:
        for kept, others, problem in merge(batch, self.key):
            gone = ", ".join(contact.phone for contact in others)
            if problem:
                yield Refused(f"{kept.phone}: cannot be merged with {gone}: {problem}")
            else:
                yield f"{gone} merged into {kept.phone}"
