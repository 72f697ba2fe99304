"""A kind of bulk action that makes several changes. No table changes."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("contacts", "0025_search_function")]

    operations = [
        migrations.AlterField("bulkaction", "kind", models.CharField(choices=[("update", "Update"), ("add_tag", "Add a tag"), ("remove_tag", "Remove a tag"), ("set_locale", "Set the locale"), ("opt_out", "Opt out"), ("delete", "Delete"), ("merge_tags", "Merge tags"), ("rename_tag", "Rename a tag"), ("delete_tags", "Delete tags"), ("undo", "Undo"), ("merge_pairs", "Merge duplicates")], max_length=20)),
        migrations.AlterField(
            "bulkaction",
            "value",
            models.TextField(blank=True, help_text="The tag, or tags; the locale; the change set; what to update, as JSON."),
        ),
    ]
