"""What all commands share: `--quiet`, how much they print, and an example in `--help`."""

from argparse import SUPPRESS, ArgumentParser
from collections.abc import Callable
from math import inf
from typing import Any

from django.core.management import base
from django.core.management.base import CommandError

from tenants.models import Tenant, User

QUIET, EVERYTHING = 0, 2  # values of --verbosity
SHOWN = 7  # lines of a list. With two lists and their totals, a command prints at most 20 lines


class HelpFormatter(base.DjangoHelpFormatter):
    """Leaves a paragraph with indented lines as it is, so that people can copy the example."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        fill = super()._fill_text
        parts = text.split("\n\n")
        return "\n\n".join(each if "\n  " in each else fill(each, width, indent) for each in parts)


class Listing:
    """Lines of which only the first `most` are written; counts the others. `rest`: what stands
    after the number of the others."""

    def __init__(self, write: Callable[[str], object], most: float, rest: str) -> None:
        self.write = write
        self.most = most
        self.rest = rest
        self.number = 0

    def add(self, line: str) -> None:
        self.number += 1
        if self.number <= self.most:
            self.write(line)

    def end(self) -> None:
        if self.number > self.most:
            self.write(f"and {self.number - int(self.most):,} {self.rest}")


class BaseCommand(base.BaseCommand):
    """`example`: the arguments of an example. `notes`: what `--help` says after the options."""

    example = ""
    notes = ""
    verbosity = 1

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> base.CommandParser:
        example = f"Example:\n  manage.py {subcommand} {self.example}".rstrip()
        epilog = f"{self.notes}\n\n{example}".lstrip()
        kwargs |= {"formatter_class": HelpFormatter, "epilog": epilog}
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        # Before it, the parser has given `verbosity` the default of --verbosity.
        parser.add_argument(
            "--quiet", action="store_const", const=QUIET, dest="verbosity", default=SUPPRESS,
            help="print errors only, and what the command is asked for; the same as --verbosity 0",
        )  # fmt: skip
        return parser

    def execute(self, *args: Any, **options: Any) -> str | None:
        self.verbosity = options["verbosity"]
        return super().execute(*args, **options)

    @property
    def is_quiet(self) -> bool:
        return self.verbosity == QUIET

    def say(self, line: str) -> None:
        """For what --quiet leaves out. What a command is asked for, such as a token, goes to
        `stdout` itself."""
        if not self.is_quiet:
            self.stdout.write(line)

    def complain(self, line: str) -> None:
        """For what did not work. With --quiet it goes to standard error, where nothing else is."""
        stream = self.stderr if self.is_quiet else self.stdout
        stream.write(line, str)

    def listing(
        self, write: Callable[[str], object], most: int = SHOWN, rest: str = "more"
    ) -> Listing:
        hidden = f"{rest}: --verbosity {EVERYTHING} lists all"
        return Listing(write, inf if self.verbosity >= EVERYTHING else most, hidden)


def add_tenant(parser: ArgumentParser, text: str = "the tenant, by its name in commands") -> None:
    parser.add_argument("--tenant", required=True, metavar="SLUG", help=text)


def tenant_named(slug: str, returncode: int = 1) -> Tenant:
    """Raises `CommandError` with this `returncode`."""
    try:
        return Tenant.objects.get(slug=slug)
    except Tenant.DoesNotExist:
        raise CommandError(f"There is no tenant “{slug}”.", returncode=returncode) from None


def user_named(email: str) -> User:
    """Raises `CommandError` if there is no such user."""
    try:
        return User.objects.get_by_natural_key(email)
    except User.DoesNotExist:
        raise CommandError(f"There is no user {email}.") from None
