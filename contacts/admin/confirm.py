"""The page before a change to many contacts. It shows their number and asks to confirm it.

Everything that changes many contacts at once (`bulk`, `tags`) goes through this page: a wrong
filter is the most common way to change the wrong contacts.
"""

from collections.abc import Callable
from operator import methodcaller
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.contrib.humanize.templatetags.humanize import intcomma
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, override

from contacts.change_log.cause import actor_of_user
from contacts.jobs import bulk_actions
from contacts.models import BulkAction, Contact, ContactQuerySet
from tenants.admin import TenantOwnedAdmin, user_of
from tenants.models import Tenant

MAX_NAMED = 5  # contacts that the page shows by name
MAX_SUGGESTIONS = 500  # tags
SEVERAL_TENANTS = gettext_noop(
    "The selected rows belong to several tenants. Filter the list by one tenant."
)
ALL_GONE = gettext_noop("The selected rows no longer exist. Reload the list.")
NUMBER_HAS_CHANGED = gettext_noop(
    "The number of contacts has changed: %(now)s now, %(before)s before."
    " Nothing was changed. Check the number and confirm again."
)


class ConfirmForm(forms.Form):
    """`count`: the number of contacts that the page showed. Subclasses add `value`, which the
    action needs, such as a tag."""

    class Meta:
        """See `erasing.ConfirmForm`."""

    count = forms.IntegerField(widget=forms.HiddenInput)

    def answer(self) -> str:
        return self.cleaned_data.get("value", "")


class Question(NamedTuple):
    """What the page asks. Its texts are in the language of the user; see `translated`.

    `button`: the text of the button. `warning`: what people should know first. `is_dangerous`: the
    button is red. `may_be_empty`: the action is possible without contacts: a tag that no contact
    has can be merged or deleted.
    """

    title: str
    button: str
    form: Callable[[Any], ConfirmForm] = ConfirmForm
    warning: str = ""
    is_dangerous: bool = False
    may_be_empty: bool = False

    def translated(self) -> "Question":
        """For a constant, in which `gettext_noop` marks the texts."""
        return self._replace(title=_(self.title), button=_(self.button), warning=_(self.warning))


# Changes the contacts and returns the response. If there is now another number of contacts than
# the confirmed number, it changes nothing and returns None.
Act = Callable[[ConfirmForm, int], HttpResponseBase | None]


def start(
    request: HttpRequest, tenant: Tenant, kind: BulkAction.Kind, value: str, chosen: list[str]
) -> HttpResponseBase:
    """Starts a bulk action and redirects to the page with its progress.

    `value`: what the action needs, such as a tag. `chosen`: the ids of the contacts.
    """
    user = user_of(request)
    action = bulk_actions.plan(tenant, actor_of_user(user.pk), kind, value, chosen)
    with override(None):  # the log is English, in which all staff can read it
        summary = f"{action}: {action.total:,} {action.noun}s."
        LogEntry.objects.log_actions(user.pk, [action], ADDITION, summary, single_object=True)
    bulk_actions.start(action)
    return HttpResponseRedirect(reverse("admin:contacts_bulkaction_change", args=[action.pk]))


def log(request: HttpRequest, summary: str) -> None:
    """Writes an entry to the admin's log for many contacts. Only for work without a bulk action,
    which has an entry of its own. `summary`: in English, as all of the log."""
    LogEntry.objects.create(
        user=user_of(request), action_flag=CHANGE, object_repr=summary,
        content_type=ContentType.objects.get_for_model(Contact),
    )  # fmt: skip


class ConfirmActionAdmin(TenantOwnedAdmin):
    """An admin with actions that show the number of contacts before they begin."""

    def ask(
        self,
        request: HttpRequest,
        contacts: ContactQuerySet,
        question: Question,
        act: Act,
        **context: Any,
    ) -> HttpResponseBase:
        """Shows the number of contacts. Calls `act` once somebody has confirmed this number."""
        form = question.form(request.POST if "count" in request.POST else None)
        confirmed = form.cleaned_data["count"] if form.is_valid() else None
        if confirmed is not None and (response := act(form, confirmed)):
            return response
        count = contacts.order_by().count()
        if confirmed is not None:
            numbers = {"now": intcomma(count), "before": intcomma(confirmed)}
            self.message_user(request, _(NUMBER_HAS_CHANGED) % numbers, messages.WARNING)
        may_view = request.user.has_perm("contacts.view_contact")
        named = [*contacts[:MAX_NAMED]] if may_view else []
        shared = self.admin_site.each_context(request) | {
            "opts": self.opts, "title": question.title, "question": question, "form": form,
            "count": count, "named": named, "more": count - len(named),
            "hidden": self.hidden_fields(request),
            "is_all": request.POST.get("select_across") == "1",
            "filters": self.filters_in_words(request),
        }  # fmt: skip
        return TemplateResponse(request, "admin/contacts/contact/bulk.html", shared | context)

    def ask_to_start(
        self,
        request: HttpRequest,
        contacts: ContactQuerySet,
        question: Question,
        tenant: Tenant,
        kind: BulkAction.Kind,
        value: Callable[[Any], str] = methodcaller("answer"),
    ) -> HttpResponseBase:
        """Asks, and then starts a bulk action. `value`: gets its value from the valid form."""

        def act(form: ConfirmForm, confirmed: int) -> HttpResponseBase | None:
            chosen = list(contacts.order_by().values_list("pk", flat=True))
            if len(chosen) != confirmed:
                return None
            return start(request, tenant, kind, value(form), chosen)

        tags = tenant.tags.order_by("name").values_list("name", flat=True)[:MAX_SUGGESTIONS]
        return self.ask(request, contacts, question, act, tags=tags)

    def filters_in_words(self, request: HttpRequest) -> list[str] | None:
        """The filters of the list on which the action was chosen. None if the rows of the list are
        not contacts."""
        return None

    def hidden_fields(self, request: HttpRequest) -> list[tuple[str, str]]:
        """Form fields that repeat the action and the chosen rows in the next request."""
        chosen = [(ACTION_CHECKBOX_NAME, pk) for pk in request.POST.getlist(ACTION_CHECKBOX_NAME)]
        action = [(name, request.POST.get(name, "")) for name in ("action", "select_across")]
        return [*action, *chosen]

    def tenant_of(self, request: HttpRequest, rows: Any) -> Tenant | None:
        """The one tenant of the chosen rows. Otherwise shows an error and returns None: a superuser
        may choose rows of several tenants, or rows that somebody has deleted."""
        if not request.user.is_superuser:
            return user_of(request).tenant
        found = rows.order_by().values_list("tenant", flat=True).distinct()[:2]
        tenants = Tenant.objects.filter(pk__in=[*found])
        if len(tenants) == 1:
            return tenants[0]
        sentence = _(SEVERAL_TENANTS) if tenants else _(ALL_GONE)
        self.message_user(request, sentence, messages.ERROR)
        return None
