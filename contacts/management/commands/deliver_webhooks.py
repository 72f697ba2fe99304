import os
from argparse import SUPPRESS, ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from contacts.importing.pools import end_with_parent
from contacts.management.background import keep_on
from contacts.webhooks.sender import deliver


class Command(BaseCommand):
    help = "Sends what webhooks are to be told; `worker` starts one of these."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when nothing is due")
        parser.add_argument("--of-worker", type=int, metavar="PID", help=SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        if worker := options["of_worker"]:
            end_with_parent()
            if os.getppid() != worker:
                return  # it was gone before
        if options["once"]:
            deliver(once=True)
        else:
            keep_on(lambda: deliver(once=False))
