from typing import Any

from django.core.management.base import CommandError

from tenants import isolation
from tenants.management.base import BaseCommand


class Command(BaseCommand):
    help = (
        "Checks that PostgreSQL itself keeps the tenants apart for the connected role. "
        "Exits with status 1 if it does not."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        if problems := isolation.problems():
            raise CommandError("\n".join(problems))
        self.say("Each table with a tenant shows rows to their own tenant only.")
