"""What commands share that are no bulk fixes: those that never end, those of webhooks."""

import logging
import time
from collections.abc import Callable

from django.core.management.base import CommandError
from django.db import connection

from contacts.models import Webhook

logger = logging.getLogger(__name__)

PAUSE = 2  # seconds


def keep_on(work: Callable[[], None]) -> None:
    """Does `work` until it ends by itself; again, where something was in its way: mostly the
    database, gone for a while."""
    while True:
        try:
            work()
        except Exception:
            logger.exception("It has stopped; trying again")
            connection.close()
            time.sleep(PAUSE)
        else:
            return


def webhook(text: str) -> Webhook:
    """The one with the id `text`. Raises `CommandError`."""
    try:
        return Webhook.objects.get(pk=text)
    except (Webhook.DoesNotExist, ValueError):
        raise CommandError(f"There is no webhook “{text}”.") from None
