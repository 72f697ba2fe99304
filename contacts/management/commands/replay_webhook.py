from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from contacts.management.background import webhook
from contacts.models import Delivery
from contacts.values import rules


class Command(BaseCommand):
    help = "Sends a webhook again what it was told, under the same ids; it goes on if paused."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("webhook", metavar="ID")
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--delivery", metavar="ID", help="this one")
        which.add_argument("--since", metavar="TIMESTAMP", help="those made since then")
        parser.add_argument(
            "--delivered", action="store_true", help="also what has arrived, not only what is dead"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = webhook(options["webhook"])
        try:
            if options["delivery"]:
                chosen = found.mine().filter(pk=rules.contact_id(options["delivery"]))
            else:
                chosen = found.mine().filter(created_at__gte=rules.timestamp(options["since"]))
        except ValueError as error:
            raise CommandError(str(error)) from error
        if options["delivery"] and not chosen.exists():
            raise CommandError(f"This webhook has no delivery “{options['delivery']}”.")
        over = chosen.exclude(state=Delivery.State.PENDING)
        if not options["delivered"]:
            over = over.exclude(state=Delivery.State.DELIVERED)
        number = over.replay()
        found.resume()
        self.stdout.write(f"deliveries to be sent again: {number}")
