"""All policies in a form that also takes a list of tenants: contacts of several tenants are written
together."""

from django.db import migrations

from tenants.isolation import renew


class Migration(migrations.Migration):
    atomic = False  # see `renew`, which can be repeated
    dependencies = [("contacts", "0037_contact_counts"), ("tenants", "0010_language")]

    operations = [renew()]
