"""Contacts that are one person, made one: with a preview, field by field."""

from copy import copy
from typing import Any, NamedTuple

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from unfold.widgets import UnfoldAdminRadioSelectWidget

from contacts.change_log.difference import MOMENTS
from contacts.models import Contact, ContactQuerySet
from contacts.values import phones
from contacts.values.rules import spelled
from contacts.writing.merge import merge_as
from tenants.admin import user_of

from . import words
from .bulk import BulkAdmin

MOST = 10  # contacts that are merged at once
CHOSEN = ("phone", "name", "email", "locale")
SHOWN = (*CHOSEN, "tags", "metadata", "opted_in_at", "opted_out_at", "last_message_at",
         "total_messages", "source", "created_at")  # fmt: skip
MERGE_PAGE = "admin/contacts/contact/merge.html"


class Row(NamedTuple):
    """A field of all the contacts, and of what they become."""

    label: str
    values: list[str]
    result: str
    field: Any  # of the form, where there is something to choose


class MergeForm(forms.Form):
    """`seen`: what the contacts were when the page showed them."""

    seen = forms.CharField(widget=forms.HiddenInput)

    def __init__(self, data: Any, contacts: list[Contact], result: Contact) -> None:
        super().__init__(data)
        for name in CHOSEN:
            values = dict.fromkeys(filter(None, (getattr(one, name) for one in contacts)))
            if len(values) > 1:
                self.fields[name] = forms.ChoiceField(
                    choices=[(value, value) for value in values],
                    initial=getattr(result, name),
                    widget=UnfoldAdminRadioSelectWidget,
                )

    def chosen(self) -> dict[str, str]:
        return {name: value for name, value in self.cleaned_data.items() if name in CHOSEN}


class MergeAdmin(BulkAdmin):
    actions = [*BulkAdmin.actions, "merge"]

    def has_merge_permission(self, request: HttpRequest) -> bool:
        return self.has_change_permission(request) and self.has_delete_permission(request)

    @admin.action(description="Merge…", permissions=["merge"])
    def merge(self, request: HttpRequest, contacts: ContactQuerySet) -> HttpResponse | None:
        found = sorted(contacts[: MOST + 1], key=lambda contact: contact.pk)
        problem = problem_of(found)
        if problem:
            self.message_user(request, problem, messages.ERROR)
            return None
        result = copy(found[0])
        if problem := result.absorb([copy(contact) for contact in found[1:]]):
            self.message_user(request, f"They cannot be merged: {problem}", messages.ERROR)
            return None
        form = MergeForm(request.POST if "seen" in request.POST else None, found, result)
        if form.is_valid() and form.cleaned_data["seen"] == seen(found):
            return self.merge_them(request, found, form.chosen())
        if form.is_valid():
            sentence = "Somebody has changed them meanwhile; this is what they are now."
            self.message_user(request, sentence, messages.WARNING)
        context = self.admin_site.each_context(request) | {
            "opts": self.opts, "title": "Merge", "contacts": found, "form": form,
            "rows": rows(found, result, form), "seen": seen(found), "hidden": self.choice(request),
        }  # fmt: skip
        return TemplateResponse(request, MERGE_PAGE, context)

    def merge_them(
        self, request: HttpRequest, found: list[Contact], chosen: dict[str, str]
    ) -> HttpResponse | None:
        try:
            kept = merge_as(found, chosen)
        except ValueError as error:
            self.message_user(request, str(error), messages.ERROR)
            return None
        told = f"Merged with {len(found) - 1} more."  # not with whom: they may have to be erased
        LogEntry.objects.log_actions(user_of(request).pk, [kept], CHANGE, told, single_object=True)
        self.message_user(request, f"{len(found)} contacts are one now.", messages.SUCCESS)
        return HttpResponseRedirect(reverse("admin:contacts_contact_change", args=[kept.pk]))


def problem_of(contacts: list[Contact]) -> str:
    """Why they cannot be merged at all."""
    if not 2 <= len(contacts) <= MOST:
        return f"Select 2 to {MOST} contacts that are one person."
    if len({contact.tenant_id for contact in contacts}) > 1:
        return "These contacts are of several tenants."
    return ""


def seen(contacts: list[Contact]) -> str:
    return " ".join(f"{contact.pk}@{contact.updated_at.isoformat()}" for contact in contacts)


def rows(contacts: list[Contact], result: Contact, form: MergeForm) -> list[Row]:
    """Of fields that some contact has."""
    found = []
    for name in SHOWN:
        values = [shown(contact, name) for contact in contacts]
        if any(values):
            label = name.replace("_", " ").capitalize()
            field = form[name] if name in form.fields else None
            found.append(Row(label, values, shown(result, name), field))
    return found


def shown(contact: Contact, name: str) -> str:
    value = getattr(contact, name)
    if not value:
        return ""
    if name in MOMENTS:
        return words.when(value)
    if name == "phone":
        return phones.readable(value)
    if isinstance(value, list):
        return ", ".join(value)
    return words.short(spelled(value)) if isinstance(value, dict) else str(value)
