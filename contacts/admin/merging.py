"""The list action that merges contacts of one person, with a preview of each field."""

from copy import copy
from typing import Any, NamedTuple, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext, pgettext
from unfold.widgets import UnfoldAdminRadioSelectWidget

from contacts import schema
from contacts.change_log.difference import MOMENTS
from contacts.models import Contact, ContactQuerySet
from contacts.schema import Kind
from contacts.values import phones
from contacts.values.rules import spelled
from contacts.writing.merge import ContactMissing, absorb, merge_into
from tenants.admin import user_of
from tenants.fields import is_ulid

from . import describe
from .bulk import BulkAdmin
from .forms import name_of_field

MAX_MERGED = 10  # contacts at once; the preview has a column for each
# Of the texts that people edit, a person chooses the value that stays.
CHOSEN = [field.name for field in schema.FIELDS if field.is_edited and field.kind is Kind.TEXT]
SHOWN = [field.name for field in schema.fields(*CHOSEN) if field.is_logged]
LIST = "admin:contacts_contact_changelist"
# A form field: the query of the list of possible duplicates, if the user came from there.
BACK = "back"
PAIR_GONE = gettext_noop(
    "Nothing was merged: one of these contacts was merged or deleted meanwhile."
)
NOT_MERGED = gettext_noop("The contacts were not merged: %(error)s")
MERGE_PAGE = "admin/contacts/contact/merge.html"


class Row(NamedTuple):
    """A row of the preview: the value of a field in each contact, and in the merged contact.

    `field`: the form field, if the contacts have different values and the user chooses one.
    """

    label: str
    values: list[str]
    result: str
    field: Any


class MergeForm(forms.Form):
    """The choices of the preview. `seen`: the ids of the contacts and the times of their last
    change when the page showed them; see `version_of`."""

    seen = forms.CharField(widget=forms.HiddenInput)

    def __init__(self, data: Any, contacts: list[Contact], result: Contact) -> None:
        super().__init__(data)
        for name in CHOSEN:
            by_value: dict[str, str] = {}
            for contact in contacts:
                by_value.setdefault(getattr(contact, name), contact.pk)
            by_value.pop("", None)
            if len(by_value) > 1:
                self.fields[name] = forms.ChoiceField(
                    choices=[(pk, value) for value, pk in by_value.items()],
                    initial=by_value[getattr(result, name)],
                    widget=UnfoldAdminRadioSelectWidget,
                )

    def chosen(self) -> dict[str, str]:
        """For each field with a choice, the id of the contact whose value stays."""
        return {name: value for name, value in self.cleaned_data.items() if name in CHOSEN}


