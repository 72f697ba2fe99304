"""The admin of tags: rename, merge and delete, in the background if many contacts change."""

from functools import partial
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.humanize.templatetags.humanize import intcomma
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import path, reverse
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext, pgettext_lazy
from unfold.views import ChangeList

from contacts.db.expressions import IsAnyOf
from contacts.jobs import bulk_actions
from contacts.models import (
    BulkAction,
    Contact,
    Tag,
    TagQuerySet,
    links_of,
    numbers_of_contacts,
)
from contacts.values import rules
from tenants.admin import TenantForm, TenantOwnedRetryAdmin, user_of
from tenants.fields import hex_id
from tenants.models import Tenant, User

from .confirm import ConfirmActionAdmin, ConfirmForm, Question, start
from .forms import RuleFormField, TagField, quoted, suggestions_of

MAX_TAGS = 100  # tags that are merged or deleted at once; the page lists their names


class TagForm(TenantForm):
    name = RuleFormField(rules.tag, label=gettext_lazy("Name"))

    class Meta:
        model = Tag
        fields = ["tenant", "name"]

    def clean_name(self) -> str:
        name = self.cleaned_data["name"]
        if not name:
            raise forms.ValidationError(_("Enter a name."))
        return self.refuse_duplicate("name", name, self.taken(name))

    def taken(self, name: str) -> str:
        """The error for a name in use. It links to the page that merges the two tags."""
        sentence = _("The tag “%(name)s” already exists.") % {"name": name}
        if self.instance._state.adding:
            return sentence
        page = reverse("admin:contacts_tag_merge", args=[self.instance.pk])
        link = _("Merge this tag into it")
        return format_html('{} <a href="{}">{}</a>', sentence, page, link)


class MergeForm(ConfirmForm):
    """The tag that replaces `tags`."""

    into = TagField(
        label=pgettext_lazy("another tag", "Into"),
        help_text=gettext_lazy(
            "Contacts get this tag instead of the merged tags, which are deleted."
        ),
    )

    def __init__(self, user: User, tenant: Tenant, tags: list[Tag], data: Any) -> None:
        super().__init__(data)
        self.tags = tags
        field: Any = self.fields["into"]
        field.choose_from(tenant.tags.all(), user, suggestions_of(tenant))

    def clean_into(self) -> Tag:
        into = self.cleaned_data["into"]
        if [into] == self.tags:
            raise forms.ValidationError(_("Choose another tag."))
        return into

    def answer(self) -> str:
        into = self.cleaned_data["into"]
        return ",".join([*(tag.name for tag in self.tags if tag != into), into.name])


class TagList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        """Adds the number of contacts to each tag of the page, as list-tags counts them."""
        super().get_results(request)
        tags = [(tag.pk, tag.name, tag.tenant_id) for tag in self.result_list]
        numbers = numbers_of_contacts(tags)
        for tag in self.result_list:
            tag.contacts_count = numbers.get(tag.pk, 0)


