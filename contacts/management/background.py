"""Helpers for commands that run forever and for commands on one webhook."""

import logging
import time
from collections.abc import Callable

from django.core.management.base import CommandError
from django.db import connection

from contacts.models import Webhook

logger = logging.getLogger(__name__)

PAUSE = 2  # seconds between two attempts


def keep_on(work: Callable[[], None]) -> None:
    """Runs `work` until it returns. Runs it again after any exception: a worker must survive an
    outage of the database."""
    while True:
        try:
            work()
        except Exception:
            logger.exception("Background work stopped with an error; starting it again")
            connection.close()
            time.sleep(PAUSE)
        else:
            return


def webhook(text: str) -> Webhook:
    """The webhook with the id `text`. Raises `CommandError` if there is none."""
    try:
        return Webhook.objects.get(pk=text)
    except (Webhook.DoesNotExist, ValueError):
        raise CommandError(f"There is no webhook “{text}”.") from None
