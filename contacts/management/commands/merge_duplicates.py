from argparse import ArgumentParser
from collections import defaultdict
from collections.abc import Iterator, Sequence
from copy import copy
from typing import Any

from django.core.management.base import CommandError

from contacts.management.bulk import BulkFix, Refused, confirm
from contacts.models import Contact
from contacts.values import likeness
from contacts.writing.merge import merge
from contacts.writing.taken_over import taken_over
from tenants.models import Tenant

Version = int  # see `version_of`


class Command(BulkFix):
    help = (
        "Merges contacts of the same person. The oldest stays, with the newest values. Shows"
        " what it keeps of each, and asks, before it merges."
    )
    noun = "groups merged"
    example = "--by phone-variant --tenant acme --dry-run"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--by", required=True, metavar="WHAT",
            help="phone-variant (such as Brazil's ninth digit, or a country code written twice),"
            " email, or metadata.KEY",
        )  # fmt: skip
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def prepare(self, tenants: list[Tenant]) -> None:
        by = self.options["by"]
        if by not in {"phone-variant", "email"} and by.removeprefix("metadata.") in {by, ""}:
            raise CommandError(f"--by takes phone-variant, email or metadata.KEY, not “{by}”.")
        self.has_key = by in {"phone-variant", "email"}
        self.regions = {tenant.pk: tenant.default_region for tenant in tenants}
        self.shown: set[Version] | None = None  # the groups that may be merged; None: all
        if not (self.options["dry_run"] or self.options["yes"]):
            self.ask(tenants)

    def ask(self, tenants: list[Tenant]) -> None:
        """Shows what a dry run shows, and asks."""
        self.shown, self.options["dry_run"] = set(), True
        number, _ = self.go_through(tenants)
        self.options["dry_run"], self.hides_changes = False, True
        if number:
            confirm(f"{number} groups will be merged.", number, "Nothing was merged")

    def key(self, contact: Contact) -> Any:
        """Contacts with the same key are the same person. None: the contact has no key and is not
        merged."""
        by = self.options["by"]
        if by == "phone-variant":
            return likeness.phone_key(contact.phone, self.regions[contact.tenant_id])
        if by == "email":
            return contact.email_folded or None
        value = contact.metadata.get(by.removeprefix("metadata."))
        is_key = isinstance(value, str | int) and not isinstance(value, bool)
        return (type(value).__name__, value) if is_key and value != "" else None

    def expected(self, tenant: Tenant) -> None:
        """See `batches`, which has two stages for each tenant."""

    def batches(self, tenant: Tenant) -> Iterator[list[list[Contact]]]:
        """Compares the keys in Python: databases compare text in different ways. Keeps all keys of
        the tenant in memory, about 300 bytes each."""
        by = self.options["by"].removeprefix("metadata.")
        found: dict[Any, list[str]] = defaultdict(list)
        self.progress.begin(f"{tenant.slug}: comparing", tenant.contacts.count())
        for batch in self.by_key(tenant.contacts.all()):
            for contact in batch:
                self.has_key = self.has_key or by in contact.metadata
                if (key := self.key(contact)) is not None:
                    found[key].append(contact.pk)
            self.progress.add(len(batch))
        repeated = [pks for pks in found.values() if len(pks) > 1]
        del found
        self.progress.begin(f"{tenant.slug}: merging", len(repeated), "groups")
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
        """Each line says what the contact that stays takes from which contact."""
        groups = batch
        if self.shown is not None and self.options["dry_run"]:
            self.shown |= {version_of(group) for group in batch}
        elif self.shown is not None:
            groups = [group for group in batch if version_of(group) in self.shown]
            for group in batch:
                if version_of(group) not in self.shown:
                    same = ", ".join(contact.phone for contact in group)
                    yield Refused(f"{same}: not merged: changed since you were asked")
        before = {contact.pk: copy(contact) for group in groups for contact in group}
        former = Contact.all_phones.former_phones(before.values())
        for kept, others, problem in merge(groups, self.key):
            gone = ", ".join(contact.phone for contact in others)
            if problem:
                yield Refused(f"{kept.phone}: cannot be merged with {gone}: {problem}")
            else:
                phones = [phone for one in others for phone in (one.phone, *former[one.pk])]
                taken = [f"former phones {', '.join(phones)}"]
                taken += taken_over(kept, [before[kept.pk], *others])
                yield f"{gone} merged into {kept.phone}: {'; '.join(taken)}"


def version_of(group: Sequence[Contact]) -> Version:
    """Another number whenever a contact of the group changes, or the group has other contacts."""
    return hash(tuple((contact.pk, contact.updated_at) for contact in group))
