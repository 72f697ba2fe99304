"""Pages that read the change log: the history of a contact with its notes, recording consent, and
undo."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, pgettext, pgettext_lazy
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
from tenants.fields import number_of
from tenants.models import Tenant

from . import describe, timeline
from .confirm import log, start
from .forms import checked, labelled

MAX_SHOWN = 20  # contacts in the preview of an undo


class ConsentForm(forms.Form):
    """A decision on consent, by the rules of the API."""

    status = forms.ChoiceField(
        label=gettext_lazy("Status"),
        choices=[(status, Change.Kind(status).label) for status in CONSENT_STATUS],
        widget=UnfoldAdminRadioSelectWidget,
    )
    at = forms.SplitDateTimeField(
        label=pgettext_lazy("time of a decision", "At"),
        required=False,
        widget=UnfoldAdminSplitDateTimeWidget,
        help_text=gettext_lazy("When the person decided. An empty field means the current time."),
    )
    source = forms.CharField(
        label=gettext_lazy("Source"),
        required=False,
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("How it was given, e.g. a form, a campaign, a phone call."),
    )
    proof = forms.CharField(
        label=gettext_lazy("Proof"),
        required=False,
        widget=UnfoldAdminTextareaWidget(attrs={"rows": 4}),
        help_text=gettext_lazy("What proves it, e.g. a letter or an order number."),
    )

    def clean(self) -> None:
        super().clean()
        if self.errors:
            return
        at = self.cleaned_data["at"]
        given = self.cleaned_data | {"at": at.isoformat() if at else None}
        if decision := checked(self, Consented, given):
            self.decision = Decision(**decision)


CONSENT_STAYS = gettext_noop(
    "Undo does not change consent. If a person changes their mind, record the new decision on the"
    " contact's page."
)
STILL_RUNNING = gettext_noop("This is still running. You can undo it when it is finished.")


class HistoryAdmin(TenantOwnedAdmin):
    """Adds the history, the page that records consent, and the page of undo."""

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
        """The same answer for a missing contact and for a contact of another tenant: a different
        answer would reveal that the id exists."""
        sentence = _("There is no contact with the id “%(id)s”.") % {"id": unquote(object_id)}
        return self.missing(request, sentence)

    # History

    def history_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        contact = self.get_object(request, unquote(object_id))
        if contact is None:
            return self.no_contact(request, object_id)
        before = number_of(request.GET.get("before", ""))
        found = describe.changes_of(contact, before)
        shown = found[: describe.PAGE_SIZE]  # `found` may have one more, of the next page
        is_last = len(found) == len(shown)
        context = {
            "object": contact,
            "module_name": capfirst(self.opts.verbose_name_plural),
            "changes": timeline.page(request, contact, shown, before, is_last=is_last),
            "is_first": before is None,
            "older": None if is_last else shown[-1].change.pk,
            "may_undo": self.may_undo(request),
        }
        title = _("History of %(contact)s") % {"contact": contact}
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
            "consent": describe.consent_of(contact),
            "adminform": AdminForm(form, fieldsets, {}, model_admin=self),
            "errors": form.errors,
            "media": self.media + form.media,
        }
        return self.page(request, "consent", _("Record consent"), context)

    def record(self, request: HttpRequest, contact: Contact, decision: Decision) -> HttpResponse:
        try:
            contact = consent.decide_one(contact.tenant, {"contact_id": contact.pk}, decision)
        except Contact.DoesNotExist:
            return self.no_contact(request, contact.pk)
        # `consent`: whole sentences.
        sentence = _("Recorded: %(status)s. %(consent)s") % {
            "status": describe.status(decision.status), "consent": describe.consent_of(contact),
        }  # fmt: skip
        self.message_user(request, sentence, messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:contacts_contact_change", args=[contact.pk]))

    # Undo

    def may_undo(self, request: HttpRequest) -> bool:
        """Undo needs all three permissions: it changes contacts, adds the deleted ones again, and
        deletes the added ones."""
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
            sentence = _("There are no changes with the id “%(id)s”.") % {"id": change_set}
            return self.missing(request, sentence)
        summary = found.summary()
        is_running = found.is_running()
        if is_running:
            self.message_user(request, _(STILL_RUNNING), messages.WARNING)
        if request.method != "POST" or is_running or summary.is_of_consent:
            return self.undo_page(request, found, summary, found.rehearse(MAX_SHOWN))
        if summary.contacts > undo.AT_ONCE:
            return self.undo_later(request, found)
        # In English, as all that the log keeps.
        log(request, f"Undo: {found.id}: {summary.contacts:,} contacts")
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
        """Shows what undo would change, or what it changed (`is_done`). The command `undo` prints
        the same lines."""
        context = {
            "change_set": found.id,
            "summary": summary,
            "who": describe.Actors([summary.actor], found.tenants).who(summary.actor),
            "began_at": describe.local_time(summary.began_at),
            "lines": [line_of(tenant, undone) for tenant, undone in results if undone.taken_back],
            "refusals": [f"{tenant.slug} {no}" for tenant, un in results for no in un.refusals()],
            "left_out": max(0, summary.contacts - len(results)),
            "is_done": is_done,
            "is_later": summary.contacts > undo.AT_ONCE,
            "consent_stays": _(CONSENT_STAYS),
            "undoing": cause.current.get().change_set() if is_done else "",
        }
        title = _("Undone") if is_done else pgettext("noun", "Undo")
        return self.page(request, "undo", title, context)

    def undo_later(self, request: HttpRequest, found: undo.ChangeSet) -> HttpResponseBase:
        """Starts a bulk action for each tenant. Redirects to its page, or to the list of bulk
        actions if there are several."""
        responses = [
            start(request, tenant, BulkAction.Kind.UNDO, found.id, found.ids(tenant))
            for tenant in found.tenants
        ]
        if len(responses) == 1:
            return responses[0]
        return HttpResponseRedirect(reverse("admin:contacts_bulkaction_changelist"))


def line_of(tenant: Tenant, undone: undo.Undone) -> str:
    """The line of `Undone.lines`, in the language of the user."""
    fields = ", ".join(map(describe.field_in_words, undone.taken_back))
    return labelled(f"{tenant.slug} {undone.name}", fields)
