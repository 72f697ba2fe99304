from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from contacts.exporting import cleanup
from contacts.management.bulk import age


class Command(BaseCommand):
    help = "Deletes old exports, and the files of expired exports. Contacts stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--older-than", type=age, required=True, metavar="30d")

    def handle(self, *args: Any, **options: Any) -> None:
        number = cleanup.delete_older(timezone.now() - options["older_than"])
        self.stdout.write(f"exports deleted: {number}")
