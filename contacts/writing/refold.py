"""Brings the folded columns of stored contacts up to date, after a new version folds otherwise."""

from collections.abc import Iterator
from typing import Any

from contacts.models import ContactQuerySet
from contacts.schema import FOLDS
from tenants.fields import hex_id
from tenants.models import Tenant

from .rows import update_columns

FOLDED = tuple(f"{name}_folded" for name in FOLDS)


def refold(tenant: Tenant, contacts: ContactQuerySet) -> None:
    """Corrects the folded columns of `contacts`, which belong to the tenant; in a transaction.

    People see no difference, so it writes no log entry and leaves `updated_at` alone. Rows are
    compared before they are locked: most are up to date, and nobody has to wait for them. A row is
    compared again after it is locked, because another writer may have changed the name meanwhile.
    """
    pks = [row["id"] for row in outdated(contacts)]
    locked = tenant.contacts.filter(pk__in=pks).order_by("phone").select_for_update()
    update_columns(tenant.pk, [*outdated(locked)] if pks else [])


def outdated(contacts: ContactQuerySet) -> Iterator[dict[str, Any]]:
    """The id and the right folded columns of each contact that has others, as `update_columns`
    takes them."""
    for pk, *values in contacts.values_list("pk", *FOLDS, *FOLDED):
        texts, stored = values[: len(FOLDS)], values[len(FOLDS) :]
        right = [fold(text) for fold, text in zip(FOLDS.values(), texts, strict=True)]
        if right != stored:
            yield {"id": hex_id(pk), **dict(zip(FOLDED, right, strict=True))}
