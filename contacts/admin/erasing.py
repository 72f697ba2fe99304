"""Erasing a person in the admin (GDPR, article 17): what is erased and what stays, and a receipt.

A receipt is an entry of the admin's log that says nothing about the person. Its reference is the
change set of the erasure, so it also finds the entry of the change log.
"""

import json
import logging
from contextlib import suppress
from typing import Any, NamedTuple

from django import forms
from django.contrib import messages
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.admin.utils import unquote
from django.contrib.contenttypes.models import ContentType
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop
from unfold.widgets import (
    UnfoldAdminSelectWidget,
    UnfoldAdminTextInputWidget,
    UnfoldBooleanWidget,
)

from contacts.change_log import cause
from contacts.erasing import Erased, erase
from contacts.models import Contact, Erasure
from contacts.values import phones, rules
from contacts.values.numbering_plans import forms as forms_of
from contacts.writing import former_phones
from tenants.admin import user_of
from tenants.models import Tenant

from .describe import local_time
from .forms import labelled
from .history import HistoryAdmin

logger = logging.getLogger(__name__)

TITLE = gettext_noop("Erase a person")
LATEST = 10  # receipts that the page lists
IS_CONTACT = gettext_noop("This contact has the phone %(phone)s.")


class ConfirmForm(forms.Form):
    class Meta:
        """Empty, only for mypy: its plugin puts off each form without it, and mypy gives up a
        package of modules that import each other if it has too many of them."""

    confirmed = forms.BooleanField(
        label=gettext_lazy(
            "I have checked that this is the right person. Erasing cannot be undone."
        ),
        widget=UnfoldBooleanWidget,
    )


class PhoneForm(forms.Form):
    """A phone that no contact has any more. The page asks to confirm it in a second step.

    `own`: the tenant of the user; None for superusers, who choose one of `tenants`.
    """

    class Meta:
        """See `ConfirmForm`."""

    tenant = forms.ModelChoiceField(
        Tenant.objects.none(),
        label=gettext_lazy("Tenant"),
        to_field_name="slug",
        widget=UnfoldAdminSelectWidget,
    )
    phone = forms.CharField(
        label=gettext_lazy("Phone"),
        widget=UnfoldAdminTextInputWidget,
        help_text=gettext_lazy("Include + and country code; spaces are fine."),
    )

    def __init__(self, data: Any, tenants: QuerySet[Tenant], own: Tenant | None) -> None:
        super().__init__(data)
        self.own = own
        self.fields["tenant"].queryset = tenants  # type: ignore[attr-defined]
        if own:
            del self.fields["tenant"]

    def clean(self) -> None:
        super().clean()
        given = self.cleaned_data
        tenant = given.setdefault("tenant", self.own)
        if tenant and "phone" in given:
            try:
                given["phone"] = rules.phone(given["phone"], tenant.default_region)
            except ValueError as error:
                self.add_error("phone", str(error))


class Receipt(NamedTuple):
    """What a receipt says. `rows`: labels and values. `others`: contacts that the person was merged
    into and that still exist. `waiting`: names and addresses of uploads that may still contain the
    person. `unreadable`: the number of error files that could not be searched."""

    rows: list[tuple[str, Any]]
    others: list[Contact]
    waiting: list[tuple[str, str]]
    unreadable: int

    @property
    def text(self) -> str:
        return "\n".join(labelled(label, str(value)) for label, value in self.rows)


# The labels of `contacts.writing.erase.Numbers`, in the order of a receipt.
LABELS = {
    "contacts": gettext_noop("Contacts deleted"),
    "notes": gettext_noop("Notes deleted"),
    "phones": gettext_noop("Phones replaced by a digest"),
    "opt_outs": gettext_noop("Opt-outs kept as a digest"),
    "changes": gettext_noop("History entries emptied"),
    "duplicates": gettext_noop("Possible duplicates deleted"),
    "answers": gettext_noop("Stored answers of the API deleted"),
    "refusals": gettext_noop("Lines of bulk actions deleted"),
    "log_entries": gettext_noop("Entries of the admin's log emptied"),
    "exports": gettext_noop("Files of exports deleted"),
    "unreadable": gettext_noop("Error files that could not be searched"),
}


