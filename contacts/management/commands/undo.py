from argparse import ArgumentParser
from collections.abc import Iterator
from typing import Any

from django.core.management.base import CommandError

from contacts.management.bulk import BulkFix, Refused
from contacts.writing.undo import ChangeSet, contact_ids, undo
from tenants.models import Tenant


class Command(BulkFix):
    help = "Undoes everything that one command, import or request did. Later edits are kept."
    noun = "contacts changed back"
    example = "--change-set 01J1Y3V8K7B6S4P3D8E5G9H2JK --dry-run"

    def add_tenant_options(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--change-set",
            required=True,
            metavar="ID",
            help="the id that the command printed, or the import's id",
        )

    def tenants(self) -> list[Tenant]:
        """The tenants that the change set changed: a command may change all of them."""
        found = ChangeSet(self.options["change_set"], Tenant.objects.all())
        if not found.tenants:
            raise CommandError(f"There are no changes with the id “{self.options['change_set']}”.")
        self.undone = found.id
        return found.tenants

    def expected(self, tenant: Tenant) -> int:
        changes = tenant.changes.filter(change_set=self.undone)
        return changes.values("contact_id").distinct().count()

    def batches(self, tenant: Tenant) -> Iterator[list[Any]]:
        return contact_ids(tenant, self.undone, lambda: self.size)

    def fix(self, tenant: Tenant, batch: list[str]) -> Iterator[str]:
        for undone in undo(tenant, self.undone, batch, dry_run=self.options["dry_run"]):
            yield from undone.lines()
            yield from map(Refused, undone.refusals())
