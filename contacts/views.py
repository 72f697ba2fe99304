"""One small class per action."""

from http import HTTPStatus

from rest_framework.request import Request
from rest_framework.response import Response

from tenants.views import TenantAPIView

from .models import Contact
from .serializers import ContactInput, ContactSummary


class ActionView(TenantAPIView):
    http_method_names = ["post"]


class CreateContact(ActionView):
    """Upserts a contact by phone: 201 either way, and a header that tells which it was."""

    def post(self, request: Request) -> Response:
        body = ContactInput(data=request.data, context={"region": self.tenant.default_region})
        body.is_valid(raise_exception=True)
        fields = body.validated_data
        contact, _ = self.tenant.contacts.update_or_create(
            phone=fields.pop("phone"),
            defaults=fields,
            create_defaults={"source": Contact.Source.API},
        )
        return Response(
            ContactSummary(contact).data,
            status=HTTPStatus.CREATED,
            headers={"Qyvo-Result": contact.outcome},
        )