class EraseAdmin(HistoryAdmin):
    """Adds the pages that erase a person, and their receipts."""

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        of_phone, of_contact = wrap(self.erase_phone_view), wrap(self.erase_view)
        receipt = wrap(self.receipt_view)
        return [
            path("erase/", of_phone, name="contacts_contact_erase_phone"),
            path("erased/<str:reference>/", receipt, name="contacts_contact_erased"),
            path("<path:object_id>/erase/", of_contact, name="contacts_contact_erase"),
            *super().get_urls(),
        ]

    def has_erase_permission(self, request: HttpRequest) -> bool:
        """The manager's: nothing brings an erased person back."""
        may_add = request.user.has_perm("contacts.add_erasure")
        return may_add and self.has_delete_permission(request)

    def tenants(self, request: HttpRequest) -> QuerySet[Tenant]:
        """The tenants that the user may see."""
        return self.admin_site.get_model_admin(Tenant).get_queryset(request)

    def may_erase(self, request: HttpRequest) -> None:
        if not self.has_erase_permission(request):
            raise PermissionDenied

    # Asking

    def erase_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The page of a contact that is there."""
        self.may_erase(request)
        contact = self.get_object(request, unquote(object_id))
        if contact is None:
            return self.no_contact(request, object_id)
        form = ConfirmForm(request.POST or None)
        if form.is_valid():
            return self.erase_person(request, contact.tenant, contact.phone)
        former = former_phones.of([contact])[contact.pk]
        context = {
            "original": contact,
            "form": form,
            "shown": [*map(phones.readable, (contact.phone, *former))],
        }
        return self.page(request, "erase", _(TITLE), context)

    def erase_phone_view(self, request: HttpRequest) -> HttpResponse:
        """The page for a phone that no contact has: of a contact that was deleted, or of somebody
        whom only files know."""
        self.may_erase(request)
        own = None if request.user.is_superuser else user_of(request).tenant
        form = PhoneForm(request.POST or None, self.tenants(request).order_by("slug"), own)
        if not form.is_valid():
            context = {"form": form, "receipts": self.receipts(request)[:LATEST]}
            return self.page(request, "erase_phone", _(TITLE), context)
        tenant, phone = form.cleaned_data["tenant"], form.cleaned_data["phone"]
        with suppress(Contact.DoesNotExist):
            contact = tenant.contacts.find(phone=phone)
            sentence = _(IS_CONTACT) % {"phone": phones.readable(phone)}
            self.message_user(request, sentence, messages.WARNING)
            return HttpResponseRedirect(reverse("admin:contacts_contact_erase", args=[contact.pk]))
        confirm = ConfirmForm(request.POST if "is_shown" in request.POST else None)
        if confirm.is_valid():
            return self.erase_person(request, tenant, phone)
        context = {
            "form": confirm,
            "phone": phone,
            "tenant": tenant,
            "shown": [phones.readable(phone)],
            "ended": len(tenant.changes.of_phones(forms_of([phone]))),
            "erased_at": tenant.erasures.of([phone]).get(phone),
        }
        return self.page(request, "erase", _(TITLE), context)

    # Erasing

    def erase_person(self, request: HttpRequest, tenant: Tenant, phone: str) -> HttpResponse:
        erased = erase(tenant, phone)
        if erased.unreadable:
            logger.error("Delete these files, which could not be searched: %s", erased.unreadable)
        reference = cause.current.get().change_set()
        LogEntry.objects.create(
            user=user_of(request), action_flag=DELETION, object_id=reference, object_repr=tenant.pk,
            content_type=ContentType.objects.get_for_model(Erasure),
            change_message=json.dumps(summary_of(tenant, erased)),
        )  # fmt: skip
        return HttpResponseRedirect(reverse("admin:contacts_contact_erased", args=[reference]))

    # Receipts

    def receipts(self, request: HttpRequest) -> QuerySet[LogEntry]:
        """The receipts that the user may see, newest first."""
        kind = ContentType.objects.get_for_model(Erasure)
        found = LogEntry.objects.filter(content_type=kind, action_flag=DELETION)
        user = user_of(request)
        own = found if user.is_superuser else found.filter(object_repr=user.tenant_id or "")
        return own.select_related("user").order_by("-pk")

    def receipt_view(self, request: HttpRequest, reference: str) -> HttpResponse:
        self.may_erase(request)
        entry = self.receipts(request).filter(object_id=reference).first()
        kept_for = [entry.object_repr] if entry else []
        tenant = self.tenants(request).filter(pk__in=kept_for).first()
        if entry is None or tenant is None:
            sentence = _("There is no receipt with the reference “%(reference)s”.")
            return self.missing(request, sentence % {"reference": reference})
        context = {"receipt": receipt_of(entry, tenant)}
        return self.page(request, "erased", _("Receipt of an erasure"), context)


def summary_of(tenant: Tenant, erased: Erased) -> dict[str, Any]:
    """What the receipt keeps: numbers, and ids of contacts and imports that staff have to look at,
    but no value of the person."""
    others = tenant.contacts.filter(phone__in=erased.merged_into).order_by("pk")
    counts = {"exports": erased.exports, "unreadable": len(erased.unreadable)}
    return {
        "numbers": erased.numbers._asdict() | counts,
        "merged_into": [*others.values_list("pk", flat=True)],
        "waiting": [job.pk for job in erased.waiting],
    }


def receipt_of(entry: LogEntry, tenant: Tenant) -> Receipt:
    kept = json.loads(entry.change_message)
    jobs = tenant.imports.filter(pk__in=kept["waiting"]).order_by("pk")
    rows = [
        (_("Reference"), entry.object_id),
        (_("Tenant"), tenant.name),
        (_("Erased"), local_time(entry.action_time)),
        (_("Erased by"), entry.user.email),
        # A receipt of an earlier version has no notes.
        *((_(label), kept["numbers"].get(name, 0)) for name, label in LABELS.items()),
    ]
    page = "admin:contacts_import_change"
    return Receipt(
        rows,
        [*tenant.contacts.filter(pk__in=kept["merged_into"]).order_by("pk")],
        [(job.file_name, reverse(page, args=[job.pk])) for job in jobs if not job.is_over],
        kept["numbers"]["unreadable"],
    )
