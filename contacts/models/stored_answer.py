"""Answers of requests with an `Idempotency-Key`, kept for requests that are sent again."""

from collections.abc import Iterable
from datetime import timedelta

from django.db import IntegrityError, OperationalError, models
from django.utils import timezone

from contacts.db.transactions import LOCK_TIMEOUT, sqlstate
from tenants.models import Tenant

KEPT = timedelta(hours=24)


class StillRunning(Exception):
    """The first request with this key has not ended yet."""


class StoredAnswerQuerySet(models.QuerySet["StoredAnswer"]):
    def claim(
        self, tenant: Tenant, token: int, key: str, request: str
    ) -> tuple["StoredAnswer", bool]:
        """The row of this key, and whether the caller has made it and must fill it.

        Runs in the transaction of the change. If another transaction has just made the row,
        PostgreSQL waits for its end, and SQLite has let it finish before. So a request that fails,
        or whose process is killed, leaves no row. Raises `StillRunning` if the wait takes too long.
        """
        try:
            row, is_new = self.get_or_create(
                tenant=tenant, token=token, key=key, defaults={"request": request}
            )
        except OperationalError as error:
            if sqlstate(error) == LOCK_TIMEOUT:
                raise StillRunning from error
            raise
        except IntegrityError as error:  # the row was deleted again in the meantime
            raise StillRunning from error
        if is_new or row.created_at > timezone.now() - KEPT:
            return row, is_new
        row.delete()
        return self.claim(tenant, token, key, request)

    def naming(self, words: Iterable[str]) -> "StoredAnswerQuerySet":
        """Answers that contain one of `words`, such as a phone or an id."""
        conditions = [models.Q(body__contains=word) for word in words]
        return self.filter(models.Q(*conditions, _connector=models.Q.OR))

    def expired(self) -> "StoredAnswerQuerySet":
        return self.filter(created_at__lte=timezone.now() - KEPT)


class StoredAnswer(models.Model):
    """The answer to the first request with an `Idempotency-Key`.

    `token`: the key of the token; no foreign key, because the row lives for a day only. `request`:
    a digest of what was asked. `headers`, `body`: of the answer; empty until the change is made,
    which no other transaction sees.
    """

    pk = models.CompositePrimaryKey("tenant_id", "token", "key")
    tenant = models.ForeignKey(Tenant, models.CASCADE, related_name="+", db_index=False)
    token = models.BigIntegerField()
    key = models.CharField(max_length=255)
    request = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField(default=0)
    headers = models.JSONField(default=dict)
    body = models.TextField(blank=True)
    created_at = models.DateTimeField(default=timezone.now)

    objects = StoredAnswerQuerySet.as_manager()

    def __str__(self) -> str:
        return f"{self.key} {self.created_at:%Y-%m-%d %H:%M}"
