import signal
import sys
from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand

from contacts.deliveries import deliver
from contacts.management.background import keep_on


class Command(BaseCommand):
    help = "Sends what webhooks are to be told; `worker` starts one of these."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when nothing is due")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            deliver(once=True)
        else:
            signal.signal(signal.SIGTERM, lambda *_: sys.exit())
            keep_on(lambda: deliver(once=False))
