import logging
import time
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import OperationalError, connection

from contacts import uploads

logger = logging.getLogger(__name__)

PAUSE = 2  # seconds


class Command(BaseCommand):
    help = "Runs what is done in the background: imports from the API and the admin, and undo."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when nothing is left to do")

    def handle(self, *args: Any, **options: Any) -> None:
        while True:
            try:
                self.work(once=options["once"])
            except OperationalError:
                if options["once"]:
                    raise
                logger.exception("The database is gone; trying again")
                connection.close()
                time.sleep(PAUSE)
            else:
                return

    def work(self, *, once: bool) -> None:
        uploads.take_up()
        if settings.TASKS_URL:
            call_command("rqworker", burst=once)
        else:
            call_command("db_worker", batch=once, reload=False)
