"""Opt-outs outlive their contacts: the table, what PostgreSQL asks it, and the opt-outs of contacts
that were deleted before, as far as the change log tells them."""

from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from typing import Any

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models

from contacts.values.digests import phone_digest
from tenants.isolation import protect

BATCH = 1000
# Volatile: see `PostgreSQL.HAS_OPTED_OUT`. In PL/pgSQL, which plans the query once a connection.
HAS_OPTED_OUT = """
CREATE FUNCTION contacts_has_opted_out(tenant uuid, phone_digest text) RETURNS boolean
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    RETURN EXISTS (
        SELECT FROM contacts_optout WHERE tenant_id = tenant AND digest = phone_digest
    );
END $$
"""


def add_function(apps: Apps, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute(HAS_OPTED_OUT, params=None)


def drop_function(apps: Apps, schema_editor: Any) -> None:
    if schema_editor.connection.vendor == "postgresql":
        schema_editor.execute("DROP FUNCTION contacts_has_opted_out")


def remember_opt_outs(apps: Apps, schema_editor: Any) -> None:
    """Of people who opted in at a later time under the same phone nothing is remembered."""
    OptOut = apps.get_model("contacts", "OptOut")
    for tenant in apps.get_model("tenants", "Tenant").objects.all():
        opted_out = ((phone_digest(phone), at) for phone, at in opt_outs(apps, tenant))
        rows = (OptOut(tenant=tenant, digest=digest, opted_out_at=at) for digest, at in opted_out)
        while batch := list(islice(rows, BATCH)):
            OptOut.objects.bulk_create(batch)


def opt_outs(apps: Apps, tenant: Any) -> Iterator[tuple[str, datetime]]:
    """The phones of contacts that had opted out when they were deleted or merged."""
    outs: dict[str, datetime] = {}
    ins: dict[str, datetime] = {}
    ends = tenant_changes(apps, tenant).filter(kind__in=["deleted", "merged"])
    decided = ends.filter(fields__has_any_keys=["opted_in_at", "opted_out_at"])
    for fields in decided.values_list("fields", flat=True).iterator(BATCH):
        phone, opted_in, opted_out = (
            fields.get(name, {}).get("old") for name in ("phone", "opted_in_at", "opted_out_at")
        )
        if phone and opted_out:
            note(outs, phone, datetime.fromisoformat(opted_out))
        elif phone and opted_in:
            note(ins, phone, datetime.fromisoformat(opted_in))
    phones = iter(sorted(outs))
    contacts: Any = apps.get_model("contacts", "Contact").objects.filter(tenant=tenant)
    while batch := list(islice(phones, BATCH)):
        there = contacts.filter(phone__in=batch, opted_out_at=None).exclude(opted_in_at=None)
        for phone, at in there.values_list("phone", "opted_in_at"):
            note(ins, phone, at)
    for phone, at in outs.items():
        if phone not in ins or ins[phone] <= at:
            yield phone, at


def tenant_changes(apps: Apps, tenant: Any) -> models.QuerySet:
    return apps.get_model("contacts", "Change").objects.filter(tenant=tenant)


def note(times: dict[str, datetime], phone: str, at: datetime) -> None:
    times[phone] = max(at, times.get(phone, at))


class Migration(migrations.Migration):
    dependencies = [
        ("contacts", "0013_rename_tag"),
    ]

    operations = [
        migrations.CreateModel(
            name="OptOut",
            fields=[
                ("pk", models.CompositePrimaryKey("tenant_id", "digest", blank=True, editable=False, primary_key=True, serialize=False)),
                ("digest", models.CharField(max_length=64)),
                ("opted_out_at", models.DateTimeField()),
                ("tenant", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="opt_outs", to="tenants.tenant")),
            ],
            options={"verbose_name": "opt-out"},
        ),
        protect("contacts.OptOut"),
        migrations.RunPython(add_function, drop_function),
        migrations.RunPython(remember_opt_outs, migrations.RunPython.noop),
    ]
