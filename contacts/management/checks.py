"""Work that a new version leaves to a command, for `manage.py check --deploy`."""

from collections.abc import Sequence
from typing import Any

from django.core.checks import Tags, Warning, register  # noqa: A004 - Django's name
from django.db import DatabaseError, transaction

from contacts.models import Contact
from tenants.isolation import tenant_context
from tenants.models import Tenant

TENANTS = 100  # the check is quick, however many tenants there are


@register(Tags.database, deploy=True)
def check_old_phones(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[Warning]:
    """Warns if one of the first tenants has phones that `normalize_phones` must bring up to date.

    Empty for a database that cannot be reached or is not migrated, which other checks report.
    """
    if not databases:
        return []
    try:
        with transaction.atomic():  # an error must not break the transaction of the caller
            if not any(map(has_old_phones, Tenant.objects.order_by("pk")[:TENANTS])):
                return []
    except DatabaseError:
        return []
    return [
        Warning(
            "Contacts have phones of numbering plans that have moved.",
            hint="Run manage.py normalize_phones --all-tenants --dry-run, and then without"
            " --dry-run. Until then, each request looks for both forms; see docs/phones.md.",
            id="contacts.W001",
        )
    ]


def has_old_phones(tenant: Tenant) -> bool:
    with tenant_context(tenant.pk):
        return Contact.objects.filter(tenant=tenant).surely_renumbered().exists()
