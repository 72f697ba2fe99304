import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("tenants", "0003_roles")]

    operations = [
        migrations.AddField(
            "apitoken",
            "replaces",
            models.OneToOneField(
                editable=False,
                null=True,
                on_delete=django.db.models.deletion.SET_NULL,
                related_name="replaced_by",
                to="tenants.apitoken",
            ),
        ),
    ]
