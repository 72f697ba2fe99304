import django.db.models.fields.json
import tenants.fields
from django.db import migrations, models


def move_into(apps, schema_editor):
    """What contacts were merged into stood among the fields."""
    changes = apps.get_model("contacts", "Change").objects.using(schema_editor.connection.alias)
    for change in changes.filter(kind="merged", fields__has_key="into").iterator():
        change.into = change.fields.pop("into")
        change.save(update_fields=["into", "fields"])


class Migration(migrations.Migration):

    dependencies = [
        ('contacts', '0007_changes'),
        ('tenants', '0002_rate_limit'),
    ]

    operations = [
        migrations.AddField(
            model_name='change',
            name='into',
            field=tenants.fields.ULIDField(null=True),
        ),
        migrations.RunPython(move_into, migrations.RunPython.noop),
        migrations.AlterField(
            model_name='change',
            name='kind',
            field=models.CharField(choices=[('created', 'Created'), ('updated', 'Updated'), ('deleted', 'Deleted'), ('merged', 'Merged'), ('erased', 'Erased'), ('opted_in', 'Opted In'), ('opted_out', 'Opted Out')], max_length=20),
        ),
        migrations.AddIndex(
            model_name='change',
            index=models.Index(fields=['tenant', 'change_set'], name='change_by_set'),
        ),
        migrations.AddIndex(
            model_name='change',
            index=models.Index(condition=models.Q(('kind__in', ['deleted', 'erased', 'merged'])), fields=['tenant', 'at', 'contact_id'], name='change_ends'),
        ),
        migrations.AddIndex(
            model_name='change',
            index=models.Index(condition=models.Q(('into__isnull', False)), fields=['tenant', 'into'], name='change_merged_into'),
        ),
        migrations.AddIndex(
            model_name='change',
            index=models.Index(models.F('tenant'), django.db.models.fields.json.KeyTransform('old', django.db.models.fields.json.KeyTransform('phone', 'fields')), condition=models.Q(('fields__has_key', 'phone')), name='change_of_phone'),
        ),
    ]
