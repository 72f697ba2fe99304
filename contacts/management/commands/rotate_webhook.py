from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from contacts.management.background import webhook


class Command(BaseCommand):
    help = "Gives a webhook a new secret and prints it once. The old secret stays valid for a day."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("webhook", metavar="ID")

    def handle(self, *args: Any, **options: Any) -> None:
        found = webhook(options["webhook"])
        found.rotate()
        self.stdout.write(f"secret: {found.secret}")
