import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from contacts import erasing
from contacts.change_log.cause import caused_by
from contacts.values import rules
from contacts.values.digests import phone_digest
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Forgets the person with a phone: no table, log or import keeps anything but a digest."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("phone")
        parser.add_argument("--tenant", required=True, metavar="SLUG")
        parser.add_argument(
            "--yes", action="store_true", help="do not ask where no contact has the phone"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            tenant = Tenant.objects.get(slug=options["tenant"])
            phone = rules.phone(options["phone"], tenant.default_region)
        except Tenant.DoesNotExist:
            raise CommandError(f"There is no tenant “{options['tenant']}”.") from None
        except ValueError as error:
            raise CommandError(str(error)) from error
        if not options["yes"]:
            self.ask_if_unknown(tenant, phone)
        with caused_by("command:erase_contact"):
            erased = erasing.erase(tenant, phone)
        self.stdout.write("1 contact erased" if erased.was_there else "No contact had this phone.")
        for other in erased.merged_into:
            self.stdout.write(f"It was merged into {other}: erase that too, if it is the same.")
        self.stdout.write(
            "Imports will not bring it back. Files that you imported, and error files beside them,"
            " are yours to delete."
        )
        for job in erased.waiting:
            end = "it is imported or deleted" if job.is_draft else "a worker has run it"
            self.stdout.write(f"An upload waits, and goes when {end}: {job.pk}.")
        if erased.unreadable:
            raise CommandError(
                f"Not looked through, delete them: {', '.join(map(str, erased.unreadable))}."
            )

    def ask_if_unknown(self, tenant: Tenant, phone: str) -> None:
        """Asks before a phone is blocked that no contact has. A mistyped phone would be blocked,
        and the person who asked to be erased would stay. Raises `CommandError` if the answer is not
        yes, and where nobody can answer."""
        blocked = tenant.erasures.filter(digest=phone_digest(phone))
        if tenant.contacts.filter(phone=phone).exists() or blocked.exists():
            return
        unknown = f"No contact of {tenant.slug} has {phone}."
        if not sys.stdin.isatty():
            raise CommandError(
                f"{unknown} To erase it from logs and imports all the same, and to keep imports"
                " from bringing it back, add --yes."
            )
        self.stdout.write(unknown)
        question = "Erase it from logs and imports, and keep imports from bringing it back? [y/N] "
        try:
            answer = input(question)
        except EOFError:  # Ctrl-D
            answer = ""
        if answer.strip().lower() not in {"y", "yes"}:
            raise CommandError("Nothing was erased.")
