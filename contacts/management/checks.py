"""Work that a new version leaves to a command, for `manage.py check --deploy`."""

from collections.abc import Callable, Sequence
from typing import Any

from django.core.checks import Tags, Warning, register  # noqa: A004 - Django's name
from django.db import DatabaseError, transaction

from contacts.models import Contact, NameFolding
from contacts.values.folding import VERSION
from tenants.isolation import all_tenants_context, tenant_context
from tenants.models import Tenant

TENANTS = 100  # the check is quick, however many tenants there are


@register(Tags.database, deploy=True)
def check_old_phones(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[Warning]:
    """Warns if one of the first tenants has phones that `normalize_phones` has to rewrite."""
    if not is_any_tenant(databases, has_old_phones):
        return []
    return [
        Warning(
            "Contacts have phones of numbering plans that have moved.",
            hint="Run manage.py normalize_phones --all-tenants --dry-run, and then without"
            " --dry-run. Until then, each request looks for both forms; see docs/phones.md.",
            id="contacts.W001",
        )
    ]


@register(Tags.database, deploy=True)
def check_names(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[Warning]:
    """Warns if the worker has not brought the names of one of the first tenants up to date."""
    if not is_any_tenant(databases, has_old_names):
        return []
    return [
        Warning(
            "Stored names are not yet up to date for searches.",
            hint="A worker does this in the background; manage.py fold_names --once does it now."
            " Until then, searches find some names only as they are spelled.",
            id="contacts.W002",
        )
    ]


def is_any_tenant(databases: Sequence[str] | None, question: Callable[[Tenant], bool]) -> bool:
    """Whether the answer is yes for one of the first tenants. No for a database that cannot be
    reached or is not migrated, which other checks report."""
    if not databases:
        return False
    try:
        with transaction.atomic():  # an error must not break the transaction of the caller
            for tenant in Tenant.objects.order_by("pk")[:TENANTS]:
                with tenant_context(tenant.pk):
                    if question(tenant):
                        return True
    except DatabaseError:
        pass
    return False


def has_old_phones(tenant: Tenant) -> bool:
    return Contact.objects.filter(tenant=tenant).surely_renumbered().exists()


def has_old_names(tenant: Tenant) -> bool:
    begun = NameFolding.objects.filter(version=VERSION)
    if mine := begun.filter(tenant=tenant).first():
        return mine.finished_at is None and tenant.contacts.exists()
    with all_tenants_context():
        # Only this version has written the contacts of a tenant that is newer than the job.
        is_new = begun.filter(started_at__lte=tenant.created_at).exists()
    return not is_new and tenant.contacts.exists()
