from argparse import ArgumentParser
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from django.core.management.base import CommandError
from django.db.models import Q
from django.utils import timezone

from contacts import rules
from contacts.management.bulk import BulkFix
from contacts.models import Contact, ContactQuerySet
from tenants.models import Tenant


class Command(BulkFix):
    help = "Deletes contacts for good, after their number has been typed. Their tags stay."
    noun = "contacts deleted"

    def add_arguments(self, parser: ArgumentParser) -> None:
        super().add_arguments(parser)
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--phones", type=Path, metavar="FILE", help="one phone a line")
        which.add_argument("--tag", help="those that carry it")
        which.add_argument(
            "--inactive-since", metavar="DATE", help="not changed and no message since, YYYY-MM-DD"
        )
        parser.add_argument("--yes", action="store_true", help="do not ask")

    def prepare(self, tenants: list[Tenant]) -> None:
        self.numbers = self.read_phones(tenants) if self.options["phones"] else {}
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

    def read_phones(self, tenants: list[Tenant]) -> dict[str, set[str]]:
        """The phones of the file by tenant, in whose region each is read."""
        try:
            lines = self.options["phones"].read_text().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise CommandError(f"{self.options['phones']}: {error}") from error
        found: dict[str, set[str]] = {tenant.pk: set() for tenant in tenants}
        for number, line in enumerate(lines, 1):
            for tenant in tenants:
                if line.strip():
                    try:
                        found[tenant.pk].add(rules.phone(line, tenant.default_region))
                    except ValueError as error:
                        raise CommandError(f"line {number}: {error}") from error
        return found

    def choices(self, tenant: Tenant) -> Iterator[ContactQuerySet]:
        """Those to delete; phones some at a time, as many as a statement takes."""
        contacts = tenant.contacts.all()
        if self.options["phones"]:
            for some in self.grouped(sorted(self.numbers[tenant.pk])):
                yield contacts.filter(phone__in=some)
        elif self.options["tag"] is not None:
            yield contacts.with_tag(self.options["tag"])
        else:
            since = self.since()
            quiet = Q(last_message_at=None) | Q(last_message_at__lt=since)
            yield contacts.filter(quiet, updated_at__lt=since)

    def since(self) -> datetime:
        try:
            moment = datetime.fromisoformat(self.options["inactive_since"])
        except ValueError as error:
            raise CommandError("--inactive-since takes a date, YYYY-MM-DD.") from error
        return moment if moment.tzinfo else timezone.make_aware(moment)

    def batches(self, tenant: Tenant) -> Iterator[list[Any]]:
        for chosen in self.choices(tenant):
            self.chosen = chosen
            yield from self.by_key(chosen)

    def fix(self, tenant: Tenant, batch: list[Contact]) -> Iterator[str]:
        """Those of the batch that are still to be deleted, now that they are locked."""
        pks = [contact.pk for contact in batch]
        locked = self.chosen.filter(pk__in=pks).order_by("phone").select_for_update(of=("self",))
        contacts = list(locked)
        if self.agreed is not None:
            self.agreed -= len(contacts)
            if self.agreed < 0:
                raise CommandError("By now more contacts match than were counted; run it again.")
        Contact.objects.filter(pk__in=[contact.pk for contact in contacts]).delete()
        for contact in contacts:
            yield f"{contact.phone} deleted"
