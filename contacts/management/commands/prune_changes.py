from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand
from django.utils import timezone

from contacts.changes import Change
from contacts.management.bulk import age


class Command(BaseCommand):
    help = "Deletes what is old from the change log. The contacts stay."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--older-than", type=age, required=True, metavar="400d")

    def handle(self, *args: Any, **options: Any) -> None:
        number = Change.objects.prune(timezone.now() - options["older_than"])
        self.stdout.write(f"changes deleted: {number}")
