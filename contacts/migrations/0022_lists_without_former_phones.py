"""The indexes of the lists leave former phones out: a page would read all of those that lie between
two contacts, and a merge of many contacts makes many. On PostgreSQL, the new indexes are built
beside writers, and the old ones are removed afterwards. The version before finds its pages by
sorting until it is replaced."""

from typing import Any

from django.apps.registry import Apps
from django.db import migrations, models

CURRENT = models.Q(("former_of__isnull", True))
NEW = [
    models.Index(condition=CURRENT, fields=["tenant", "id", "created_at", "source"], name="contact_listed_by_age"),
    models.Index(condition=CURRENT, fields=["tenant", "updated_at", "id"], name="contact_listed_by_change"),
    models.Index(condition=CURRENT, fields=["tenant", "last_message_at", "id"], name="contact_listed_by_message"),
]
OLD = [
    models.Index(fields=["tenant", "id", "created_at", "source"], name="contact_by_age"),
    models.Index(fields=["tenant", "updated_at", "id"], name="contact_keyset"),
    models.Index(fields=["tenant", "last_message_at", "id"], name="contact_recency"),
]


def exchange(apps: Apps, schema_editor: Any, come: list[models.Index], go: list[models.Index]) -> None:
    contact = apps.get_model("contacts", "Contact")
    is_beside = schema_editor.connection.vendor == "postgresql"
    options = {"concurrently": True} if is_beside else {}
    for index in come:
        schema_editor.add_index(contact, index, **options)
    for index in go:
        schema_editor.remove_index(contact, index, **options)


def forwards(apps: Apps, schema_editor: Any) -> None:
    exchange(apps, schema_editor, NEW, OLD)


def backwards(apps: Apps, schema_editor: Any) -> None:
    exchange(apps, schema_editor, OLD, NEW)


class Migration(migrations.Migration):
    atomic = False  # an index cannot be built beside writers in a transaction

    dependencies = [("contacts", "0021_stored_answers")]

    operations = [
        migrations.SeparateDatabaseAndState(
            [migrations.RunPython(forwards, backwards)],
            [
                *(migrations.AddIndex("contact", index) for index in NEW),
                *(migrations.RemoveIndex("contact", index.name) for index in OLD),
            ],
        ),
    ]
