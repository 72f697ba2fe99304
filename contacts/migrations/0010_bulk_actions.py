import django.db.models.deletion
import django.utils.timezone
import tenants.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('contacts', '0009_webhooks'),
        ('tenants', '0002_rate_limit'),
    ]

    operations = [
        migrations.AddIndex('contact', models.Index(fields=['tenant', 'id', 'created_at', 'source'], name='contact_by_age')),
        migrations.CreateModel(
            name='BulkAction',
            fields=[
                ('id', tenants.fields.ULIDField(default=tenants.fields.new_ulid, editable=False, primary_key=True, serialize=False)),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='bulk_actions', to='tenants.tenant')),
                ('actor', models.CharField(help_text='Who asked for it, such as user:7.', max_length=100)),
                ('kind', models.CharField(choices=[('add_tag', 'Add a tag'), ('remove_tag', 'Remove a tag'), ('set_locale', 'Set the locale'), ('opt_out', 'Opt out'), ('delete', 'Delete'), ('merge_tags', 'Merge tags'), ('delete_tags', 'Delete tags'), ('undo', 'Undo')], max_length=20)),
                ('value', models.TextField(blank=True, help_text='The tag, or tags; the locale; the change set.')),
                ('total', models.PositiveIntegerField()),
                ('done', models.PositiveIntegerField(default=0)),
                ('changed', models.PositiveIntegerField(default=0)),
                ('refused', models.PositiveIntegerField(default=0)),
                ('refusals', models.JSONField(default=list, help_text='Of the first of them: phone and reason.')),
                ('problem', models.TextField(blank=True, help_text='Why it does not go on.')),
                ('started_at', models.DateTimeField(default=django.utils.timezone.now)),
                ('finished_at', models.DateTimeField(null=True)),
            ],
            options={'indexes': [models.Index(fields=['tenant', 'id'], name='bulk_action_by_tenant')]},
        ),
        migrations.CreateModel(
            name='BulkBatch',
            fields=[
                ('pk', models.CompositePrimaryKey('tenant_id', 'action_id', 'number', blank=True, editable=False, primary_key=True, serialize=False)),
                ('tenant', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='+', to='tenants.tenant')),
                ('action', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='left', to='contacts.bulkaction')),
                ('number', models.PositiveIntegerField()),
                ('contacts', models.BinaryField(help_text='Their ids, 16 bytes each.')),
            ],
        ),
    ]
