from argparse import ArgumentParser
from typing import Any

from tenants import two_factor
from tenants.management.base import BaseCommand, user_named


class Command(BaseCommand):
    help = "Turns two-factor login off for a user who has lost the phone and the recovery codes."
    example = "shop@acme.example"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "email", help="e-mail address of the user; the password does not change"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        user = user_named(options["email"])
        is_changed = two_factor.turn_off(user)
        self.say(f"two-factor login of {user.email}: {'off' if is_changed else 'was already off'}")
