import contacts.values.rules
import django.db.models.deletion
import tenants.fields
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('contacts', '0006_links_without_constraints'),
        ('tenants', '0002_rate_limit'),
    ]

    operations = [
        migrations.CreateModel(
            name='Change',
            fields=[
                ('id', models.BigAutoField(primary_key=True, serialize=False)),
                ('xid', models.BigIntegerField(default=0)),
                ('contact_id', tenants.fields.ULIDField()),
                ('kind', models.CharField(choices=[('created', 'Created'), ('updated', 'Updated'), ('deleted', 'Deleted'), ('merged', 'Merged'), ('erased', 'Erased')], max_length=20)),
                ('fields', models.JSONField(default=dict, encoder=contacts.values.rules.CompactJSON)),
                ('actor', models.CharField(max_length=100)),
                ('request_id', models.CharField(max_length=128)),
                ('change_set', tenants.fields.ULIDField(null=True)),
                ('at', models.DateTimeField()),
                ('tenant', models.ForeignKey(db_constraint=False, db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='changes', to='tenants.tenant')),
            ],
            options={
                'indexes': [models.Index(fields=['tenant', 'contact_id', 'id'], name='change_by_contact'), models.Index(fields=['tenant', 'xid', 'id'], name='change_by_commit')],
            },
        ),
    ]
