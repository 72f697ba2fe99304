"""A page that says how many contacts there are, before something is done to them."""

from collections.abc import Callable, Iterable
from operator import methodcaller
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.models import ADDITION, LogEntry
from django.http import HttpRequest, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse

from tenants.admin import TenantOwnedAdmin, user_of
from tenants.models import Tenant

from .. import bulk_actions
from ..models import BulkAction, ContactQuerySet

NAMED = 5  # contacts that a page names
SUGGESTED = 500  # tags
SEVERAL_TENANTS = "These are of several tenants: filter the list by one first."


class SureForm(forms.Form):
    """`count`: how many the page has said there are. `value`: what the action needs."""

    count = forms.IntegerField(widget=forms.HiddenInput)

    def answer(self) -> str:
        return self.cleaned_data.get("value", "")


class Question(NamedTuple):
    """`done`: of the button. `warning`: what people should know before."""

    title: str
    done: str
    form: Callable[[Any], SureForm] = SureForm
    warning: str = ""
    is_grave: bool = False


Act = Callable[[SureForm], HttpResponseBase]


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
        count = contacts.order_by().count()
        form = question.form(request.POST if "count" in request.POST else None)
        if form.is_valid() and form.cleaned_data["count"] == count:
            return act(form)
        if form.is_valid():
            sentence = f"By now they are {count:,}, not {form.cleaned_data['count']:,}. Go on?"
            self.message_user(request, sentence, messages.WARNING)
        shared = self.admin_site.each_context(request) | {
            "opts": self.opts, "title": question.title, "question": question, "form": form,
            "count": count, "named": contacts[:NAMED], "more": max(0, count - NAMED),
            "hidden": self.choice(request),
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

        def act(form: SureForm) -> HttpResponseBase:
            chosen: Iterable[str] = contacts.order_by().values_list("pk", flat=True)
            actor = f"user:{user_of(request).pk}"
            action = bulk_actions.start(tenant, actor, kind, value(form), chosen)
            told = f"{action}: {action.total:,} contacts."
            LogEntry.objects.log_actions(
                user_of(request).pk, [action], ADDITION, told, single_object=True
            )
            page = reverse("admin:contacts_bulkaction_change", args=[action.pk])
            return HttpResponseRedirect(page)

        tags = tenant.tags.order_by("name").values_list("name", flat=True)[:SUGGESTED]
        return self.ask(request, contacts, question, act, tags=tags)

    def choice(self, request: HttpRequest) -> list[tuple[str, str]]:
        """What says again which rows of the list were chosen, and what for."""
        chosen = [(ACTION_CHECKBOX_NAME, pk) for pk in request.POST.getlist(ACTION_CHECKBOX_NAME)]
        named = [(name, request.POST.get(name, "")) for name in ("action", "select_across")]
        return [*named, *chosen]

    def tenant_of(self, request: HttpRequest, rows: Any) -> Tenant | None:
        """Theirs; none, and said so, where a superuser has chosen rows of several."""
        if tenant := user_of(request).tenant:
            return tenant
        found = rows.order_by().values_list("tenant", flat=True).distinct()[:2]
        tenants = Tenant.objects.filter(pk__in=[*found])
        if len(tenants) == 1:
            return tenants[0]
        self.message_user(request, SEVERAL_TENANTS, messages.ERROR)
        return None
