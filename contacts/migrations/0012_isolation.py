"""Row-level security on every table with a tenant, on PostgreSQL."""

from django.db import migrations

from tenants.isolation import protect


class Migration(migrations.Migration):
    dependencies = [("contacts", "0011_import_drafts")]

    operations = [
        protect(
            "contacts.BulkAction",
            "contacts.BulkBatch",
            "contacts.Change",
            "contacts.Contact",
            "contacts.ContactTag",
            "contacts.Delivery",
            "contacts.Erasure",
            "contacts.Import",
            "contacts.ImportBatch",
            "contacts.ImportFailure",
            "contacts.Tag",
            "contacts.Webhook",
        ),
    ]
