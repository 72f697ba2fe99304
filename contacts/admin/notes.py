"""Notes on the page of a contact: writing one, and deleting one."""

from typing import Any

from django import forms
from django.contrib import messages
from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import path, reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop
from django.views.decorators.http import require_POST
from unfold.widgets import UnfoldAdminTextareaWidget

from contacts.models import Contact, Note
from contacts.values import rules
from contacts.writing import notes
from tenants.fields import is_ulid

from .history import HistoryAdmin
from .timeline import may_delete, notes_of

GONE = gettext_noop("This note was deleted before.")


class NoteForm(forms.Form):
    class Meta:
        """See `erasing.ConfirmForm`."""

    text = forms.CharField(
        label=gettext_lazy("New note"),
        widget=UnfoldAdminTextareaWidget({"rows": 1, "maxlength": rules.MAX_NOTE}),
    )

    def __init__(self, data: Any = None) -> None:
        super().__init__(data, auto_id="note_%s")

    def clean_text(self) -> str:
        try:
            return rules.note(self.cleaned_data["text"])
        except ValueError as error:
            raise forms.ValidationError(str(error)) from error


class NotesAdmin(HistoryAdmin):
    """Adds the addresses that write and delete notes. Who may change a contact may write notes."""

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        add, delete = wrap(self.note_view), wrap(require_POST(self.delete_note_view))
        return [
            path("<path:object_id>/note/", add, name="contacts_contact_note"),
            path(
                "<path:object_id>/note/<str:note_id>/delete/",
                delete,
                name="contacts_contact_note_delete",
            ),
            *super().get_urls(),
        ]

    def note_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        """The form of the contact's page posts here. A text that breaks the rule is shown again."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        contact = self.get_object(request, unquote(object_id))
        if contact is None:
            return self.no_contact(request, object_id)
        form = NoteForm(request.POST if request.method == "POST" else None)
        if not form.is_valid():
            context = {"original": contact, "note_form": form}
            return self.page(request, "note", _("Add a note"), context)
        try:
            notes.add(contact, form.cleaned_data["text"])
        except Contact.DoesNotExist:  # deleted or merged at this moment
            return self.no_contact(request, object_id)
        self.message_user(request, _("The note was added."), messages.SUCCESS)
        return to_contact(contact)

    def delete_note_view(self, request: HttpRequest, object_id: str, note_id: str) -> HttpResponse:
        if not self.has_change_permission(request):
            raise PermissionDenied
        contact = self.get_object(request, unquote(object_id))
        if contact is None:
            return self.no_contact(request, object_id)
        note = note_of(contact, note_id)
        if note and not may_delete(request, note):
            raise PermissionDenied
        if note:
            note.delete()
            self.message_user(request, _("The note was deleted."), messages.SUCCESS)
        else:
            self.message_user(request, _(GONE), messages.WARNING)
        return to_contact(contact)


def note_of(contact: Contact, note_id: str) -> Note | None:
    return notes_of([contact]).filter(pk=note_id).first() if is_ulid(note_id) else None


def to_contact(contact: Contact) -> HttpResponseRedirect:
    return HttpResponseRedirect(reverse("admin:contacts_contact_change", args=[contact.pk]))
