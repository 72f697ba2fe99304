from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime

from django.core.management.base import CommandError
from django.db.models import Q
from django.utils import timezone

from contacts.management.bulk import ChosenFix
from contacts.models import Contact, ContactQuerySet
from contacts.writing.delete import delete_many
from tenants.models import Tenant


class Command(ChosenFix):
    help = "Deletes contacts for good, after their number has been typed. Their tags stay."
    noun = "contacts deleted"

    def add_arguments(self, parser: ArgumentParser) -> None:
        which = self.add_choice(parser)
        which.add_argument(
            "--inactive-since", metavar="DATE", help="not changed and no message since, YYYY-MM-DD"
        )
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def prepare(self, tenants: list[Tenant]) -> None:
        super().prepare(tenants)
        number = sum(chosen.count() for tenant in tenants for chosen in self.choices(tenant))
        self.agreed: int | None = None
        if self.options["dry_run"] or self.options["yes"] or not number:
            return
        try:
            typed = input(f"{number} contacts will be deleted for good. Type the number: ")
        except EOFError:
            raise CommandError("Nobody is there to type the number; see --yes.") from None
        if typed.strip() != str(number):
            raise CommandError("Nothing was deleted.")
        self.agreed = number

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
        """Those of the batch that are still to be deleted, now that they are locked."""
        contacts = self.locked(batch)
        if self.agreed is not None:
            self.agreed -= len(contacts)
            if self.agreed < 0:
                raise CommandError("By now more contacts match than were counted; run it again.")
        delete_many(Contact.objects.filter(pk__in=[contact.pk for contact in contacts]))
        for contact in contacts:
            yield f"{contact.phone} deleted"
