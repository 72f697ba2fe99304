"""What happened to a contact, for the staff: its history, its consent, and undo."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from unfold.forms import AdminForm
from unfold.widgets import (
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSplitDateTimeWidget,
    UnfoldAdminTextareaWidget,
    UnfoldAdminTextInputWidget,
)

from contacts.api.contacts import Consented
from contacts.api.fields import CONSENT_STATUS
from contacts.change_log import cause
from contacts.models import BulkAction, Change, Contact
from contacts.writing import consent, undo
from contacts.writing.consent import Decision
from tenants.admin import TenantOwnedAdmin
from tenants.models import Tenant

from . import words
from .asking import log, start
from .forms import checked

SHOWN = 20  # contacts of a dry run


class ConsentForm(forms.Form):
    """A decision; the rules are those of the API."""

    status = forms.ChoiceField(
        choices=[(status, Change.Kind(status).label) for status in CONSENT_STATUS],
        widget=UnfoldAdminRadioSelectWidget,
    )
    at = forms.SplitDateTimeField(
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text="When it was decided. Empty: now.",
    )
    source = forms.CharField(
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text="By which way: a form, a campaign, a phone call.",
    )
    proof = forms.CharField(
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text="What proves it: a letter, the number of an order.",
    )

    def clean(self) -> None:
        super().clean()
        if self.errors:
            return
        at = self.cleaned_data["at"]
        given = self.cleaned_data | {"at": at.isoformat() if at else None}
        if decision := checked(self, Consented, given):
            self.decision = Decision(**decision)


CONSENT_STAYS = (
    "Consent is not undone: it stays as it was decided. If a person decides otherwise, record the"
    " new decision on the contact's page."
)
STILL_RUNNING = "This is still being done. Undo it when it has come to its end."


class HistoryAdmin(TenantOwnedAdmin):
    """The pages of a contact that its change log makes."""

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        undo_view, consent_view = wrap(self.undo_view), wrap(self.consent_view)
        return [
            path("change-sets/<str:change_set>/", undo_view, name="contacts_contact_undo"),
            path("<path:object_id>/consent/", consent_view, name="contacts_contact_consent"),
            *super().get_urls(),
        ]

    def page(
        self, request: HttpRequest, name: str, title: str, context: dict[str, Any]
    ) -> HttpResponse:
        shared = self.admin_site.each_context(request) | {"opts": self.opts, "title": title}
        return TemplateResponse(request, f"admin/contacts/contact/{name}.html", shared | context)

    def missing(self, request: HttpRequest, sentence: str) -> HttpResponse:
        self.message_user(request, sentence, messages.WARNING)
        return HttpResponseRedirect(reverse("admin:index"))

    def no_contact(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """Alike for one that is not there and one that the user may not see."""
        return self.missing(request, f"There is no contact with the id “{unquote(object_id)}”.")

    # History

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        contact = self.get_object(request, unquote(object_id))
        if contact is None:
            return self.no_contact(request, object_id)
        before = position(request.GET.get("before", ""))
        found = words.page(contact, before)
        shown = found[: words.PAGE]
        context = {
            "object": contact,
            "module_name": str(self.opts.verbose_name_plural).capitalize(),
            "changes": shown,
            "is_first": before is None,
            "older": shown[-1].change.pk if len(found) > len(shown) else None,
            "may_undo": self.may_undo(request),
        }
        title = f"History of {contact}"
        return self.page(request, "object_history", title, context | (extra_context or {}))

    # Consent

    def consent_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        contact = self.get_object(request, unquote(object_id))
        if contact is None:
            return self.no_contact(request, object_id)
        form = ConsentForm(request.POST if request.method == "POST" else None)
        if form.is_valid():
            return self.record(request, contact, form.decision)
        fieldsets = [(None, {"fields": [*form.fields]})]
        context = {
            "original": contact,
            "consent": words.consent_of(contact),
            "adminform": AdminForm(form, fieldsets, {}, model_admin=self),
            "errors": form.errors,
            "media": self.media + form.media,
        }
        return self.page(request, "consent", "Record consent", context)

    def record(self, request: HttpRequest, contact: Contact, decision: Decision) -> HttpResponse:
        try:
            contact = consent.decide_one(contact.tenant, {"contact_id": contact.pk}, decision)
        except Contact.DoesNotExist:
            return self.no_contact(request, contact.pk)
        told = f"Recorded: {words.words(decision.status)}."
        self.message_user(request, f"{told} {words.consent_of(contact)}", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:contacts_contact_change", args=[contact.pk]))

    # Undo

    def may_undo(self, request: HttpRequest) -> bool:
        """Contacts are changed, those that were deleted created, and those created deleted."""
        return (
            self.has_change_permission(request)
            and self.has_delete_permission(request)
            and self.has_add_permission(request)
        )

    def undo_view(self, request: HttpRequest, change_set: str) -> HttpResponseBase:
        if not self.may_undo(request):
            raise PermissionDenied
        tenants = self.admin_site.get_model_admin(Tenant).get_queryset(request)
        found = undo.ChangeSet(change_set, tenants)
        if not found.tenants:
            return self.missing(request, f"Nothing was changed under “{change_set}”.")
        summary = found.summary()
        is_running = found.is_running()
        if is_running:
            self.message_user(request, STILL_RUNNING, messages.WARNING)
        if request.method != "POST" or is_running or summary.is_of_consent:
            return self.undo_page(request, found, summary, found.rehearse(SHOWN))
        if summary.contacts > undo.AT_ONCE:
            return self.undo_later(request, found)
        log(request, f"{BulkAction.Kind.UNDO.label}: {found.id}: {summary.contacts:,} contacts")
        return self.undo_page(request, found, summary, found.take_back(), is_done=True)

    def undo_page(
        self,
        request: HttpRequest,
        found: undo.ChangeSet,
        summary: undo.Summary,
        results: list[tuple[Tenant, undo.Undone]],
        *,
        is_done: bool = False,
    ) -> HttpResponse:
        """What would become of the contacts, or has; in the words of the command."""
        context = {
            "change_set": found.id,
            "summary": summary,
            "who": words.Actors([summary.actor], found.tenants).who(summary.actor),
            "began_at": words.when(summary.began_at),
            "lines": [f"{tenant.slug} {line}" for tenant, un in results for line in un.lines()],
            "refusals": [f"{tenant.slug} {no}" for tenant, un in results for no in un.refusals()],
            "left_out": max(0, summary.contacts - len(results)),
            "is_done": is_done,
            "is_later": summary.contacts > undo.AT_ONCE,
            "consent_stays": CONSENT_STAYS,
            "undoing": cause.current.get().change_set() if is_done else "",
        }
        return self.page(request, "undo", "Undone" if is_done else "Undo", context)

    def undo_later(self, request: HttpRequest, found: undo.ChangeSet) -> HttpResponseBase:
        """Leads to the page of the bulk action; where there are several, to their list."""
        begun = [
            start(request, tenant, BulkAction.Kind.UNDO, found.id, found.ids(tenant))
            for tenant in found.tenants
        ]
        several = HttpResponseRedirect(reverse("admin:contacts_bulkaction_changelist"))
        return begun[0] if len(begun) == 1 else several


def position(text: str) -> int | None:
    """An id that a page begins behind; none, where somebody has made it up."""
    return int(text) if text.isdecimal() and len(text) < 19 else None
