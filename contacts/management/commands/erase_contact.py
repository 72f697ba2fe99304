from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from contacts import rules, uploads
from contacts.changes import caused_by
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Forgets the person with a phone: no table, log or import keeps anything but a digest."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("phone")
        parser.add_argument("--tenant", required=True, metavar="SLUG")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant = Tenant.objects.get(slug=options["tenant"])
            phone = rules.phone(options["phone"], tenant.default_region)
        except Tenant.DoesNotExist:
            raise CommandError(f"There is no tenant “{options['tenant']}”.") from None
        except ValueError as error:
            raise CommandError(str(error)) from error
        with caused_by("command:erase_contact"):
            was_there, others = tenant.contacts.erase(tenant, phone)
        found = uploads.erase(tenant, phone)
        self.stdout.write("1 contact erased" if was_there else "No contact had this phone.")
        for other in others:
            self.stdout.write(f"It was merged into {other}: erase that too, if it is the same.")
        self.stdout.write(
            "Imports will not bring it back. Files that you imported, and error files beside them,"
            " are yours to delete."
        )
        for job in found.waiting:
            end = "it is imported or deleted" if job.is_draft else "a worker has run it"
            self.stdout.write(f"An upload waits, and goes when {end}: {job.pk}.")
        if found.failed:
            raise CommandError(
                f"Not looked through, delete them: {', '.join(map(str, found.failed))}."
            )
