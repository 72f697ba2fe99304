"""The base of the models of a tenant's rows: their statements name the tenant beside the id."""

from collections.abc import Iterable
from typing import Any, Self

from django.db import models


class Owned(models.Model):
    """A row that belongs to a `tenant` and has an id of its own.

    Django finds a row that it saves, reads again or deletes by its id alone. Where the database is
    sharded by tenant, such a statement goes to all shards, or is refused.
    """

    tenant_id: str

    class Meta:
        abstract = True

    def own_row(self) -> "models.QuerySet[Self]":
        """The stored row, whether or not `objects` shows it."""
        rows: models.QuerySet[Self] = type(self)._base_manager.all()
        return rows.filter(tenant=self.tenant_id, pk=self.pk)

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        return self.own_row().delete()

    def refresh_from_db(
        self,
        using: str | None = None,
        fields: Any = None,
        from_queryset: "models.QuerySet[Self] | None" = None,
    ) -> None:
        if "tenant_id" in self.__dict__:
            rows = type(self)._base_manager.all() if from_queryset is None else from_queryset
            from_queryset = rows.filter(tenant=self.tenant_id)
        super().refresh_from_db(using, fields, from_queryset)

    def _do_update(self, base_qs: Any, using: Any, pk_val: Any, values: Any, *given: Any) -> Any:
        """The UPDATE of `save`. The tenant of a row never changes, so it is not written."""
        own = base_qs.filter(tenant=self.tenant_id)
        values = [value for value in values if value[0].attname != "tenant_id"]
        return super()._do_update(own, using, pk_val, values, *given)


def key_of(rows: Iterable[Owned]) -> models.Q:
    """The condition that finds these rows by their tenants and ids."""
    rows = [*rows]
    ids = [row.pk for row in rows]
    tenants = [*{row.tenant_id for row in rows}]
    if len(tenants) == 1:  # with IN, SQLite may join the table of tenants by reading all of them
        return models.Q(tenant=tenants[0], pk__in=ids)
    return models.Q(tenant__in=tenants, pk__in=ids)
