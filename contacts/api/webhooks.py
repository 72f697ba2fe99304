"""Webhooks: the body that creates one, what is shown of one, and the views."""

from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound, ValidationError
from rest_framework.request import Request

from contacts.finding import cursors
from contacts.models import EVENTS, MAX_URL, Delivery, Webhook
from contacts.values import rules
from contacts.webhooks import outbox
from contacts.webhooks.rules import delivery_id, endpoint, events
from tenants.answers import Answer
from tenants.serializers import OrNull

from .actions import Scope, found_or_404, read_cursor
from .examples import WEBHOOK
from .fields import (
    CURSOR,
    FLAG,
    ID,
    MOMENT,
    LimitField,
    RuleField,
    Timestamp,
    or_null,
    shared,
)
from .idempotency import RepeatableView

MAX_DELIVERIES, DELIVERIES = 500, 100  # on a page: at most, and by default
MAX_REPLAYED = 10_000  # by one request


URL = {"type": "string", "format": "uri", "pattern": "^https?://", "maxLength": MAX_URL}
CHOSEN_EVENTS = or_null({"type": "array", "items": {"type": "string", "enum": EVENTS}})
HTTPS = "https, to a public address. http and private addresses: only in networks that the operator"
HTTPS += " of the service allows."


class WebhookInput(serializers.Serializer):
    """The body that creates a webhook."""

    url = RuleField(
        endpoint,
        URL,
        required=True,
        error_messages={"required": "The url is required."},
        help_text=HTTPS,
    )
    events = RuleField(events, CHOSEN_EVENTS, help_text="Which events to send; default: all.")
    import_rows = RuleField(
        rules.flag, FLAG, help_text="Also an event for each contact that an import writes."
    )


class WebhookChanges(serializers.Serializer):
    """The body that changes a webhook. What is left out stays."""

    url = RuleField(endpoint, URL, required=False)
    events = RuleField(events, CHOSEN_EVENTS, required=False)
    import_rows = RuleField(rules.flag, or_null({"type": "boolean"}), required=False)
    paused = RuleField(
        rules.flag,
        or_null({"type": "boolean"}),
        required=False,
        help_text="True lets deliveries wait; false sends those that have waited.",
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
        help_text="Set by `paused`, and after three days of failures; deliveries wait meanwhile.",
    )


class NewWebhook(ShownWebhook):
    """A webhook with the secret that signs its deliveries, which is shown only this once."""

    secret = serializers.CharField(
        allow_null=True, help_text="Null in an answer that is repeated for an `Idempotency-Key`."
    )


class ShownDelivery(serializers.Serializer):
    """An event that is sent to a webhook."""

    id = serializers.CharField(help_text="As `X-Qyvo-Delivery-Id` and `webhook-id`.")
    event = serializers.CharField()
    sequence = serializers.IntegerField(source="change_id", allow_null=True)
    state = serializers.ChoiceField(
        Delivery.State.values, help_text="`dead`: all attempts have failed."
    )
    attempts = serializers.IntegerField()
    next_attempt_at = Timestamp(source="next_attempt", allow_null=True)
    last_status = serializers.IntegerField(
        allow_null=True, help_text="The status of the last answer; null if none came."
    )
    problem = OrNull(help_text="Why the last attempt has failed.")
    created_at = Timestamp()
    finished_at = Timestamp(allow_null=True)


class DeliveryPage(serializers.Serializer):
    """A page of deliveries, the newest first."""

    data = ShownDelivery(many=True)  # type: ignore[assignment]
    next_cursor = OrNull(help_text="Null on the last page.")


class DeliveriesInput(serializers.Serializer):
    """The query of list-deliveries."""

    limit = LimitField(MAX_DELIVERIES, DELIVERIES)
    cursor = RuleField(rules.cursor, CURSOR)


class ReplayInput(serializers.Serializer):
    """The body of replay-webhook: one delivery, or all since a time."""

    delivery_id = RuleField(
        delivery_id, or_null(ID), help_text="One delivery, also if it has arrived."
    )
    since = RuleField(
        rules.timestamp, MOMENT, help_text="The dead deliveries that were made since then."
    )
    delivered = RuleField(rules.flag, FLAG, help_text="With `since`: those that have arrived, too.")
    cursor = RuleField(rules.cursor, CURSOR)

    def validate(self, fields: dict[str, Any]) -> dict[str, Any]:
        if not fields["delivery_id"] and not fields["since"]:
            raise serializers.ValidationError({"since": ["Send a delivery_id, or since."]})
        return fields


class Replayed(serializers.Serializer):
    """The answer of replay-webhook."""

    replayed = serializers.IntegerField(help_text="How many deliveries are sent again.")
    next_cursor = OrNull(help_text="Send it as `cursor` to go on; null if none are left.")


# Webhooks


class UrlIsTaken(APIException):
    status_code = HTTPStatus.CONFLICT
    contract_code = "conflict"
    default_detail = outbox.UrlTaken.sentence % {"id": WEBHOOK["id"]}


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


class UpdateWebhook:
    """Changes a webhook, or pauses or resumes it.

    What the body leaves out stays.
    """

    scopes = (Scope.READ, Scope.WRITE)
    rights = ("contacts.change_webhook",)
    input_class = WebhookChanges
    output_class = ShownWebhook
    conflict = UrlIsTaken


class DeleteWebhook:
    """Deletes a webhook and its deliveries. Pending deliveries are not sent."""

    scopes = (Scope.WRITE,)
    rights = ("contacts.delete_webhook",)
    success = HTTPStatus.NO_CONTENT


