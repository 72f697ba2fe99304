from argparse import SUPPRESS, ArgumentParser
from contextlib import suppress
from typing import Any

from contacts.jobs import name_folding
from contacts.management.background import retry_until_done, runs_beside
from contacts.management.progress import Progress
from tenants.management.base import BaseCommand


class Command(BaseCommand):
    help = (
        "Brings stored names up to date for searches, after an upgrade; `worker` starts a process"
        " with this command."
    )
    example = "--once"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when all is up to date")
        parser.add_argument("--of-worker", type=int, metavar="PID", help=SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        if not runs_beside(options["of_worker"]):
            return
        if options["once"]:
            with Progress(self) as progress:
                progress.begin(total=name_folding.number_left())
                name_folding.fold(once=True, progress=progress.add)
            return
        with suppress(KeyboardInterrupt):
            retry_until_done(lambda: name_folding.fold(once=False))
