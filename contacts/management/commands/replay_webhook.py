from argparse import ArgumentParser
from typing import Any

from django.core.management.base import CommandError

from contacts.management.background import webhook
from contacts.models import Delivery
from contacts.values import rules
from contacts.webhooks import outbox
from contacts.webhooks.rules import delivery_id
from tenants.management.base import BaseCommand


class Command(BaseCommand):
    help = "Sends dead deliveries of a webhook again, under the same ids; resumes it if paused."
    example = "01J1Y3V8K2N6Q4R7S9T0W5X8ZA --since 2026-05-01T00:00:00Z"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("webhook", metavar="ID", help="the id of the webhook")
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "--delivery", metavar="ID", help="only this delivery, also if it has arrived"
        )
        which.add_argument(
            "--since",
            metavar="TIMESTAMP",
            help="deliveries that were made since then, such as 2026-05-01T00:00:00Z",
        )
        parser.add_argument(
            "--delivered", action="store_true", help="also deliveries that have arrived"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        found, named = webhook(options["webhook"]), options["delivery"] or ""
        try:
            done = outbox.replay_of(
                found,
                delivery=delivery_id(named),
                since=rules.timestamp(options["since"]),
                delivered=options["delivered"],
            )
        except ValueError as error:
            raise CommandError(str(error)) from error
        except Delivery.DoesNotExist:
            raise CommandError(f"This webhook has no delivery “{named}”.") from None
        self.say(f"deliveries to be sent again: {done.number}")
