from argparse import SUPPRESS, ArgumentParser
from contextlib import suppress
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from contacts.jobs import duplicate_search
from contacts.management.background import retry_until_done, runs_beside
from contacts.models import Duplicate
from tenants.models import Tenant


class Command(BaseCommand):
    help = "Finds contacts that are likely one person; `worker` starts a process with this command."

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
            self.restart(options["again"])
        if options["once"]:
            duplicate_search.search(once=True)
            self.stdout.write(f"possible duplicates: {Duplicate.objects.open().count()}")
            return
        with suppress(KeyboardInterrupt):
            retry_until_done(lambda: duplicate_search.search(once=False))

    def restart(self, slug: str) -> None:
        tenant = Tenant.objects.filter(slug=slug).first()
        if tenant is None:
            raise CommandError(f"There is no tenant “{slug}”.")
        duplicate_search.restart(tenant)
