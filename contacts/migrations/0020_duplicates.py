"""Possible duplicates: the pairs, how far the search for them is, and their row-level security."""

import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models

import tenants.fields
from tenants.isolation import protect


class Migration(migrations.Migration):
    dependencies = [
        ("contacts", "0019_former_phones"),
        ("tenants", "0007_known_address"),
    ]

    operations = [
        migrations.CreateModel(
            name="Duplicate",
            fields=[
                ("id", tenants.fields.ULIDField(default=tenants.fields.new_ulid, editable=False, primary_key=True, serialize=False)),
                ("first_id", tenants.fields.ULIDField()),
                ("second_id", tenants.fields.ULIDField()),
                ("reasons", models.CharField(max_length=100)),
                ("likelihood", models.PositiveSmallIntegerField()),
                ("state", models.CharField(choices=[("open", "Open"), ("dismissed", "Not duplicates")], default="open", max_length=20)),
                ("found_at", models.DateTimeField(default=django.utils.timezone.now)),
                ("tenant", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="duplicates", to="tenants.tenant")),
            ],
            options={
                "verbose_name": "possible duplicate",
                "default_permissions": (),
                "indexes": [
                    models.Index(fields=["tenant", "second_id"], name="duplicate_by_second"),
                    models.Index(fields=["tenant", "state", "likelihood", "id"], name="duplicate_list"),
                ],
                "constraints": [
                    models.UniqueConstraint(fields=("tenant", "first_id", "second_id"), name="duplicate_pair_per_tenant"),
                    models.CheckConstraint(condition=models.Q(("first_id__lt", models.F("second_id"))), name="duplicate_pair_ordered"),
                ],
            },
        ),
        migrations.CreateModel(
            name="DuplicateSearch",
            fields=[
                ("tenant", models.OneToOneField(on_delete=django.db.models.deletion.CASCADE, primary_key=True, related_name="+", serialize=False, to="tenants.tenant")),
                ("place", models.JSONField()),
                ("last_id", tenants.fields.ULIDField(null=True)),
                ("checked", models.PositiveIntegerField(default=0)),
                ("total", models.PositiveIntegerField(default=0)),
                ("finished_at", models.DateTimeField(help_text="When all contacts were checked.", null=True)),
            ],
            options={"default_permissions": ()},
        ),
        migrations.AlterField(
            model_name="bulkaction",
            name="kind",
            field=models.CharField(choices=[("add_tag", "Add a tag"), ("remove_tag", "Remove a tag"), ("set_locale", "Set the locale"), ("opt_out", "Opt out"), ("delete", "Delete"), ("merge_tags", "Merge tags"), ("rename_tag", "Rename a tag"), ("delete_tags", "Delete tags"), ("undo", "Undo"), ("merge_pairs", "Merge duplicates")], max_length=20),
        ),
        protect("contacts.Duplicate", "contacts.DuplicateSearch"),
    ]
