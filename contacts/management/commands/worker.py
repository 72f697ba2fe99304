from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand

from contacts import uploads


class Command(BaseCommand):
    help = "Runs what is done in the background: imports from the API and the admin."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--once", action="store_true", help="end when nothing is left to do")

    def handle(self, *args: Any, **options: Any) -> None:
        uploads.take_up()
        if settings.TASKS_URL:
            call_command("rqworker", burst=options["once"])
        else:
            call_command("db_worker", batch=options["once"], reload=False)
