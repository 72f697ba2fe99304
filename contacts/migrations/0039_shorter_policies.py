"""All policies in a form that searches the tenants of a transaction as text."""

from django.db import migrations

from tenants.isolation import renew


class Migration(migrations.Migration):
    atomic = False  # see `renew`, which can be repeated
    dependencies = [("contacts", "0038_policies_for_several_tenants")]

    operations = [renew()]