class MergeAdmin(BulkAdmin):
    """Adds the action “Merge…” to the list of contacts."""

    actions = [*BulkAdmin.actions, "merge"]

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.merge_view)
        return [path("merge/", view, name="contacts_contact_merge"), *super().get_urls()]

    def merge_view(self, request: HttpRequest) -> HttpResponse:
        """The page of the action for the contacts that the address names: links lead here."""
        if not self.has_merge_permission(request):
            raise PermissionDenied
        chosen = [pk for pk in request.GET.getlist("contact") if is_ulid(pk)]
        contacts = cast("ContactQuerySet", self.get_queryset(request).filter(pk__in=chosen))
        return self.merge(request, contacts) or HttpResponseRedirect(reverse(LIST))

    def has_merge_permission(self, request: HttpRequest) -> bool:
        return self.has_change_permission(request) and self.has_delete_permission(request)

    def hidden_fields(self, request: HttpRequest) -> list[tuple[str, str]]:
        came_from = [(BACK, request.POST[BACK])] if BACK in request.POST else []
        return [*super().hidden_fields(request), *came_from]

    @admin.action(description=gettext_lazy("Merge…"), permissions=["merge"])
    def merge(self, request: HttpRequest, contacts: ContactQuerySet) -> HttpResponse | None:
        found = sorted(contacts[: MAX_MERGED + 1], key=lambda contact: contact.pk)
        problem = problem_of(found)
        if BACK in request.POST and len(found) < 2:
            problem = _(PAIR_GONE)
        if problem:
            return self.refuse(request, problem)
        result = copy(found[0])
        try:
            absorb(result, found[1:])
        except ValueError as error:
            return self.refuse(request, _(NOT_MERGED) % {"error": error})
        form = MergeForm(request.POST if "seen" in request.POST else None, found, result)
        if form.is_valid() and form.cleaned_data["seen"] == version_of(found):
            return self.merge_chosen(request, found, form.chosen())
        if form.is_valid():
            sentence = _("Somebody changed these contacts. Check the new values and merge again.")
            self.message_user(request, sentence, messages.WARNING)
        context = self.admin_site.each_context(request) | {
            "opts": self.opts, "title": pgettext("noun", "Merge"), "contacts": found, "form": form,
            "rows": rows(found, result, form), "seen": version_of(found),
            "hidden": self.hidden_fields(request), "back": back_from(request),
        }  # fmt: skip
        return TemplateResponse(request, MERGE_PAGE, context)

    def refuse(self, request: HttpRequest, sentence: str) -> HttpResponse | None:
        """Back to the list that the user came from; None is the list of contacts."""
        self.message_user(request, sentence, messages.ERROR)
        return HttpResponseRedirect(back_from(request)) if BACK in request.POST else None

    def merge_chosen(
        self, request: HttpRequest, found: list[Contact], chosen: dict[str, str]
    ) -> HttpResponse | None:
        try:
            first, *others = found
            pks = [other.pk for other in others]
            kept = merge_into(first.tenant, first.pk, pks, chosen)[0]
        except (ContactMissing, ValueError) as error:
            return self.refuse(request, _(NOT_MERGED) % {"error": error})
        # Without names or phones: erasing a person does not clear the admin's log.
        summary, user = f"Merged with {len(found) - 1} more.", user_of(request)
        LogEntry.objects.log_actions(user.pk, [kept], CHANGE, summary, single_object=True)
        number = len(found)
        sentence = ngettext("%(count)s contact merged.", "%(count)s contacts merged.", number)
        self.message_user(request, sentence % {"count": number}, messages.SUCCESS)
        page = reverse("admin:contacts_contact_change", args=[kept.pk])
        return HttpResponseRedirect(back_from(request) if BACK in request.POST else page)


def back_from(request: HttpRequest) -> str:
    """The address of the list that the user came from."""
    if BACK in request.POST:
        return f"{reverse('admin:contacts_duplicate_changelist')}?{request.POST[BACK]}"
    return reverse(LIST) if "contact" in request.GET else request.get_full_path()


def problem_of(contacts: list[Contact]) -> str:
    """The reason why this selection cannot be merged; empty if it can."""
    if not 2 <= len(contacts) <= MAX_MERGED:
        return _("Select 2 to %(most)s contacts of the same person.") % {"most": MAX_MERGED}
    if len({contact.tenant_id for contact in contacts}) > 1:
        return _("Select contacts of one tenant.")
    return ""


def version_of(contacts: list[Contact]) -> str:
    """Changes whenever one of the contacts is changed."""
    return " ".join(f"{contact.pk}@{contact.updated_at.isoformat()}" for contact in contacts)


def rows(contacts: list[Contact], result: Contact, form: MergeForm) -> list[Row]:
    """The rows of the preview. Fields that are empty in every contact are left out."""
    found = []
    for name in SHOWN:
        values = [text_of(contact, name) for contact in contacts]
        if any(values):
            field = form[name] if name in form.fields else None
            found.append(Row(name_of_field(name), values, text_of(result, name), field))
    return found


def text_of(contact: Contact, name: str) -> str:
    value = getattr(contact, name)
    if not value:
        return ""
    if name in MOMENTS:
        return describe.local_time(value)
    if name == "phone":
        return phones.readable(value)
    if name == "source":
        return contact.get_source_display()
    if isinstance(value, list):
        return ", ".join(value)
    return describe.shortened(spelled(value)) if isinstance(value, dict) else str(value)
