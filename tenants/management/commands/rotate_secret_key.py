from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError

from tenants import keys
from tenants.management.base import BaseCommand

AFTERWARDS = """\
Then restart all servers and workers. People stay logged in, and links and cursors that were handed
out stay valid. After two weeks no session of the old key is left: run rotate_secret_key --forget.
The secrets of webhooks and of two-factor logins stay as they are, and so do the digests of erased
people, of people who opted out, and of known addresses: DATA_KEY makes them, not SECRET_KEY."""
IF_KNOWN = """\
If others may know the old key and have a copy of the database, they know these secrets, too. Then
run rotate_webhook for each webhook, and reset_two_factor for each user."""


class Command(BaseCommand):
    help = (
        "Replaces SECRET_KEY. A key that was generated in DATA_DIR is replaced there; for a key of "
        "the environment, prints the variables to set."
    )
    notes = f"{AFTERWARDS}\n{IF_KNOWN}"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--forget",
            action="store_true",
            help="end the validity of the old keys: logs out who has not used the admin since",
        )

    def handle(self, *args: Any, forget: bool, **options: Any) -> None:
        try:
            if forget:
                self.forget()
            elif keys.read_secret(settings.DATA_DIR / keys.SECRET) == settings.SECRET_KEY:
                keys.replace_generated(settings.DATA_DIR)
                self.say(f"SECRET_KEY was replaced in DATA_DIR.\n{AFTERWARDS}\n{IF_KNOWN}")
            else:
                self.print_variables()
        except OSError as error:
            raise CommandError(f"A key in DATA_DIR cannot be written: {error}") from error

    def print_variables(self) -> None:
        self.say("# Set these variables, the same on every machine:")
        self.stdout.write(self.variables())
        for line in f"{AFTERWARDS}\n{IF_KNOWN}".splitlines():
            self.say(f"# {line}")

    @staticmethod
    def variables() -> str:
        values = {
            "SECRET_KEY": keys.new_secret(),
            "SECRET_KEY_FALLBACKS": ",".join([settings.SECRET_KEY, *settings.SECRET_KEY_FALLBACKS]),
            "DATA_KEY": settings.DATA_KEY,
        }
        return "\n".join(f"{name}={value}" for name, value in values.items())

    def forget(self) -> None:
        path = settings.DATA_DIR / keys.FALLBACK
        if path.exists():
            path.unlink()
            self.say("The old keys are gone. Restart all servers and workers.")
        elif settings.SECRET_KEY_FALLBACKS:
            self.complain("Remove SECRET_KEY_FALLBACKS from the environment, and restart.")
        else:
            self.say("There is no old key. Nothing was changed.")
