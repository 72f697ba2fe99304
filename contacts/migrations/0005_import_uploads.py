from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('contacts', '0004_imports'),
    ]

    operations = [
        migrations.AddField(
            model_name='import',
            name='actor',
            field=models.CharField(default='', help_text='Who asked for it, such as user:7.', max_length=100),
        ),
        migrations.AddField(
            model_name='import',
            name='dry_run',
            field=models.BooleanField(default=False, help_text='Count only, and write nothing.'),
        ),
        migrations.AddField(
            model_name='import',
            name='problem',
            field=models.TextField(blank=True, help_text='Why it was refused.'),
        ),
        migrations.AddField(
            model_name='import',
            name='rows',
            field=models.PositiveIntegerField(help_text='Records of the file, once read.', null=True),
        ),
        migrations.AlterField(
            model_name='import',
            name='fingerprint',
            field=models.CharField(blank=True, help_text='SHA-256 of the file and the options.', max_length=64),
        ),
        migrations.AlterField(
            model_name='import',
            name='state',
            field=models.CharField(choices=[('queued', 'Queued'), ('reading', 'Reading'), ('writing', 'Writing'), ('done', 'Done'), ('refused', 'Refused')], default='reading', max_length=20),
        ),
    ]
