"""How often somebody may try to log in. django-axes stores the failed logins.

Three limits, because each alone has a hole:

- ten failures for one account from one address lock this pair for 15 minutes;
- fifty failures from one address, for whatever accounts, lock the address for 15 minutes.
  Fifty, because the staff of one office often share an address;
- after ten failures for one account, from whatever addresses, the account is slowed down.
  It is never locked: OWASP's Authentication Cheat Sheet ("Account Lockout") warns that whoever
  knows a name could lock its owner out, and describes waits that begin with one second and double.

Only the first limit holds for an address from which the account has logged in before. So no attack
from elsewhere keeps its owner out. OWASP describes the idea, with a cookie instead of the address,
in "Slow Down Online Guessing Attacks with Device Cookies".

From addresses that are new to an account, all together, fewer than 80 guesses in an hour are
looked at, where OWASP ASVS 4.0.3, 2.2.1 allows 100; each address of an earlier login adds its own
ten in 15 minutes. An attacker who takes all of these turns keeps the owner out of new addresses,
but needs more than 60 addresses for that: an hour passes until the failure of one is forgotten.

A name that no account has is treated as a name that an account has.
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

WINDOW = 15 * 60  # seconds that a failure counts, and that a lock lasts
PAIR_LIMIT = 10
ADDRESS_LIMIT = 50
NAME_LIMIT = 10
LONGEST_TURN = 60  # seconds
LOCK = 0x51796C6F67696E  # any number that nothing else in this database locks


class Failures(NamedTuple):
    """The failed logins for one name from one address. `age`: seconds since the last of them."""

    name: str
    address: str
    number: int
    age: float


class LoginLimits(AxesDatabaseHandler):
    """What django-axes asks before it lets the password be checked, and tells of the result."""

    def is_allowed(self, request: Any, credentials: dict[str, Any] | None = None) -> bool:
        """Whether the password of this request may be checked. If not, `request.login_wait` says
        how many seconds to wait.

        The try counts as a failure from now on, until `user_logged_in`. If it counted only after
        the check, a hundred tries sent at once would all be checked.
        """
        name, address = name_typed(request, credentials), request.axes_ip_address
        now = request.axes_attempt_time
        wait = seconds_to_wait(name, address, now)
        if not wait:  # so that a flood of refused tries writes nothing and waits for no lock
            with transaction.atomic():
                lock()
                wait = seconds_to_wait(name, address, now)
                if not wait:
                    count(name, address, now)
        request.login_wait = wait
        request.login_counts = not wait
        return not wait

    def user_login_failed(
        self, sender: Any, credentials: dict[str, Any], request: Any = None, **kwargs: Any
    ) -> None:
        """Forgets old failures. This one is counted already."""
        if not request.axes_locked_out:
            self.clean_expired_user_attempts(request)

    def user_logged_in(self, sender: Any, request: Any, user: User, **kwargs: Any) -> None:
        """Takes back the failure that this login was counted as, and no other: otherwise whoever
        has an account could go on guessing at another account."""
        if getattr(request, "login_counts", False):
            AccessAttempt.objects.filter(
                username=user.email, ip_address=request.axes_ip_address, failures_since_start__gt=0
            ).update(failures_since_start=F("failures_since_start") - 1)
        KnownAddress.objects.remember(user, request.axes_ip_address)


def lock() -> None:
    """Lets one try at a time pass, until the transaction ends. SQLite does so by itself, because
    each transaction begins with BEGIN IMMEDIATE."""
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_xact_lock(%s)", [LOCK])


def count(name: str, address: str, now: datetime) -> None:
    """Adds a failure for the pair; to none, if its last failure has left the window."""
    attempt, _ = AccessAttempt.objects.get_or_create(
        username=name, ip_address=address, user_agent="", defaults={"failures_since_start": 0}
    )
    is_over = When(attempt_time__lte=now - timedelta(seconds=WINDOW), then=1)
    AccessAttempt.objects.filter(pk=attempt.pk).update(
        failures_since_start=Case(is_over, default=F("failures_since_start") + 1), attempt_time=now
    )


def seconds_to_wait(name: str, address: str, now: datetime) -> int:
    """Until the next login of `name` from `address` is looked at; 0 if it may be now."""
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
    """Those for `name` and those from `address`, as long as they are stored: AXES_COOLOFF_TIME.
    The limits keep them few."""
    found = AccessAttempt.objects.filter(
        Q(username=name) | Q(ip_address=address), failures_since_start__gt=0
    ).values_list("username", "ip_address", "failures_since_start", "attempt_time")
    return [
        Failures(of_name, of_address, number, (now - last).total_seconds())
        for of_name, of_address, number, last in found
    ]


def until_fewer(failures: Sequence[Failures], limit: int) -> float:
    """Seconds until fewer than `limit` of the failures are left in the window."""
    left, wait = sum(each.number for each in failures), 0.0
    for oldest in sorted(failures, key=lambda each: -each.age):
        if left < limit:
            break
        left -= oldest.number
        wait = WINDOW - oldest.age
    return wait


def until_turn(strangers: Sequence[Failures], pair: Sequence[Failures]) -> float:
    """Seconds until an address that is new to the name may try, after the last failure of such an
    address: 1 after the tenth failure, then 2, 4, … up to 60.

    An address that has itself failed within an hour waits at least twice as long as any other, and
    twice as long again for each failure. So the next turn is that of an address which has not
    failed: of the account's owner, while an attacker goes on.
    """
    number = sum(each.number for each in strangers)
    if number < NAME_LIMIT:
        return 0
    turn = min(2 ** (number - NAME_LIMIT), LONGEST_TURN)
    if own := sum(each.number for each in pair):
        turn = min(LONGEST_TURN * 2**own, WINDOW)
    return turn - min(each.age for each in strangers)
