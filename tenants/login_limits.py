"""Limits against guessing passwords. django-axes stores the failed logins.

There are three limits, because each of them alone leaves a gap:

- Ten failures for one account from one address lock this pair for 15 minutes.
- Fifty failures from one address, for any accounts, lock the address for 15 minutes. Fifty, because
  the staff of one office often share an address.
- After ten failures for one account, from any addresses, logins to the account are slowed down. The
  account is never locked: OWASP's Authentication Cheat Sheet ("Account Lockout") warns that
  everybody who knows an account's name could lock its owner out, and describes waiting times that
  begin with one second and double.

For an address from which the account has logged in before, only the first limit applies. So no
attack from other addresses keeps the owner out. OWASP describes the idea, with a cookie instead of
the address, in "Slow Down Online Guessing Attacks with Device Cookies".

All addresses that are new to an account can together check fewer than 80 passwords in an hour;
OWASP ASVS 4.0.3, 2.2.1 allows 100. Each address of an earlier login adds ten in 15 minutes. An
attacker who uses every permitted attempt keeps the owner from logging in at new addresses, but
needs more than 60 addresses for that, because a failure counts for an hour.

A name without an account is treated like a name with an account: otherwise the limits would show
which accounts exist.
"""

import math
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.db import connection, transaction
from django.db.models import Case, F, Q, When

from .logins import name_typed
from .models import KnownAddress, User

WINDOW = 15 * 60  # seconds for which a failure counts, and for which a lock lasts
PAIR_LIMIT = 10
ADDRESS_LIMIT = 50
NAME_LIMIT = 10
LONGEST_TURN = 60  # seconds
LOCK = 0x51796C6F67696E  # the key of an advisory lock: any number that nothing else uses


class Failures(NamedTuple):
    """The failed logins for one name from one address. `age`: seconds since the last failure."""

    name: str
    address: str
    number: int
    age: float


class LoginLimits(AxesDatabaseHandler):
    """The handler of django-axes: asked before the password is checked, called with the result."""

    def is_allowed(self, request: Any, credentials: dict[str, Any] | None = None) -> bool:
        """Whether the password of this request may be checked. If not, `request.login_wait` is the
        number of seconds to wait.

        The attempt counts as a failure from now on; `user_logged_in` takes that back. If it counted
        only after the check, a hundred attempts sent at the same time would all be checked.
        """
        name, address = name_typed(request, credentials), request.axes_ip_address
        now = request.axes_attempt_time
        wait = seconds_to_wait(name, address, now)
        if not wait:  # a flood of refused attempts must not write or wait for the lock
            with transaction.atomic():
                lock_logins()
                wait = seconds_to_wait(name, address, now)
                if not wait:
                    count_failure(name, address, now)
        request.login_wait = wait
        request.login_counts = not wait
        return not wait

    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: Any = None, **kwargs: Any
    ) -> None:
        """Deletes old failures. `is_allowed` has already counted this one."""
        if not request.axes_locked_out:
            self.clean_expired_user_attempts(request)

    def user_logged_in(self, sender: Any, request: Any, user: User, **kwargs: Any) -> None:
        """Takes back the one failure that `is_allowed` counted for this login. If it cleared all
        failures of the address, somebody with an account could log in now and then, and guess the
        password of another account without limit."""
        if getattr(request, "login_counts", False):
            AccessAttempt.objects.filter(
                username=user.email, ip_address=request.axes_ip_address, failures_since_start__gt=0
            ).update(failures_since_start=F("failures_since_start") - 1)
        KnownAddress.objects.remember(user, request.axes_ip_address)


def lock_logins() -> None:
    """Waits until no other login is being counted, and keeps others waiting until the transaction
    ends. On SQLite each transaction does so, because it begins with BEGIN IMMEDIATE."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def count_failure(name: str, address: str, now: datetime) -> None:
    """Adds a failure for the pair. Begins again with one if the last failure is older than
    `WINDOW`."""
    attempt, _ = AccessAttempt.objects.get_or_create(
        username=name, ip_address=address, user_agent="", defaults={"failures_since_start": 0}
    )
    is_over = When(attempt_time__lte=now - timedelta(seconds=WINDOW), then=1)
    AccessAttempt.objects.filter(pk=attempt.pk).update(
        failures_since_start=Case(is_over, default=F("failures_since_start") + 1), attempt_time=now
    )


def forget_failures(user: User, address: str) -> None:
    """Deletes the failures of `user` at `address`, where a link to this account was just used:
    otherwise who forgot the password would have to wait with the new one, too."""
    AccessAttempt.objects.filter(username=user.email, ip_address=address).delete()


def seconds_to_wait(name: str, address: str, now: datetime) -> int:
    """Seconds until a login of `name` from `address` may be checked; 0 if it may be checked now."""
    failures = failures_of(name, address, now)
    pair = [each for each in failures if (each.name, each.address) == (name, address)]
    waits = [until_fewer(pair, PAIR_LIMIT)]
    known = KnownAddress.objects.of_name(name)
    if KnownAddress.digest_of(address) not in known:
        lately = [each for each in failures if each.age < WINDOW]
        here = [each for each in lately if each.address == address]
        strangers = [
            each
            for each in lately
            if each.name == name and KnownAddress.digest_of(each.address) not in known
        ]
        waits += [until_fewer(here, ADDRESS_LIMIT), until_turn(strangers, pair)]
    return max(0, math.ceil(max(waits)))


def failures_of(name: str, address: str, now: datetime) -> list[Failures]:
    """The stored failures for `name` or from `address`, which are at most as old as
    AXES_COOLOFF_TIME. The limits keep their number small."""
    found = AccessAttempt.objects.filter(
        Q(username=name) | Q(ip_address=address), failures_since_start__gt=0
    ).values_list("username", "ip_address", "failures_since_start", "attempt_time")
    return [
        Failures(of_name, of_address, number, (now - last).total_seconds())
        for of_name, of_address, number, last in found
    ]


def until_fewer(failures: Sequence[Failures], limit: int) -> float:
    """Seconds until fewer than `limit` of the failures are in the window."""
    left, wait = sum(each.number for each in failures), 0.0
    for oldest in sorted(failures, key=lambda each: -each.age):
        if left < limit:
            break
        left -= oldest.number
        wait = WINDOW - oldest.age
    return wait


def until_turn(strangers: Sequence[Failures], pair: Sequence[Failures]) -> float:
    """Seconds until an address that is new to the account may try again.

    `strangers`: the failures from addresses that are new to the account. `pair`: the failures from
    the address that asks. The wait begins with the last failure of `strangers`. It is 1 second
    after the tenth failure, then 2, 4, … up to 60.

    An address that has itself failed within the last hour waits at least twice as long, and its
    wait doubles with each failure. So an address that has not failed gets the next attempt: the
    owner of the account, while an attacker goes on.
    """
    number = sum(each.number for each in strangers)
    if number < NAME_LIMIT:
        return 0
    turn = min(2 ** (number - NAME_LIMIT), LONGEST_TURN)
    if own := sum(each.number for each in pair):
        turn = min(LONGEST_TURN * 2**own, WINDOW)
    return turn - min(each.age for each in strangers)
