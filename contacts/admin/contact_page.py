"""The page of a contact: a summary with consent, the form, and beside them the timeline."""

from functools import partial
from typing import Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import (
    HttpRequest,
    HttpResponse,
    HttpResponseBase,
    HttpResponseRedirect,
    JsonResponse,
)
from django.template.loader import render_to_string
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop
from django.views.decorators.http import require_POST

from contacts import schema
from contacts.change_log import cause
from contacts.models import Contact, Note
from contacts.values import countries, phones
from contacts.values.folding import searchable
from contacts.writing import former_phones
from tenants.admin import user_of
from tenants.fields import is_ulid
from tenants.models import Tenant

from . import describe, timeline
from .duplicates import alike
from .erasing import EraseAdmin
from .notes import NoteForm, NotesAdmin
from .proof import ProofAdmin

NOT_FORMER = gettext_noop("This is no former phone of the contact any more.")
MAX_SUGGESTIONS = 20  # tags
PLACED = ("phone", "name", "email", "locale", "tags", "metadata")
KEEP_FORMER = "keep_former"  # only on the page of a contact that exists
OTHERS = [field.name for field in schema.FIELDS if field.is_edited and field.name not in PLACED]
TECHNICAL = ("id", "source", "total_messages", "last_message_at", "created_at", "updated_at")


