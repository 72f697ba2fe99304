from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError

from contacts import rules
from contacts.management.bulk import BulkFix, Refused
from contacts.undo import contact_ids, undo
from tenants.models import Tenant


class Command(BulkFix):
    help = "Takes back all that a command, an import or a request did, where nobody changed it."
    noun = "contacts as they were"

    def add_whose(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--change-set", required=True, metavar="ID", help="what it printed, or the import's id"
        )

    def tenants(self) -> list[Tenant]:
        """Those that it changed: a command may go through all."""
        try:
            self.undone = rules.contact_id(self.options["change_set"])
        except ValueError:
            self.undone = ""
        every = Tenant.objects.order_by("slug") if self.undone else ()
        found = [t for t in every if t.changes.filter(change_set=self.undone).exists()]
        if not found:
            raise CommandError(f"Nothing was changed under “{self.options['change_set']}”.")
        return found

    def batches(self, tenant: Tenant) -> Iterator[list[Any]]:
        return contact_ids(tenant, self.undone, self.size)

    def fix(self, tenant: Tenant, batch: list[str]) -> Iterator[str]:
        for contact, taken_back, problems in undo(tenant, self.undone, batch):
            name = contact.phone or contact.pk
            if taken_back:
                yield f"{name}: {', '.join(taken_back)}"
            for problem in problems:
                yield Refused(f"{name}: {problem}")
