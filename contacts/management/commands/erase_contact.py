import sys
from argparse import ArgumentParser
from contextlib import suppress
from typing import Any

from django.core.management.base import CommandError

from contacts import erasing
from contacts.change_log.cause import caused_by
from contacts.models import Contact
from contacts.values import rules
from tenants.management.base import BaseCommand, add_tenant, tenant_named
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Erases a person by phone: tables, logs and imports keep only a digest of the phone."
    example = "'+33 6 12 34 56 78' --tenant acme"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("phone", help="a phone that the person has or had")
        add_tenant(parser)
        parser.add_argument(
            "--yes", action="store_true", help="do not ask if no contact has the phone"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        tenant = tenant_named(options["tenant"])
        try:
            phone = rules.phone(options["phone"], tenant.default_region)
        except ValueError as error:
            raise CommandError(str(error)) from error
        if not options["yes"]:
            self.ask_if_unknown(tenant, phone)
        with caused_by("command:erase_contact"):
            erased = erasing.erase(tenant, phone)
        self.say("1 contact erased" if erased.was_there else "No contact had this phone.")
        for other in erased.merged_into:
            self.complain(
                f"It was merged into {other}. If this is the same person, erase that contact too."
            )
        self.say(
            "Imports cannot add this phone again. Delete the files that you imported, and their"
            " error files, yourself."
        )
        for job in erased.waiting:
            end = "you import or delete it" if job.is_draft else "a worker has imported it"
            self.complain(f"The upload {job.pk} still contains the phone, until {end}.")
        if erased.unreadable:
            raise CommandError(
                "These files could not be read. Delete the files yourself:"
                f" {', '.join(map(str, erased.unreadable))}."
            )

    def ask_if_unknown(self, tenant: Tenant, phone: str) -> None:
        """Asks to confirm if no contact has the phone. With a mistyped phone, the command would
        block a stranger and keep the person who asked to be erased. Raises `CommandError` if the
        answer is not yes, or if there is no terminal."""
        if tenant.erasures.of([phone]):
            return
        with suppress(Contact.DoesNotExist):
            tenant.contacts.find(phone=phone)
            return
        unknown = f"No contact of {tenant.slug} has {phone}."
        if not sys.stdin.isatty():
            raise CommandError(
                f"{unknown} To erase the phone from logs and imports anyway, and to block it in"
                " imports, add --yes."
            )
        self.stdout.write(unknown)
        question = "Erase the phone from logs and imports, and block it in imports? [y/N] "
        try:
            answer = input(question)
        except EOFError:  # Ctrl-D
            answer = ""
        if answer.strip().lower() not in {"y", "yes"}:
            raise CommandError("Nothing was erased.")
