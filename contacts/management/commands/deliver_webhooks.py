import os
from argparse import SUPPRESS, ArgumentParser
from typing import Any

from contacts.importing.pools import end_with_parent
from contacts.management.background import retry_until_done
from contacts.webhooks.sender import deliver
from tenants.management.base import BaseCommand


class Command(BaseCommand):
    help = "Sends the deliveries of webhooks; `worker` starts a process with this command."
    example = "--once"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when nothing is due")
        parser.add_argument("--of-worker", type=int, metavar="PID", help=SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        if worker := options["of_worker"]:
            end_with_parent()
            if os.getppid() != worker:
                return  # the worker ended before `end_with_parent` could take effect
        if options["once"]:
            deliver(once=True)
        else:
            retry_until_done(lambda: deliver(once=False))
