import sys
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import DatabaseError, connections

from contacts.management.progress import Progress
from contacts.moving import database
from contacts.moving.database import SOURCE, TARGET, CannotMove
from tenants.management.base import BaseCommand


class Command(BaseCommand):
    help = "Moves everything to another database, such as from SQLite to PostgreSQL, or back."
    example = "--to postgres://user@localhost/qyvo"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--to", required=True, metavar="URL",
            help="the other database, as in DATABASE_URL; - reads it from standard input. Other "
            "users of this machine can see arguments",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        given = options["to"]
        try:
            url = sys.stdin.readline().strip() if given == "-" else given
            entry = settings.DATABASE_FROM(url, "--to")
        except ImproperlyConfigured as error:
            raise CommandError(str(error)) from None
        with database.target_database(entry):
            if place(SOURCE) == place(TARGET):
                raise CommandError("--to is the database that is in use.")
            try:
                moved = self.move()
            except CannotMove as error:
                raise CommandError(str(error)) from error
            except DatabaseError as error:
                raise CommandError(
                    f"{str(error).strip()}\nNothing is lost: this database is as it was, and the"
                    " same command goes on where this one has ended."
                ) from error
        tables = self.listing(self.say, 10, "more tables")
        for name, count in sorted(moved.tables.items(), key=lambda item: -item[1]):
            tables.add(f"{name} {count}")
        tables.end()
        self.say(
            f"{moved.rows} rows of {len(moved.tables)} tables are the same in both databases. Set"
            " DATABASE_URL to the new one, then start the server and the worker. Keep the secret"
            " keys and the data folder."
        )

    def move(self) -> database.Moved:
        call_command("migrate", database=TARGET, verbosity=0)
        database.refuse_what_cannot_be_moved()
        total = 2 * database.number_of_rows()  # copied, then compared
        with Progress(self) as progress:
            progress.begin(total=total, unit="rows")
            return database.move(progress.add)


def place(using: str) -> tuple[str, ...]:
    """Where a database is, to see whether two are the same one."""
    entry = connections[using].settings_dict
    return entry["ENGINE"], *(str(entry[name]) for name in ("NAME", "HOST", "PORT"))
