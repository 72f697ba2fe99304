from django.db import migrations, models

import tenants.time_zones


class Migration(migrations.Migration):
    dependencies = [("tenants", "0008_oauth")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="time_zone",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="Days and times of the admin are in this zone.",
                max_length=64,
                validators=[tenants.time_zones.validate_time_zone],
            ),
        ),
    ]
