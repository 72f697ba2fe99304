"""A kind of bulk action that dismisses pairs of the list of possible duplicates. No table changes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("contacts", "0026_bulk_update")]

    operations = [
        migrations.AlterField("bulkaction", "kind", models.CharField(choices=[("update", "Update"), ("add_tag", "Add a tag"), ("remove_tag", "Remove a tag"), ("set_locale", "Set the locale"), ("opt_out", "Opt out"), ("delete", "Delete"), ("merge_tags", "Merge tags"), ("rename_tag", "Rename a tag"), ("delete_tags", "Delete tags"), ("undo", "Undo"), ("merge_pairs", "Merge duplicates"), ("dismiss_pairs", "Dismiss duplicates")], max_length=20)),
    ]
