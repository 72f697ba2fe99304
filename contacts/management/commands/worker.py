import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from contacts import uploads
from contacts.management.background import keep_on
from contacts.spool import end_with_parent


@contextmanager
def delivering() -> Iterator[None]:
    """Webhooks are told in a process of its own, which an import does not hold up."""
    command = [sys.executable, *sys.argv[:1], "deliver_webhooks"]
    child = subprocess.Popen(command, preexec_fn=end_with_parent)
    try:
        yield
    finally:
        child.terminate()
        child.wait()


class Command(BaseCommand):
    help = "Runs what is done in the background: imports, undo, and what webhooks are told."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when nothing is left to do")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["once"]:
            self.work(once=True)
            call_command("deliver_webhooks", once=True)
        else:
            with delivering():
                keep_on(lambda: self.work(once=False))

    def work(self, *, once: bool) -> None:
        uploads.take_up()
        if settings.TASKS_URL:
            call_command("rqworker", burst=once)
        else:
            call_command("db_worker", batch=once, reload=False)
