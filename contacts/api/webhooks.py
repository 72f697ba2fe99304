"""Webhooks: the body that creates one, what is shown of one, and the views."""

from http import HTTPStatus

from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.request import Request
from rest_framework.response import Response

from contacts.models import EVENTS, MAX_URL, Webhook
from contacts.values import rules
from contacts.webhooks import outbox
from contacts.webhooks.rules import endpoint, events

from .actions import Scope
from .examples import WEBHOOK
from .fields import FLAG, RuleField, Timestamp, or_null
from .idempotency import RepeatableView


class WebhookInput(serializers.Serializer):
    """The body that creates a webhook."""

    url = RuleField(
        endpoint,
        {"type": "string", "format": "uri", "pattern": "^https://", "maxLength": MAX_URL},
        required=True,
        error_messages={"required": "The url is required."},
        help_text="HTTPS, at a public address.",
    )
    events = RuleField(
        events,
        or_null({"type": "array", "items": {"type": "string", "enum": EVENTS}}),
        help_text="Which events to send; default: all.",
    )
    import_rows = RuleField(
        rules.flag, FLAG, help_text="Also an event for each contact that an import writes."
    )


class ShownWebhook(serializers.Serializer):
    """A webhook."""

    id = serializers.CharField()
    url = serializers.CharField()
    events = serializers.ListField(child=serializers.ChoiceField(EVENTS))
    import_rows = serializers.BooleanField()
    created_at = Timestamp()
    last_success_at = Timestamp(allow_null=True)
    failing_since = Timestamp(allow_null=True)
    paused_at = Timestamp(
        allow_null=True,
        help_text="Set after three days of failures; deliveries wait until it is resumed.",
    )


class NewWebhook(ShownWebhook):
    """A webhook with the secret that signs its deliveries, which is shown only this once."""

    secret = serializers.CharField(
        allow_null=True, help_text="Null in an answer that is repeated for an `Idempotency-Key`."
    )


# Webhooks


class UrlIsTaken(APIException):
    status_code = HTTPStatus.CONFLICT
    contract_code = "conflict"
    default_detail = str(outbox.UrlTaken(WEBHOOK["id"]))


class CreateWebhook:
    """Creates a webhook: a URL that gets the chosen events from now on.

    The secret is in this answer and nowhere else. A delivery `webhook.test` is sent at once. The
    token must be allowed to read contacts too, because deliveries contain contacts.
    """

    scopes = (Scope.READ, Scope.WRITE)
    rights = ("contacts.add_webhook",)
    input_class = WebhookInput
    output_class = NewWebhook
    success = HTTPStatus.CREATED
    conflict = UrlIsTaken


class ListWebhooks:
    """The tenant's webhooks."""

    scopes = (Scope.READ,)
    rights = ("contacts.view_webhook",)
    output_class = ShownWebhook


class GetWebhook:
    """A webhook, and whether its deliveries arrive."""

    scopes = (Scope.READ,)
    rights = ("contacts.view_webhook",)
    output_class = ShownWebhook


class DeleteWebhook:
    """Deletes a webhook and its deliveries. Pending deliveries are not sent."""

    scopes = (Scope.WRITE,)
    rights = ("contacts.delete_webhook",)
    success = HTTPStatus.NO_CONTENT


class Webhooks(RepeatableView):
    http_method_names = ["get", "head", "post"]
    operations = {"GET": ListWebhooks, "POST": CreateWebhook}

    def get(self, request: Request) -> Response:
        found = self.tenant.webhooks.order_by("pk")
        return Response(ListWebhooks.output_class(found, many=True).data)

    def post(self, request: Request) -> Response:
        body = CreateWebhook.input_class(data=request.data)
        body.is_valid(raise_exception=True)
        webhook = Webhook(tenant=self.tenant, **body.validated_data)
        try:
            outbox.create(webhook)
        except outbox.UrlTaken as error:
            raise UrlIsTaken(str(error)) from error
        except ValueError as error:
            raise ValidationError({"url": [str(error)]}) from error
        return Response(CreateWebhook.output_class(webhook).data, status=CreateWebhook.success)


class OneWebhook(RepeatableView):
    http_method_names = ["get", "head", "delete"]
    operations = {"GET": GetWebhook, "DELETE": DeleteWebhook}

    def get(self, request: Request, id: str) -> Response:  # noqa: A002
        return Response(GetWebhook.output_class(self.find(id)).data)

    def delete(self, request: Request, id: str) -> Response:  # noqa: A002
        self.find(id).delete()
        return Response(status=DeleteWebhook.success)

    def find(self, pk: str) -> Webhook:
        try:
            return self.tenant.webhooks.get(pk=pk)
        except (Webhook.DoesNotExist, ValueError):  # ValueError: `pk` is not an id
            raise NotFound("Webhook not found") from None