class ContactPageAdmin(EraseAdmin, NotesAdmin, ProofAdmin):
    """Everything around the form of a contact, and the suggestions of its tags."""

    fieldsets = (
        (None, {"fields": ["tenant", "phone", KEEP_FORMER, "name", "email", "locale", *OTHERS]}),
        (gettext_lazy("Tags and metadata"), {"fields": ["tags", "metadata"]}),
        (
            gettext_lazy("Technical"),
            {"fields": [f"{name}_shown" for name in TECHNICAL], "classes": ["collapse"]},
        ),
    )
    readonly_fields = [f"{name}_shown" for name in TECHNICAL]
    change_form_outer_before_template = "admin/contacts/contact/summary.html"

    class Media:
        css = {"all": ["qyvo/contact.css"]}

    def get_fieldsets(self, request: HttpRequest, obj: Any = None) -> Any:
        """Without technical fields for a new contact, which has no values there yet. Without the
        tenant for users who cannot choose it, and without the question about the old phone for
        those who cannot change the phone."""
        fieldsets = [*super().get_fieldsets(request, obj)]
        (title, first), *others = fieldsets if obj else fieldsets[:-1]
        if not (obj and self.has_change_permission(request, obj)):
            first = first | {"fields": [name for name in first["fields"] if name != KEEP_FORMER]}
        if not request.user.is_superuser:
            first = first | {"fields": first["fields"][1:]}
        return [(title, first), *others]

    def render_change_form(
        self, request: HttpRequest, context: dict[str, Any], *args: Any, **kwargs: Any
    ) -> HttpResponse:
        """Also shows the contact as it is stored, whatever has been typed."""
        form = context["adminform"].form
        if not form.instance._state.adding:
            context |= self.summary(request, form.before)
        return super().render_change_form(request, context, *args, **kwargs)

    def summary(self, request: HttpRequest, contact: Contact) -> dict[str, Any]:
        return {
            "stored": contact,
            "readable": phones.readable(contact.phone),
            "country": countries.of(contact.phone),
            "whatsapp": contact.phone.removeprefix("+"),
            "former": [
                (phone, phones.readable(phone)) for phone in former_phones.of([contact])[contact.pk]
            ],
            "consent": describe.consent_of(contact),
            "alike": alike(contact),
            "timeline": timeline.latest(request, contact),
            "note_form": NoteForm(),
            "may_undo": self.may_undo(request),
        }

    # Former phones

    def release_view(self, request: HttpRequest, object_id: str) -> HttpResponseBase:
        """Releases the former phone `phone`; the button of the page posts here."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        contact = self.get_object(request, unquote(object_id))
        if contact is None:
            return self.no_contact(request, object_id)
        phone = request.POST.get("phone", "")
        try:
            former_phones.release(contact.tenant, {"contact_id": contact.pk}, phone)
        except Contact.DoesNotExist:
            self.message_user(request, _(NOT_FORMER), messages.WARNING)
        else:
            sentence = _("%(phone)s is free.") % {"phone": phones.readable(phone)}
            self.message_user(request, sentence, messages.SUCCESS)
            self.offer_undo(request)
        return HttpResponseRedirect(reverse("admin:contacts_contact_change", args=[contact.pk]))

    # Deleting

    def get_deleted_objects(self, contacts: Any, request: HttpRequest) -> Any:
        """The contacts on the confirmation page, and the number of their notes. Django would also
        list the links to tags, although the tags stay."""
        named = [
            " · ".join(filter(None, [one.name, phones.readable(one.phone), one.email]))
            for one in contacts
        ]
        counts = {str(self.opts.verbose_name_plural): len(named)}
        if number := timeline.notes_of(contacts).count():
            named.append(
                _("Notes: %(number)s. An undo brings them back.") % {"number": intcomma(number)}
            )
            counts[str(Note._meta.verbose_name_plural)] = number
        return named, counts, set(), []

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> HttpResponse:
        """Adds a link to undo the deletion."""
        response = super().response_delete(request, obj_display, obj_id)
        self.offer_undo(request)
        return response

    def offer_undo(self, request: HttpRequest) -> None:
        if self.may_undo(request):
            change_set = cause.current.get().change_set()
            page = reverse("admin:contacts_contact_undo", args=[change_set])
            message = format_html(_('You can undo this: <a href="{page}">Undo</a>'), page=page)
            self.message_user(request, message)

    # Technical values, each with a button that copies it

    @admin.display(description=gettext_lazy("id"))
    def id_shown(self, contact: Contact) -> str:
        return copyable(_("id"), contact.pk)

    @admin.display(description=gettext_lazy("source"))
    def source_shown(self, contact: Contact) -> str:
        return copyable(_("source"), contact.source)

    @admin.display(description=gettext_lazy("messages"))
    def total_messages_shown(self, contact: Contact) -> str:
        return copyable(_("number of messages"), str(contact.total_messages))

    @admin.display(description=gettext_lazy("last message"))
    def last_message_at_shown(self, contact: Contact) -> str:
        at = contact.last_message_at
        if not at:
            return _("never")
        return copyable(_("time of the last message"), describe.local_time(at))

    @admin.display(description=gettext_lazy("created"))
    def created_at_shown(self, contact: Contact) -> str:
        return copyable(_("time of creation"), describe.local_time(contact.created_at))

    @admin.display(description=gettext_lazy("updated"))
    def updated_at_shown(self, contact: Contact) -> str:
        return copyable(_("time of the last change"), describe.local_time(contact.updated_at))

    # Tags

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        tag_names, release = wrap(self.tag_names_view), wrap(require_POST(self.release_view))
        return [
            path("tag-names/", tag_names, name="contacts_contact_tag_names"),
            path("<path:object_id>/release/", release, name="contacts_contact_release"),
            *super().get_urls(),
        ]

    def tag_names_view(self, request: HttpRequest) -> JsonResponse:
        """Suggestions for `term`: tags of the user's tenant. Superusers name another tenant with
        `tenant`, its slug or id. A tag with exactly the name `term` is always the first one."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        tenant, named = user_of(request).tenant, request.GET.get("tenant", "")
        if request.user.is_superuser and "\0" not in named:
            is_named = Q(pk=named) if is_ulid(named) else Q(slug=named)
            tenant = Tenant.objects.filter(is_named).first() or tenant
        term = request.GET.get("term", "")
        found = tenant.tags.named_like(term) if tenant else []
        names = sorted((tag.name for tag in found), key=partial(closeness, term))[:MAX_SUGGESTIONS]
        return JsonResponse({"results": [{"id": name, "text": name} for name in names]})


def closeness(term: str, name: str) -> tuple[bool, bool, str]:
    """A sort key: first the name `term`, then names that begin with it, as people type it."""
    return (name != term, not searchable(name).startswith(searchable(term)), name)


def copyable(label: str, value: str) -> str:
    """A read-only text box with a button that copies the value."""
    return render_to_string("admin/copyable.html", {"label": label, "value": value})
