from argparse import SUPPRESS, ArgumentParser
from contextlib import suppress
from typing import Any

from contacts.jobs import duplicate_search
from contacts.management.background import retry_until_done, runs_beside
from contacts.management.progress import Progress
from contacts.models import Duplicate
from tenants.management.base import BaseCommand, tenant_named


class Command(BaseCommand):
    help = "Finds contacts that are likely one person; `worker` starts a process with this command."
    example = "--once --again acme"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when all is up to date")
        parser.add_argument(
            "--again", metavar="SLUG", help="first have all contacts of this tenant checked again"
        )
        parser.add_argument("--of-worker", type=int, metavar="PID", help=SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        if not runs_beside(options["of_worker"]):
            return
        if options["again"]:
            duplicate_search.restart(tenant_named(options["again"]))
        if options["once"]:
            with Progress(self) as progress:
                progress.begin(total=duplicate_search.number_left())
                duplicate_search.search(once=True, progress=progress.add)
            self.say(f"possible duplicates: {Duplicate.objects.open().count()}")
            return
        with suppress(KeyboardInterrupt):
            retry_until_done(lambda: duplicate_search.search(once=False))
