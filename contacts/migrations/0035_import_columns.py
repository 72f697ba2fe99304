"""Imports are found by the columns of their file."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("contacts", "0034_saved_views")]

    operations = [
        migrations.AddField(
            model_name="import",
            name="columns_digest",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="SHA-256 of the names of the columns, if somebody has given their fields.",
                max_length=64,
            ),
        ),
        migrations.AddIndex(
            model_name="import",
            index=models.Index(
                fields=["tenant", "columns_digest", "id"], name="import_by_columns"
            ),
        ),
    ]
