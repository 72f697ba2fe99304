"""The policies of row-level security in a form that also runs on Citus. One table at a time: a
transaction for all would wait for a long query of one table while it has locked the others."""

from django.db import migrations

from tenants.isolation import renew


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("contacts", "0028_tag_counts")]

    operations = [
        renew("contacts.BulkAction"),
        renew("contacts.BulkBatch"),
        renew("contacts.Change"),
        renew("contacts.Contact"),
        renew("contacts.ContactTag"),
        renew("contacts.Delivery"),
        renew("contacts.Duplicate"),
        renew("contacts.DuplicateSearch"),
        renew("contacts.Erasure"),
        renew("contacts.Export"),
        renew("contacts.Import"),
        renew("contacts.ImportBatch"),
        renew("contacts.ImportFailure"),
        renew("contacts.NameFolding"),
        renew("contacts.NearKey"),
        renew("contacts.OptOut"),
        renew("contacts.StoredAnswer"),
        renew("contacts.Tag"),
        renew("contacts.Webhook"),
    ]
