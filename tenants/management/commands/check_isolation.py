from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tenants import isolation


class Command(BaseCommand):
    help = "Whether PostgreSQL itself keeps the tenants apart for this role; exit status 1 if not."

    def handle(self, *args: Any, **options: Any) -> None:
        if problems := isolation.problems():
            raise CommandError("\n".join(problems))
        self.stdout.write("Each table with a tenant shows its rows to that tenant only.")
