from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('contacts', '0010_bulk_actions'),
    ]

    operations = [
        migrations.AddField(
            model_name='import',
            name='is_draft',
            field=models.BooleanField(default=False, help_text='It is still being chosen how; dry runs keep its file.'),
        ),
        migrations.AlterField(
            model_name='import',
            name='state',
            field=models.CharField(choices=[('draft', 'Draft'), ('queued', 'Queued'), ('reading', 'Reading'), ('writing', 'Writing'), ('done', 'Done'), ('refused', 'Refused')], default='reading', max_length=20),
        ),
    ]
