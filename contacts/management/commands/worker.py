import logging
import os
import subprocess
import sys
from argparse import ArgumentParser
from threading import Event, Thread
from typing import Any

from django.core.management import call_command
from django.core.management.base import BaseCommand

from contacts.importing import uploads
from contacts.jobs import bulk_actions, turns
from contacts.management.background import keep_on

logger = logging.getLogger(__name__)

PAUSE = 2  # seconds
PATIENCE = 20  # seconds for what is being sent to arrive


class Deliverer:
    """Tells webhooks, in a process of its own, which an import does not hold up. One that has died
    is replaced."""

    def __init__(self) -> None:
        self.is_over = Event()
        self.thread = Thread(target=self.watch)

    def __enter__(self) -> None:
        self.thread.start()

    def watch(self) -> None:
        """In this thread from start to end: the process ends with the thread that started it."""
        process = self.start()
        while not self.is_over.wait(PAUSE):
            if (status := process.poll()) is not None:
                logger.error("What tells webhooks has ended with %s; it is started again", status)
                process = self.start()
        process.terminate()
        try:
            process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            process.kill()

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, sys.argv[0], "deliver_webhooks", "--of-worker", str(os.getpid())]
        return subprocess.Popen(command)

    def __exit__(self, *args: object) -> None:
        self.is_over.set()
        self.thread.join()


class Command(BaseCommand):
    help = "Runs what is done in the background: imports, bulk actions, undo, webhooks."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when nothing is left to do")
        parser.add_argument(
            "--turn", type=float, default=turns.SECONDS, metavar="SECONDS",
            help="how long a job goes on while another tenant waits; default: 10",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        turns.SECONDS = options["turn"]
        if options["once"]:
            self.work(once=True)
            call_command("deliver_webhooks", once=True)
        else:
            with Deliverer():
                keep_on(lambda: self.work(once=False))

    def work(self, *, once: bool) -> None:
        uploads.take_up()
        bulk_actions.take_up()
        call_command("db_worker", batch=once, reload=False)