class Webhooks(RepeatableView):
    http_method_names = ["get", "head", "post"]
    operations = {"GET": ListWebhooks, "POST": CreateWebhook}

    def get(self, request: Request) -> Answer:
        found = self.tenant.webhooks.order_by("pk")
        return Answer(ListWebhooks.output_class(found, many=True).data)

    def post(self, request: Request) -> Answer:
        body = CreateWebhook.input_class(data=request.data)
        body.is_valid(raise_exception=True)
        webhook = Webhook(tenant=self.tenant, **body.validated_data)
        with url_errors():
            outbox.create(webhook)
        return Answer(CreateWebhook.output_class(webhook).data, status=CreateWebhook.success)


@contextmanager
def url_errors() -> Iterator[None]:
    """Answers what the outbox refuses because of the URL."""
    try:
        yield
    except outbox.UrlTaken as error:
        raise UrlIsTaken(str(error)) from error
    except ValueError as error:
        raise ValidationError({"url": [str(error)]}) from error


class WebhookView(RepeatableView):
    """What all views of one webhook share."""

    def find(self, pk: str) -> Webhook:
        """Raises `NotFound`."""
        return found_or_404(self.tenant.webhooks.all(), pk, "Webhook")

    def handle_exception(self, error: Exception) -> Any:
        """A webhook may be deleted between `find` and the lock of a change."""
        if isinstance(error, Webhook.DoesNotExist):
            error = NotFound("Webhook not found")
        return super().handle_exception(error)


class OneWebhook(WebhookView):
    http_method_names = ["get", "head", "patch", "delete"]
    operations = {"GET": GetWebhook, "PATCH": UpdateWebhook, "DELETE": DeleteWebhook}

    def get(self, request: Request, id: str) -> Answer:  # noqa: A002
        return Answer(GetWebhook.output_class(self.find(id)).data)

    def patch(self, request: Request, id: str) -> Answer:  # noqa: A002
        webhook = self.find(id)
        fields = shared(UpdateWebhook.input_class).run_validation(request.data)
        with url_errors():
            outbox.change(webhook, fields)
        return Answer(UpdateWebhook.output_class(webhook).data)

    def delete(self, request: Request, id: str) -> Answer:  # noqa: A002
        self.find(id).delete()
        return Answer(status=DeleteWebhook.success)


class RotateWebhook(WebhookView):
    """Gives a webhook a new secret.

    The secret is in this answer and nowhere else. For 24 hours, deliveries are signed with the old
    secret, too.
    """

    http_method_names = ["post"]
    scopes = (Scope.READ, Scope.WRITE)
    rights = ("contacts.change_webhook",)
    output_class = NewWebhook

    def post(self, request: Request, id: str) -> Answer:  # noqa: A002
        webhook = self.find(id)
        webhook.rotate()
        return Answer(self.output_class(webhook).data)


class TestWebhook(WebhookView):
    """Sends a test: the delivery `webhook.test`.

    `list-deliveries` shows whether it arrives.
    """

    http_method_names = ["post"]
    scopes = (Scope.WRITE,)
    rights = ("contacts.change_webhook",)
    output_class = ShownDelivery
    success = HTTPStatus.ACCEPTED

    def post(self, request: Request, id: str) -> Answer:  # noqa: A002
        delivery = outbox.enqueue_test(self.find(id))
        return Answer(self.output_class(delivery).data, status=self.success)


class ListDeliveries(WebhookView):
    """The deliveries of a webhook, the newest first, each with the last answer to it."""

    http_method_names = ["get", "head"]
    scopes = (Scope.READ,)
    rights = ("contacts.view_webhook",)
    output_class = DeliveryPage
    query_parameters = {
        "limit": (
            {"type": "integer", "minimum": 1, "maximum": MAX_DELIVERIES},
            f"Default: {DELIVERIES}.",
        ),
        "cursor": ({"type": "string"}, "`next_cursor` of the page before."),
    }

    def get(self, request: Request, id: str) -> Answer:  # noqa: A002
        webhook = self.find(id)
        asked = shared(DeliveriesInput).run_validation(request.query_params.dict())
        scope = (self.tenant.pk, "deliveries", webhook.pk)
        found = webhook.own_deliveries().order_by("-pk")
        if after := read_cursor(asked["cursor"], *scope):
            found = found.filter(pk__lt=after[0])
        limit = asked["limit"]
        rows = list(found[: limit + 1])
        has_more = len(rows) > limit
        next_cursor = cursors.write((rows[limit - 1].pk,), *scope) if has_more else None
        page = {"data": rows[:limit], "next_cursor": next_cursor}
        return Answer(self.output_class(page).data)


class ReplayWebhook(WebhookView):
    """Sends deliveries of a webhook again, under the same ids, and resumes it if it is paused.

    A request sends about 10,000 again; `next_cursor` goes on with the others. Pending deliveries
    are left out, and deliveries whose change is no longer in the change log.
    """

    http_method_names = ["post"]
    scopes = (Scope.WRITE,)
    rights = ("contacts.change_webhook",)
    input_class = ReplayInput
    output_class = Replayed

    def post(self, request: Request, id: str) -> Answer:  # noqa: A002
        webhook = self.find(id)
        asked = shared(self.input_class).run_validation(request.data)
        asked["delivery"] = asked.pop("delivery_id")
        scope = (self.tenant.pk, "replay", webhook.pk)
        (after,) = read_cursor(asked.pop("cursor"), *scope) or ("",)
        try:
            done = outbox.replay_of(webhook, **asked, after=after, most=MAX_REPLAYED)
        except Delivery.DoesNotExist:
            raise NotFound("Delivery not found") from None
        next_cursor = cursors.write((done.last,), *scope) if done.last else None
        answer = {"replayed": done.number, "next_cursor": next_cursor}
        return Answer(self.output_class(answer).data)
