from argparse import ArgumentParser
from collections.abc import Iterator

from django.core.management.base import CommandError
from rest_framework.serializers import Serializer

from contacts.api.contacts import Consented
from contacts.api.fields import CONSENT_STATUS
from contacts.management.bulk import ChosenFix
from contacts.models import Contact
from contacts.writing import consent
from contacts.writing.consent import Decision
from tenants.models import Tenant


class Command(ChosenFix):
    help = "Records that people opted in or out. Of several decisions, the latest --at counts."
    noun = "decisions recorded"
    example = "--phones out.txt --status opted_out --source letter --tenant acme"
    can_be_undone = False

    def add_arguments(self, parser: ArgumentParser) -> None:
        self.add_choice(parser)
        parser.add_argument(
            "--status", required=True, choices=CONSENT_STATUS, help="what the people decided"
        )
        parser.add_argument(
            "--at", metavar="TIMESTAMP", help="when the person decided; default: now"
        )
        parser.add_argument("--source", help="how it was given, e.g. a campaign")
        parser.add_argument("--proof", help="what proves it, e.g. a letter")

    def prepare(self, tenants: list[Tenant]) -> None:
        given: Serializer = Consented(data=self.options)
        if not given.is_valid():
            errors = (f"--{name}: {line}" for name, lines in given.errors.items() for line in lines)
            raise CommandError(" ".join(errors))
        self.decision = Decision(**given.validated_data)
        # Without --at, the command may run again after it was interrupted: it does only the rest.
        self.decide = consent.decide_many if self.options["at"] else consent.decide_many_now
        super().prepare(tenants)

    def fix(self, tenant: Tenant, batch: list[Contact]) -> Iterator[str]:
        for contact in self.decide(self.locked(batch), self.decision):
            state = "out" if contact.opted_out_at else "in" if contact.opted_in_at else "unknown"
            yield f"{contact.phone}: {self.decision.status}, now {state}"
