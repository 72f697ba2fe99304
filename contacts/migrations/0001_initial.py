import django.db.models.deletion
import django.utils.timezone
from django.db import migrations, models
from django.db.models import Q
from django.db.models.functions import Upper

import contacts.db.fields
import contacts.values.rules
import tenants.fields


class Migration(migrations.Migration):
    initial = True

    dependencies = [("tenants", "0001_initial")]

    operations = [
        migrations.CreateModel(
            name="Tag",
            fields=[
                ("id", tenants.fields.ULIDField(default=tenants.fields.new_ulid, editable=False, primary_key=True, serialize=False)),
                ("name", models.CharField(max_length=100)),
                ("created_at", models.DateTimeField(auto_now_add=True)),
                ("tenant", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="tags", to="tenants.tenant")),
            ],
            options={
                "ordering": ["name"],
                "constraints": [
                    models.UniqueConstraint(fields=["tenant", "name"], name="tag_name_per_tenant"),
                    models.CheckConstraint(condition=~Q(name__contains=",") & ~Q(name=""), name="tag_name_fits_a_list"),
                ],
            },
        ),
        migrations.CreateModel(
            name="Contact",
            fields=[
                ("id", tenants.fields.ULIDField(default=tenants.fields.new_ulid, editable=False, primary_key=True, serialize=False)),
                ("phone", models.CharField(help_text="E.164, such as +14155550123.", max_length=16)),
                ("name", models.CharField(blank=True, max_length=255)),
                ("email", models.EmailField(blank=True, max_length=254)),
                ("tags", contacts.db.fields.TagNamesField(blank=True, default=list)),
                ("metadata", models.JSONField(blank=True, default=dict, encoder=contacts.values.rules.CompactJSON)),
                ("source", models.CharField(choices=[("manual", "Manual"), ("csv_import", "CSV import"), ("shopify", "Shopify"), ("woocommerce", "WooCommerce"), ("widget", "Widget"), ("zapier", "Zapier"), ("api", "API")], default="api", editable=False, max_length=20)),
                ("locale", models.CharField(blank=True, max_length=35)),
                ("opted_in_at", models.DateTimeField(editable=False, null=True)),
                ("opted_out_at", models.DateTimeField(editable=False, null=True)),
                ("last_message_at", models.DateTimeField(editable=False, null=True)),
                ("total_messages", models.PositiveIntegerField(default=0, editable=False)),
                ("created_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("updated_at", models.DateTimeField(default=django.utils.timezone.now, editable=False)),
                ("tenant", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="contacts", to="tenants.tenant")),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=["tenant", "phone"], name="contact_phone_per_tenant"),
                    models.CheckConstraint(condition=Q(phone__startswith="+"), name="contact_phone_international"),
                ],
                "indexes": [
                    models.Index("tenant", Upper("email"), name="contact_email"),
                    models.Index(fields=["tenant", "updated_at", "id"], name="contact_keyset"),
                ],
            },
        ),
        migrations.CreateModel(
            name="ContactTag",
            fields=[
                ("pk", models.CompositePrimaryKey("tenant_id", "tag_id", "contact_id", blank=True, editable=False, primary_key=True, serialize=False)),
                ("tenant", models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name="+", to="tenants.tenant")),
                ("tag", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="links", to="contacts.tag")),
                ("contact", models.ForeignKey(on_delete=django.db.models.deletion.CASCADE, related_name="links", to="contacts.contact")),
            ],
        ),
    ]
