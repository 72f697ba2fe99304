import phonenumbers
from django.db import transaction
from django.urls import path
from rest_framework import serializers, status
from rest_framework.response import Response
from rest_framework.views import APIView

from .models import Contact, Tag


class ContactSerializer(serializers.ModelSerializer):
    tags = serializers.ListField(
        child=serializers.CharField(max_length=100), default=[], write_only=True
    )

    class Meta:
        model = Contact
        fields = ["id", "phone", "name", "email", "tags", "metadata", "created_at"]
        extra_kwargs = {"metadata": {"write_only": True}, "phone": {"max_length": 64}}

    def validate_phone(self, raw):
        try:
            parsed = phonenumbers.parse(raw)
        except phonenumbers.NumberParseException as error:
            raise serializers.ValidationError(str(error)) from error
        if not phonenumbers.is_possible_number(parsed):
            raise serializers.ValidationError("Not a possible number.")
        return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)

    @transaction.atomic
    def create(self, fields):
        tenant, phone, names = fields.pop("tenant"), fields.pop("phone"), fields.pop("tags")
        contact, _ = Contact.objects.update_or_create(tenant=tenant, phone=phone, defaults=fields)
        contact.tags.set([Tag.objects.get_or_create(tenant=tenant, name=name)[0] for name in names])
        return contact

    def to_representation(self, contact):
        names = [tag.name for tag in contact.tags.all()]
        return super().to_representation(contact) | {"tags": names}


class CreateContact(APIView):
    def post(self, request):
        serializer = ContactSerializer(data=request.data)
        serializer.is_valid(raise_exception=True)
        serializer.save(tenant=request.user.tenant)
        return Response(serializer.data, status=status.HTTP_201_CREATED)


urlpatterns = [path("api/v1/actions/create-contact", CreateContact.as_view())]
