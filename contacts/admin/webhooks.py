"""Webhooks and their deliveries in the admin."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.contrib.humanize.templatetags.humanize import intcomma
from django.db import models
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext, pgettext
from unfold.widgets import UnfoldAdminCheckboxSelectMultipleWidget

from contacts.models import EVENTS, Delivery, DeliveryQuerySet, Webhook
from contacts.values import rules
from contacts.webhooks import outbox
from contacts.webhooks.rules import endpoint
from tenants.admin import (
    TenantForm,
    TenantOwnedAdmin,
    TenantOwnedRetryAdmin,
    save_changed,
    superusers_only,
)

from .describe import local_time
from .forms import RuleFormField

HTTPS = gettext_lazy(
    "https, to a public address. Networks in WEBHOOK_ALLOWED_NETWORKS are reached with http, too."
)
MOST = 1000  # deliveries of a state that are counted


class WebhookForm(TenantForm):
    """Uses the rules of the API."""

    url = RuleFormField(endpoint, label=gettext_lazy("Url"), help_text=HTTPS)
    events = forms.MultipleChoiceField(
        label=gettext_lazy("Events"),
        choices=[(name, name) for name in EVENTS],
        initial=EVENTS,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta:
        model = Webhook
        fields = ["tenant", "url", "events", "import_rows"]

    def clean(self) -> None:
        super().clean()
        tenant = self.row_tenant()
        try:
            if tenant and "url" in self.cleaned_data:
                outbox.refuse_same_url(tenant, self.cleaned_data["url"], self.instance.pk)
            if self.instance._state.adding and tenant:
                outbox.refuse_too_many(tenant)
        except ValueError as error:
            self.add_error(None, str(error))


@admin.register(Webhook)
class WebhookAdmin(TenantOwnedRetryAdmin):
    """The secret is shown once: on the page that follows its creation or its rotation."""

    form = WebhookForm
    list_display = ["url", "event_names", "state", "last_success_at", "created_at"]
    ordering = ["-pk"]
    fields = ["tenant", "url", "events", "import_rows"]
    shown = ["id", "state", "waiting", "last_success_at", "rotated_at", "created_at"]
    readonly_fields = shown
    actions = ["rotate", "test", "pause", "resume", "replay"]

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        fields = super().get_fields(request, obj)
        return [*fields, *self.shown] if obj else fields

    def save_model(self, request: HttpRequest, obj: Webhook, form: Any, change: bool) -> None:
        if change:
            save_changed(obj, form)
        else:
            outbox.create(obj)

    def response_add(
        self, request: HttpRequest, obj: Webhook, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self.show_secret(request, obj)

    def show_secret(self, request: HttpRequest, webhook: Webhook) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": _("Secret of the webhook"), "webhook": webhook, "secret": webhook.secret,
            "opts": self.opts,
        }  # fmt: skip
        return TemplateResponse(request, "admin/contacts/webhook/secret.html", context)

    @admin.display(description=gettext_lazy("events"))
    def event_names(self, webhook: Webhook) -> str:
        return pgettext("events", "all") if webhook.events == EVENTS else ", ".join(webhook.events)

    @admin.display(description=gettext_lazy("State"))
    def state(self, webhook: Webhook) -> str:
        if webhook.paused_at:
            return _("paused since %(time)s") % {"time": local_time(webhook.paused_at)}
        if webhook.failing_since:
            return _("failing since %(time)s") % {"time": local_time(webhook.failing_since)}
        return pgettext("webhook", "active")

    @admin.display(description=gettext_lazy("deliveries"))
    def waiting(self, webhook: Webhook) -> str:
        """A link to the deliveries."""
        address = f"{reverse('admin:contacts_delivery_changelist')}?q={webhook.pk}"
        pending, dead = (
            number_of(webhook, state) for state in (Delivery.State.PENDING, Delivery.State.DEAD)
        )
        texts = [
            ngettext("%(count)s pending", "%(count)s pending", pending) % shown(pending),
            ngettext("%(count)s dead", "%(count)s dead", dead) % shown(dead),
        ]
        return format_html('<a href="{}">{}</a>', address, ", ".join(texts))

    @admin.action(
        description=gettext_lazy("Rotate the secret of the selected webhook"),
        permissions=["change"],
    )
    def rotate(self, request: HttpRequest, found: models.QuerySet) -> HttpResponse | None:
        if len(found) != 1:
            self.message_user(request, _("Select one webhook."), messages.ERROR)
            return None
        found[0].rotate()
        self.log_change(request, found[0], gettext_noop("Secret rotated."))
        return self.show_secret(request, found[0])

    @admin.action(description=gettext_lazy("Send a test delivery"), permissions=["change"])
    def test(self, request: HttpRequest, found: models.QuerySet) -> None:
        for webhook in found:
            outbox.enqueue_test(webhook)
        self.message_user(request, _("The test is sent within a few seconds."))

    @admin.action(description=gettext_lazy("Pause webhooks"), permissions=["change"])
    def pause(self, request: HttpRequest, found: models.QuerySet) -> None:
        for webhook in found:
            outbox.pause(webhook)
        self.message_user(request, _("Deliveries wait until the webhook is resumed."))

    @admin.action(description=gettext_lazy("Resume webhooks"), permissions=["change"])
    def resume(self, request: HttpRequest, found: models.QuerySet) -> None:
        for webhook in found:
            outbox.resume(webhook)
        self.message_user(request, _("Waiting deliveries are sent now."))

    @admin.action(description=gettext_lazy("Retry failed deliveries"), permissions=["change"])
    def replay(self, request: HttpRequest, found: models.QuerySet) -> None:
        webhooks = [*found]
        tenants = {webhook.tenant_id for webhook in webhooks}
        dead = Delivery.objects.filter(
            tenant__in=tenants, webhook__in=webhooks, state=Delivery.State.DEAD
        )
        self.message_user(request, to_be_sent(outbox.replay(dead).number))


@admin.register(Delivery)
class DeliveryAdmin(TenantOwnedAdmin):
    """Deliveries that were sent and those that wait. Nobody adds or edits one."""

    list_display = ["id", "event", "webhook", "state", "attempts", "last_status", "reason",
                    "due_at", "finished_at"]  # fmt: skip
    list_filter = ["state", "event"]
    ordering = ["-pk"]
    search_fields = ["webhook"]  # without it, Django shows no search box; see get_search_results
    search_help_text = gettext_lazy("The id of a webhook, or of a delivery")
    actions = ["replay"]
    shown = ["webhook", "event", "logged_as", "state", "attempts", "last_status", "reason",
             "created_at", "due_at", "finished_at"]  # fmt: skip
    fields = ["tenant", *shown]
    readonly_fields = shown

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        """With webhooks, which are joined by their tenant, too."""
        deliveries = super().get_queryset(request).select_related("webhook")
        return deliveries.filter(webhook__tenant=models.F("tenant"))

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet, search_term: str
    ) -> tuple[models.QuerySet, bool]:
        if not (text := search_term.strip()):
            return queryset, False
        try:
            pk = rules.contact_id(text)
        except ValueError:
            return queryset.none(), False
        return queryset.filter(models.Q(webhook=pk) | models.Q(pk=pk)), False

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    @admin.display(description=gettext_lazy("Change id"))
    def logged_as(self, delivery: Delivery) -> int | None:
        """A method, because Django does not translate the name `change_id`."""
        return delivery.change_id

    @admin.display(description=gettext_lazy("Problem"), ordering="problem")
    def reason(self, delivery: Delivery) -> str:
        """In the language of the user, but for the error of the program in brackets."""
        status, problem = {"status": delivery.last_status}, delivery.problem
        if problem == outbox.ANSWERED % status:
            return _(outbox.ANSWERED) % status
        for sentence in filter(problem.startswith, outbox.NO_ANSWER):
            return _(sentence) + problem.removeprefix(sentence)
        return problem

    # Needed when a superuser deletes a tenant with all its rows.
    has_delete_permission = superusers_only

    @admin.action(
        description=gettext_lazy("Send the selected deliveries again"), permissions=["change"]
    )
    def replay(self, request: HttpRequest, found: DeliveryQuerySet) -> None:
        found = found.order_by()
        chosen = Delivery.objects.filter(
            tenant__in=found.values("tenant"), pk__in=found.values("pk")
        )  # without the joins of the list
        self.message_user(request, to_be_sent(outbox.replay(chosen).number))


def number_of(webhook: Webhook, state: str) -> int:
    """How many deliveries the webhook has in this state, at most `MOST` and one: a paused webhook
    may have millions, and not all of them are counted."""
    return webhook.own_deliveries().filter(state=state)[: MOST + 1].count()


def shown(number: int) -> dict[str, str]:
    """The value of a text for a number from `number_of`."""
    over = _("over %(count)s") % {"count": intcomma(MOST)}
    return {"count": over if number > MOST else intcomma(number)}


def to_be_sent(number: int) -> str:
    return _("Deliveries to be sent again: %(count)s.") % {"count": number}
