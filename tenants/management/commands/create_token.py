from argparse import ArgumentParser
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError
from django.utils import timezone

from tenants.management.base import BaseCommand, user_named
from tenants.models import ApiToken


class Command(BaseCommand):
    help = "Issues an API token to a user and prints it. It cannot be shown again."
    example = "shop@acme.example --name n8n --scope contacts:read --days 90"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("email", help="e-mail address of the user that the token acts for")
        parser.add_argument(
            "--name", default="command line", help="the program that will use the token"
        )
        parser.add_argument("--days", type=int, help="days until the token expires; default: never")
        parser.add_argument(
            "--rate-limit",
            type=int,
            help="requests per minute, 0 for no limit; default: RATELIMIT_DEFAULT",
        )
        parser.add_argument(
            "--scope", action="append", choices=ApiToken.Scope.values, dest="scopes",
            help="what the token may do; repeat the option for several; default: everything",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        user = user_named(options["email"])
        if not user.is_active:
            raise CommandError(f"{user.email} is disabled: the API would refuse the token.")
        days = options["days"]
        if days is not None and not 0 < days <= 36_500:
            raise CommandError("--days takes a number from 1 to 36500.")
        rate_limit = options["rate_limit"]
        if rate_limit is not None and not 0 <= rate_limit <= 1_000_000:
            raise CommandError("--rate-limit takes a number from 0 to 1000000.")
        expires_at = None if days is None else timezone.now() + timedelta(days=days)
        scopes = [*dict.fromkeys(options["scopes"] or ApiToken.Scope.values)]
        token = ApiToken.objects.issue(
            user, options["name"][:100], expires_at=expires_at, rate_limit=rate_limit, scopes=scopes
        )
        self.say(f"# {token.name}, for {user.email} of {user.tenant or 'no tenant'}")
        self.say(f"# expires: {expires_at.isoformat('T', 'seconds') if expires_at else 'never'}")
        self.say(f"# scopes:  {' '.join(token.scopes)}")
        self.stdout.write(f"export QYVO_TOKEN={token.plaintext}")
