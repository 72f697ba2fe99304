from argparse import ArgumentParser
from typing import Any

from django.utils import timezone

from contacts.exporting import cleanup
from contacts.management.bulk import add_age
from tenants.management.base import BaseCommand


class Command(BaseCommand):
    help = "Deletes old exports, and the files of expired exports. Contacts stay."
    example = "--older-than 30d"

    def add_arguments(self, parser: ArgumentParser) -> None:
        add_age(parser, "30d")

    def handle(self, *args: Any, **options: Any) -> None:
        number = cleanup.delete_older(timezone.now() - options["older_than"])
        self.say(f"exports deleted: {number}")