@admin.register(Tag)
class TagAdmin(ConfirmActionAdmin, TenantOwnedRetryAdmin):
    """Tags in the admin. Each change shows the number of contacts first."""

    form = TagForm
    list_display = ["name", "contacts_count", "created_at"]
    search_fields = ["name"]  # Django shows the box; see get_search_results
    fields = ["tenant", "name", "id", "created_at", "contacts_count"]
    readonly_fields = ["id", "created_at", "contacts_count"]
    actions = ["merge", "delete_selected"]

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[TagList]:
        return TagList

    @admin.display(description=gettext_lazy("contacts"))
    def contacts_count(self, tag: Tag) -> str:
        """The number of contacts, as a link to them."""
        if tag._state.adding:
            return self.get_empty_value_display()
        counted = getattr(tag, "contacts_count", None)
        count = tag.own_links().count() if counted is None else counted
        page = reverse("admin:contacts_contact_changelist")
        return format_html(
            '<a class="plain" href="{}?tag={}">{:}</a>', page, tag.pk, intcomma(count)
        )

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        """The tags with each word of the text in their name, as people type it."""
        words = search_term.split()
        if not words:
            return queryset, False
        found = cast("TagQuerySet", queryset).named_like(*words)
        return queryset.filter(IsAnyOf("pk", (hex_id(tag.pk) for tag in found))), False

    # Renaming

    def save_model(self, request: HttpRequest, tag: Any, form: Any, change: bool) -> None:
        """Renames the tag on all its contacts; for many contacts, a worker does it in batches. A
        request that wrote all of them would lock all of them and exceed its time limit."""
        tag.started = None
        if not change:
            super().save_model(request, tag, form, change)
        elif "name" in form.changed_data:
            chosen = list(tag.own_links().values_list("contact", flat=True))
            if len(chosen) <= bulk_actions.AT_ONCE:
                super().save_model(request, tag, form, change)
            else:
                names = f"{form.initial['name']},{tag.name}"
                tag.started = start(request, tag.tenant, BulkAction.Kind.RENAME_TAG, names, chosen)

    def response_change(self, request: HttpRequest, tag: Any) -> HttpResponse:
        return tag.started or super().response_change(request, tag)

    # Merging and deleting

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.merge_view)
        return [path("<str:pk>/merge/", view, name="contacts_tag_merge"), *super().get_urls()]

    def has_merge_permission(self, request: HttpRequest) -> bool:
        return self.has_change_permission(request) and self.has_delete_permission(request)

    def merge_view(self, request: HttpRequest, pk: str) -> HttpResponseBase:
        if not self.has_merge_permission(request):
            raise PermissionDenied
        tag = self.get_object(request, pk)
        if tag is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, pk)
        return self.ask_to_merge(request, [tag], tag.tenant)

    @admin.action(description=gettext_lazy("Merge…"), permissions=["merge"])
    def merge(self, request: HttpRequest, tags: TagQuerySet) -> HttpResponseBase | None:
        tenant = self.tenant_of_selected(request, tags)
        return self.ask_to_merge(request, [*tags], tenant) if tenant else None

    def ask_to_merge(
        self, request: HttpRequest, tags: list[Tag], tenant: Tenant
    ) -> HttpResponseBase:
        title = _("Merge %(tags)s") % {"tags": names_of(tags)}
        form = partial(MergeForm, user_of(request), tenant, tags)
        question = Question(title, _("Merge"), form, may_be_empty=True)
        kind = BulkAction.Kind.MERGE_TAGS
        return self.ask_to_start(request, contacts_with(tags), question, tenant, kind)

    @admin.action(description=gettext_lazy("Delete…"), permissions=["delete"])
    def delete_selected(self, request: HttpRequest, tags: TagQuerySet) -> HttpResponseBase | None:
        tenant = self.tenant_of_selected(request, tags)
        return self.ask_to_delete(request, [*tags], tenant) if tenant else None

    def tenant_of_selected(self, request: HttpRequest, tags: TagQuerySet) -> Tenant | None:
        """The tenant of the tags, like `tenant_of`. Refuses more than `MAX_TAGS` tags."""
        if len(tags[: MAX_TAGS + 1]) > MAX_TAGS:
            sentence = _("Select at most %(most)s tags.") % {"most": MAX_TAGS}
            self.message_user(request, sentence, messages.ERROR)
            return None
        return self.tenant_of(request, tags)

    def delete_view(self, request: HttpRequest, object_id: str, extra_context: Any = None) -> Any:
        tag = self.get_object(request, object_id)
        if not self.has_delete_permission(request, tag):
            raise PermissionDenied
        if tag is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, object_id)
        return self.ask_to_delete(request, [tag], tag.tenant)

    def ask_to_delete(
        self, request: HttpRequest, tags: list[Tag], tenant: Tenant
    ) -> HttpResponseBase:
        question = Question(
            _("Delete %(tags)s") % {"tags": names_of(tags)},
            _("Delete"),
            warning=ngettext(
                "The contacts stay, without this tag. You can undo this.",
                "The contacts stay, without these tags. You can undo this.",
                len(tags),
            ),
            is_dangerous=True,
            may_be_empty=True,
        )
        kind, value = BulkAction.Kind.DELETE_TAGS, ",".join(tag.name for tag in tags)
        return self.ask_to_start(
            request, contacts_with(tags), question, tenant, kind, lambda form: value
        )


def names_of(tags: list[Tag]) -> str:
    return ", ".join(quoted(tag.name) for tag in tags)


def contacts_with(tags: list[Tag]) -> Any:
    """The contacts that have one of `tags`."""
    carriers = links_of(tags).values("contact")
    found = Contact.objects.filter(tenant__in={tag.tenant_id for tag in tags}, pk__in=carriers)
    return found.order_by("-pk")
