import logging
import os
import subprocess
import sys
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import ExitStack
from threading import Event, Thread
from typing import Any

from django.core.management import call_command
from django.db import connection

from contacts.exporting import background
from contacts.importing import uploads
from contacts.jobs import (
    bulk_actions,
    contact_counting,
    pruning,
    tag_counting,
    turns,
    view_counting,
)
from contacts.management.background import retry_until_done
from tenants.management.base import BaseCommand

logger = logging.getLogger(__name__)

COMPANIONS = ("deliver_webhooks", "find_duplicates", "fold_names")
CHECK_INTERVAL = 2  # seconds between two looks at the process
STOP_TIMEOUT = 20  # seconds for requests under way to end: longer than the timeout of a request


class Companion:
    """Runs another command in a process of its own, so that a long import does not delay its work.
    Starts the process again if it has died; status 0 says that no work is left for it. `command`:
    the name of the command."""

    def __init__(self, command: str) -> None:
        self.command = command
        self.is_over = Event()
        self.thread = Thread(target=self.watch)

    def __enter__(self) -> None:
        self.thread.start()

    def watch(self) -> None:
        """Runs in one thread, because Linux ends the process with the thread that started it (see
        `end_with_parent`)."""
        process = self.start()
        while not self.is_over.wait(CHECK_INTERVAL):
            if (status := process.poll()) == 0:
                return
            if status is not None:
                logger.error("%s ended with status %s; starting it again", self.command, status)
                process = self.start()
        process.terminate()
        try:
            process.wait(STOP_TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()

    def start(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, sys.argv[0], self.command, "--of-worker", str(os.getpid())]
        return subprocess.Popen(command)

    def __exit__(self, *args: object) -> None:
        self.is_over.set()
        self.thread.join()


class Repeated:
    """Does `work` at once and then every `interval` seconds, in a thread beside the jobs."""

    def __init__(self, work: Callable[[], None], interval: float) -> None:
        self.work = work
        self.interval = interval
        self.is_over = Event()
        self.thread = Thread(target=self.repeat)

    def __enter__(self) -> None:
        self.thread.start()

    def repeat(self) -> None:
        while True:
            try:
                self.work()
            except Exception:
                logger.exception("%s has failed; trying again later", self.work.__name__)
            connection.close()  # idle until the next time
            if self.is_over.wait(self.interval):
                return

    def __exit__(self, *args: object) -> None:
        self.is_over.set()
        self.thread.join()


REPEATED = (
    (pruning.delete_expired, pruning.INTERVAL),
    (tag_counting.refresh_all, tag_counting.INTERVAL),
    (view_counting.count_all, view_counting.INTERVAL),
    (contact_counting.refresh_all, contact_counting.INTERVAL),
    (turns.requeue_left_alone, turns.LEFT_INTERVAL),
)


class Command(BaseCommand):
    help = (
        "Does the work in the background: imports, exports, bulk actions, undo, webhooks, and the"
        " search for duplicates."
    )
    example = "--once"

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="exit when no work is left")
        parser.add_argument(
            "--turn", type=float, default=turns.SECONDS, metavar="SECONDS",
            help="how long a job runs while another tenant waits; default: 10",
        )  # fmt: skip

    def handle(self, *args: Any, **options: Any) -> None:
        turns.SECONDS = options["turn"]
        if options["once"]:
            pruning.delete_expired()
            self.work(once=True)
            tag_counting.refresh_all()
            view_counting.count_all()
            contact_counting.refresh_all()
            for command in COMPANIONS:
                call_command(command, once=True, verbosity=self.verbosity, stdout=self.stdout)
        else:
            with ExitStack() as beside:
                for work, interval in REPEATED:
                    beside.enter_context(Repeated(work, interval))
                for command in COMPANIONS:
                    beside.enter_context(Companion(command))
                retry_until_done(lambda: self.work(once=False))

    def work(self, *, once: bool) -> None:
        uploads.requeue_interrupted()
        background.requeue_interrupted()
        bulk_actions.requeue_interrupted()
        call_command("db_worker", batch=once, reload=False, verbosity=self.verbosity)
