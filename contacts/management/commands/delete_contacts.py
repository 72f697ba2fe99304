from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime

from django.core.management.base import CommandError
from django.db.models import Q
from django.utils import timezone

from contacts.management.bulk import ChosenFix, confirm
from contacts.models import Contact, ContactQuerySet
from contacts.writing import former_phones
from contacts.writing.delete import delete_many
from tenants.models import Tenant


class Command(ChosenFix):
    help = "Deletes contacts for good. Asks you to type their number first. Their tags stay."
    noun = "contacts deleted"
    example = "--inactive-since 2024-01-01 --tenant acme --dry-run"

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = self.add_choice(parser)
        which.add_argument(
            "--inactive-since", metavar="DATE",
            help="contacts without a change or message since this day, YYYY-MM-DD",
        )  # fmt: skip
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def prepare(self, tenants: list[Tenant]) -> None:
        super().prepare(tenants)
        number = sum(map(self.expected, tenants))
        self.confirmed: int | None = None  # contacts that may still be deleted
        if self.options["dry_run"] or self.options["yes"] or not number:
            return
        confirm(f"{number} contacts will be deleted for good.", number, "Nothing was deleted")
        self.confirmed = number

    def choices(self, tenant: Tenant) -> Iterator[ContactQuerySet]:
        if not self.options["inactive_since"]:
            yield from super().choices(tenant)
            return
        since = self.since()
        quiet = Q(last_message_at=None) | Q(last_message_at__lt=since)
        yield tenant.contacts.filter(quiet, updated_at__lt=since)

    def since(self) -> datetime:
        try:
            moment = datetime.fromisoformat(self.options["inactive_since"])
        except ValueError as error:
            raise CommandError("--inactive-since takes a date, YYYY-MM-DD.") from error
        return moment if moment.tzinfo else timezone.make_aware(moment)

    def fix(self, tenant: Tenant, batch: list[Contact]) -> Iterator[str]:
        """Deletes the contacts of the batch that still match, after locking them."""
        former_phones.lock(batch)
        contacts = self.locked(batch)
        if self.confirmed is not None:
            self.confirmed -= len(contacts)
            if self.confirmed < 0:
                raise CommandError("More contacts match now than before. Run the command again.")
        delete_many(tenant.contacts.filter(pk__in=[contact.pk for contact in contacts]))
        for contact in contacts:
            yield f"{contact.phone} deleted"
