"""Shared by commands that run until they are stopped, and by commands for a webhook."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress

from django.core.management.base import CommandError
from django.db import connection

from contacts.importing.pools import end_with_parent
from contacts.models import Webhook

logger = logging.getLogger(__name__)

RETRY_DELAY = 2  # seconds
NICENESS = 10  # requests and imports on the same machine come first


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


def ends_with(worker: int | None) -> bool:
    """Lets this process end together with the worker that has this process id. False if the worker
    has ended already. Does nothing for None."""
    if worker is None:
        return True
    end_with_parent()
    return os.getppid() == worker  # not so if it ended before `end_with_parent` could take effect


def runs_beside(worker: int | None) -> bool:
    """`ends_with`; and the process gets a low priority if it has a worker."""
    if not ends_with(worker):
        return False
    if worker:
        with suppress(OSError):
            os.nice(NICENESS)
    return True


def webhook(text: str) -> Webhook:
    """The webhook with the id `text`. Raises `CommandError`."""
    try:
        return Webhook.objects.get(pk=text)
    except (Webhook.DoesNotExist, ValueError):
        raise CommandError(f"There is no webhook “{text}”.") from None
