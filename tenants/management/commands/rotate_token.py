from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from tenants.models import ApiToken


class Command(BaseCommand):
    help = "Gives an API token a new secret and prints it, this once; the old one works a while."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("prefix", help="what the admin and the log show of it: qyvo_ and six")
        parser.add_argument(
            "--overlap-hours", type=int, default=24, help="that the old one works; default: 24"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        hours = options["overlap_hours"]
        if not 0 <= hours <= 24 * 365:
            raise CommandError("--overlap-hours takes a number from 0 to 8760.")
        found = ApiToken.objects.filter(prefix=options["prefix"], revoked_at=None)
        if len(found) != 1:
            raise CommandError(f"There is no token, or not just one, {options['prefix']}.")
        try:
            token = found[0].rotate(timedelta(hours=hours))
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"# {token.name}, for {token.user}; the old one works {hours} h more")
        self.stdout.write(f"export QYVO_TOKEN={token.plaintext}")
