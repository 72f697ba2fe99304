from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError

from tenants.management.base import BaseCommand
from tenants.models import ApiToken


class Command(BaseCommand):
    help = (
        "Replaces an API token by a new one and prints the new token, which cannot be shown again. "
        "The old token works a while longer."
    )
    example = "qyvo_mK3xZ9 --overlap-hours 48"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "prefix",
            help="the part of the token that the admin and the log show: qyvo_ and six more",
        )
        parser.add_argument(
            "--overlap-hours",
            type=int,
            default=24,
            help="hours that the old token still works; default: 24",
        )

    def handle(self, *args: Any, **options: Any) -> None:
        hours = options["overlap_hours"]
        if not 0 <= hours <= 24 * 365:
            raise CommandError("--overlap-hours takes a number from 0 to 8760.")
        found = ApiToken.objects.filter(prefix=options["prefix"], revoked_at=None)
        if len(found) != 1:
            raise CommandError(
                f"{len(found)} tokens that are not revoked begin with {options['prefix']}, "
                "but the command needs exactly one."
            )
        try:
            token = found[0].rotate(timedelta(hours=hours))
        except ValueError as error:
            raise CommandError(str(error)) from error
        self.say(f"# {token.name}, for {token.user}; the old token works {hours} h longer")
        self.stdout.write(f"export QYVO_TOKEN={token.plaintext}")
