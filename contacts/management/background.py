"""Shared by commands that run until they are stopped, and by commands for a webhook."""

import logging
import time
from collections.abc import Callable

from django.core.management.base import CommandError
from django.db import connection

from contacts.models import Webhook

logger = logging.getLogger(__name__)

RETRY_DELAY = 2  # seconds


def retry_until_done(work: Callable[[], None]) -> None:
    """Calls `work` until it returns. After an error, such as a database that is down for a while,
    it is called again."""
    while True:
        try:
            work()
        except Exception:
            logger.exception("The work has failed; trying again in %s seconds", RETRY_DELAY)
            connection.close()
            time.sleep(RETRY_DELAY)
        else:
            return


def webhook(text: str) -> Webhook:
    """The webhook with the id `text`. Raises `CommandError`."""
    try:
        return Webhook.objects.get(pk=text)
    except (Webhook.DoesNotExist, ValueError):
        raise CommandError(f"There is no webhook “{text}”.") from None
