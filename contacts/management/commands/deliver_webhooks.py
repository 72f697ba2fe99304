from argparse import SUPPRESS, ArgumentParser
from typing import Any

from contacts.management.background import ends_with, retry_until_done
from contacts.webhooks.sender import deliver
from tenants.management.base import BaseCommand


class Command(BaseCommand):
    help = "Sends the deliveries of webhooks; `worker` starts a process with this command."
    example = "--once"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when nothing is due")
        parser.add_argument("--of-worker", type=int, metavar="PID", help=SUPPRESS)

    def handle(self, *args: Any, **options: Any) -> None:
        if not ends_with(options["of_worker"]):
            return
        if options["once"]:
            deliver(once=True)
        else:
            retry_until_done(lambda: deliver(once=False))
