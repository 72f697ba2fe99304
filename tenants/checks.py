"""System checks for mistakes in the deployment: `manage.py check`."""

from collections.abc import Sequence
from typing import Any

from django.conf import settings
from django.core import checks
from django.core.checks import Error, register
from django.db import DatabaseError, connection, transaction
from limits.errors import ConfigurationError

from . import isolation
from .throttling import counter, default_limit


@register("variables")
def check_rate_limit(**kwargs: Any) -> list[Error]:
    errors = []
    try:
        default_limit(settings.RATELIMIT_DEFAULT)
    except ValueError:
        errors.append(
            Error(
                f"RATELIMIT_DEFAULT is not a rate limit: “{settings.RATELIMIT_DEFAULT}”.",
                hint="Write it as 120/minute or 5000/hour; leave it empty for no limit.",
                id="tenants.E001",
            )
        )
    try:
        counter(settings.RATELIMIT_STORAGE_URL)
    except (ConfigurationError, ValueError):  # its text may contain a part of the password
        errors.append(
            Error(
                "RATELIMIT_STORAGE_URL cannot be used.",
                hint="Use memory:// or redis://host:6379/0.",
                id="tenants.E002",
            )
        )
    return errors


@register(checks.Tags.database, deploy=True)
def check_row_level_security(
    *, databases: Sequence[str] | None = None, **kwargs: Any
) -> list[checks.Warning]:
    """Warns if the database does not keep the tenants apart.

    Empty for SQLite, which has no row-level security; for databases that the caller does not name
    (Django's convention); and for a database that cannot be reached, which other checks report.
    """
    if not databases or connection.vendor != "postgresql":
        return []
    try:
        with transaction.atomic():  # an error must not break the transaction of the caller
            problems = isolation.problems()
    except DatabaseError:
        return []
    return [
        checks.Warning(
            problem,
            hint="Only the service itself separates the tenants; see docs/operations.md#isolation.",
            id="tenants.W001",
        )
        for problem in problems
    ]
