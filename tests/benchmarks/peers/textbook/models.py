from django.conf import settings
from django.db import models


class Tenant(models.Model):
    name = models.CharField(max_length=255)
    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.PROTECT)


class Tag(models.Model):
    tenant = models.ForeignKey(Tenant, models.CASCADE)
    name = models.CharField(max_length=100)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "name"], name="tag_name")]


class Contact(models.Model):
    tenant = models.ForeignKey(Tenant, models.CASCADE)
    phone = models.CharField(max_length=16)
    name = models.CharField(max_length=255, blank=True)
    email = models.EmailField(blank=True)
    metadata = models.JSONField(default=dict)
    tags = models.ManyToManyField(Tag)
    created_at = models.DateTimeField(auto_now_add=True)
    updated_at = models.DateTimeField(auto_now=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["tenant", "phone"], name="contact_phone")]
