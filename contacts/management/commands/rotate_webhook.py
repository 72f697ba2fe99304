from argparse import ArgumentParser
from typing import Any

from contacts.management.background import webhook
from tenants.management.base import BaseCommand


class Command(BaseCommand):
    help = "Gives a webhook a new secret and prints it once. The old secret stays valid for a day."
    example = "01J1Y3V8K2N6Q4R7S9T0W5X8ZA"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("webhook", metavar="ID", help="the id of the webhook")

    def handle(self, *args: Any, **options: Any) -> None:
        found = webhook(options["webhook"])
        found.rotate()
        self.stdout.write(f"secret: {found.secret}")
