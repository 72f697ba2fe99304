"""A page that says how many contacts there are, before something is done to them."""

from collections.abc import Callable
from operator import methodcaller
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.contenttypes.models import ContentType
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from contacts.jobs import bulk_actions
from contacts.models import BulkAction, Contact, ContactQuerySet
from tenants.admin import TenantOwnedAdmin, user_of
from tenants.models import Tenant

NAMED = 5  # contacts that a page names
SUGGESTED = 500  # tags
SEVERAL_TENANTS = "These are of several tenants: filter the list by one first."
ALL_GONE = "These are not there any more."


class SureForm(forms.Form):
    """`count`: how many the page has said there are. `value`: what the action needs."""

    count = forms.IntegerField(widget=forms.HiddenInput)

    def answer(self) -> str:
        return self.cleaned_data.get("value", "")


class Question(NamedTuple):
    """`done`: of the button. `warning`: what people should know before. `is_of_tags`: it can be
    done where no contact carries them."""

    title: str
    done: str
    form: Callable[[Any], SureForm] = SureForm
    warning: str = ""
    is_grave: bool = False
    is_of_tags: bool = False


# Acts on as many contacts as somebody has agreed to; where there are others by now, on none.
Act = Callable[[SureForm, int], HttpResponseBase | None]


def start(
    request: HttpRequest, tenant: Tenant, kind: BulkAction.Kind, value: str, chosen: list[str]
) -> HttpResponseBase:
    """Starts a bulk action, and leads to the page that shows how far it is."""
    user = user_of(request)
    action = bulk_actions.plan(tenant, f"user:{user.pk}", kind, value, chosen)
    told = f"{action}: {action.total:,} contacts."
    LogEntry.objects.log_actions(user.pk, [action], ADDITION, told, single_object=True)
    bulk_actions.start(action)
    return HttpResponseRedirect(reverse("admin:contacts_bulkaction_change", args=[action.pk]))


def log(request: HttpRequest, told: str) -> None:
    """Says in the admin's log what was done to many contacts, where no bulk action tells of it."""
    LogEntry.objects.create(
        user=user_of(request), action_flag=CHANGE, object_repr=told,
        content_type=ContentType.objects.get_for_model(Contact),
    )  # fmt: skip


class AskingAdmin(TenantOwnedAdmin):
    def ask(
        self,
        request: HttpRequest,
        contacts: ContactQuerySet,
        question: Question,
        act: Act,
        **context: Any,
    ) -> HttpResponseBase:
        """Says how many contacts there are, and acts once somebody has agreed to that number."""
        form = question.form(request.POST if "count" in request.POST else None)
        agreed = form.cleaned_data["count"] if form.is_valid() else None
        if agreed is not None and (answer := act(form, agreed)):
            return answer
        count = contacts.order_by().count()
        if agreed is not None:
            sentence = f"By now they are {count:,}, not {agreed:,}. Go on?"
            self.message_user(request, sentence, messages.WARNING)
        named = [*contacts[:NAMED]] if request.user.has_perm("contacts.view_contact") else []
        shared = self.admin_site.each_context(request) | {
            "opts": self.opts, "title": question.title, "question": question, "form": form,
            "count": count, "named": named, "more": count - len(named),
            "hidden": self.choice(request), "is_all": request.POST.get("select_across") == "1",
            "asked": self.asked_for(request),
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
        """Asks, then starts the bulk action `kind` and shows how far it is."""

        def act(form: SureForm, agreed: int) -> HttpResponseBase | None:
            chosen = list(contacts.order_by().values_list("pk", flat=True))
            return (
                start(request, tenant, kind, value(form), chosen) if len(chosen) == agreed else None
            )

        tags = tenant.tags.order_by("name").values_list("name", flat=True)[:SUGGESTED]
        return self.ask(request, contacts, question, act, tags=tags)

    def asked_for(self, request: HttpRequest) -> list[str] | None:
        """What *all that match* match, in words: the filters of the list that the action was
        chosen on. None where the rows of the list are not contacts."""
        return None

    def choice(self, request: HttpRequest) -> list[tuple[str, str]]:
        """What says again which rows of the list were chosen, and what for."""
        chosen = [(ACTION_CHECKBOX_NAME, pk) for pk in request.POST.getlist(ACTION_CHECKBOX_NAME)]
        named = [(name, request.POST.get(name, "")) for name in ("action", "select_across")]
        return [*named, *chosen]

    def tenant_of(self, request: HttpRequest, rows: Any) -> Tenant | None:
        """Theirs; none, and said so, where what a superuser has chosen is of several, or gone."""
        if not request.user.is_superuser:
            return user_of(request).tenant
        found = rows.order_by().values_list("tenant", flat=True).distinct()[:2]
        tenants = Tenant.objects.filter(pk__in=[*found])
        if len(tenants) == 1:
            return tenants[0]
        self.message_user(request, SEVERAL_TENANTS if tenants else ALL_GONE, messages.ERROR)
        return None
