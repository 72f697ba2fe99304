from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from contacts.management.background import webhook
from contacts.models import Delivery
from contacts.values import rules
from contacts.webhooks import outbox


class Command(BaseCommand):
    help = "Sends dead deliveries of a webhook again, under the same ids; resumes it if paused."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("webhook", metavar="ID")
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument("--delivery", metavar="ID", help="only this delivery")
        which.add_argument("--since", metavar="TIMESTAMP", help="deliveries made since then")
        parser.add_argument(
            "--delivered", action="store_true", help="also deliveries that have arrived"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found = webhook(options["webhook"])
        deliveries = found.own_deliveries()
        try:
            if options["delivery"]:
                chosen = deliveries.filter(pk=rules.contact_id(options["delivery"]))
            else:
                chosen = deliveries.filter(created_at__gte=rules.timestamp(options["since"]))
        except ValueError as error:
            raise CommandError(str(error)) from error
        if options["delivery"] and not chosen.exists():
            raise CommandError(f"This webhook has no delivery “{options['delivery']}”.")
        finished = chosen.exclude(state=Delivery.State.PENDING)
        if not options["delivered"]:
            finished = finished.exclude(state=Delivery.State.DELIVERED)
        number = outbox.replay(finished)
        outbox.resume(found)
        self.stdout.write(f"deliveries to be sent again: {number}")
