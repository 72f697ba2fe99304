from django.db import migrations, models

import tenants.languages


class Migration(migrations.Migration):
    dependencies = [("tenants", "0009_time_zone")]

    operations = [
        migrations.AddField(
            model_name="user",
            name="language",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                help_text="The admin and e-mails are in this language.",
                max_length=16,
                validators=[tenants.languages.validate_language],
            ),
        ),
    ]
