"""The list of contacts: pages, search and columns. `contact_filters` has the filters."""

from datetime import datetime
from functools import cached_property, reduce
from operator import and_
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.views.main import ORDER_VAR, SEARCH_VAR
from django.db import models
from django.http import HttpRequest
from django.urls import reverse
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from contacts.db import keyset
from contacts.db.keyset import Order, Position
from contacts.models import Contact, ContactQuerySet, SavedView, Tag, matches
from contacts.values import countries, phones
from tenants.admin import user_of

from .columns import ColumnsAdmin
from .contact_filters import ContactFilter, FilterForm
from .keyset_list import KeysetList

ORDERS = {
    "pk": Order("pk"),  # ULIDs order by time
    "phone": Order("phone"),
    "last_message_at": Order("last_message_at", is_nullable=True),
}
MAX_WORDS = 10  # each word of a search is a condition of its own; longer searches are one text
MAX_CHIPS = 5  # tags of a contact in the list
VIEW = "view"  # URL parameter: the saved view; the list changes its filters
MAX_SEARCH = 256  # characters; a name or e-mail address is shorter


# Pages


class ContactList(KeysetList):
    form: FilterForm
    window = keyset.SCAN_WINDOW

    @cached_property
    def view(self) -> SavedView | None:
        """The saved view that has the filters of the list."""
        views: Any = self.model_admin.admin_site.get_model_admin(SavedView)
        return views.current(self.request)

    @cached_property
    def edited(self) -> SavedView | None:
        """The saved view, if the user changes its filters in this list."""
        views: Any = self.model_admin.admin_site.get_model_admin(SavedView)
        return views.edited(self.request)

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        given = super().get_filters_params(params)
        return {name: value for name, value in given.items() if name != VIEW}

    @property
    def save_url(self) -> str:
        """The page that saves the filters of the list as a view."""
        query = {"list": self.get_query_string().removeprefix("?")}
        return reverse("admin:contacts_savedview_add", query=query)

    @property
    def column_choices(self) -> list[tuple[str, str, bool]]:
        return self.model_admin.column_choices(self.request)

    @property
    def unordered(self) -> str:
        """The query string without the order, which names a column by its place."""
        return self.get_query_string(remove=[ORDER_VAR])

    @cached_property
    def ordering_columns(self) -> dict[int, str]:
        return dict(list(super().get_ordering_field_columns().items())[:1])

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[str]:
        """One column with an index. The theme's links add the columns of earlier clicks, and a URL
        may name a column without an index, which would sort all contacts."""
        first, *_ = super().get_ordering(request, queryset)
        indexed = {"pk"} if request.user.is_superuser else ORDERS
        return [first if first.lstrip("-") in indexed else "-pk"]

    def get_ordering_field_columns(self) -> dict[int, str]:
        """Cached, because the theme calls this method for each row."""
        return self.ordering_columns

    def order(self, request: HttpRequest) -> Order:
        [name] = self.get_ordering(request, self.root_queryset)
        return ORDERS[name.removeprefix("-")]._replace(is_descending=name.startswith("-"))

    def rows(self, order: Order, start: Position | None, limit: int) -> list[Contact]:
        given = self.form.cleaned_data if self.form.is_valid() else {}
        used = {name for name, value in given.items() if value}
        if used == {"tag"} and not self.query and order.column == "pk":
            return self.with_tag(given["tag"], order, start, limit)
        found, seen = self.queryset.order_by(), cast("ContactQuerySet", self.root_queryset)
        # The unfiltered contacts: an index has them in the order of the list.
        among = self.form.of_tenant(seen)
        if self.query.strip():
            condition = self.model_admin.condition_of(self.request, self.query, is_indexed=False)
            unindexed = self.form.chosen(seen) if self.form.is_valid() else seen
            return keyset.searched(found, unindexed.filter(condition), among, order, start, limit)
        if self.may_be_empty():
            return self.scanned(found, among, order, start, limit)
        return keyset.page(found, order, start, limit, among if self.has_active_filters else None)

    def may_be_empty(self) -> bool:
        return not self.query.strip() and self.form.is_scanned()

    def with_tag(self, tag: Tag, order: Order, start: Position | None, limit: int) -> list[Contact]:
        """Reads the links of the tag, which an index has in this order. With one query on contacts,
        planners read all contacts to find those with the tag."""
        links = tag.own_links()
        if start:
            links = links.filter(**{f"contact__{'lt' if order.is_descending else 'gt'}": start[-1]})
        ordered = links.order_by("-contact_id" if order.is_descending else "contact_id")
        pks = list(ordered.values_list("contact_id", flat=True)[:limit])
        found = self.queryset.in_bulk(pks)
        return [found[pk] for pk in pks if pk in found]


class ContactListAdmin(ColumnsAdmin):
    """The list of contacts. `ContactAdmin` adds the page of a contact and the actions."""

    list_filter = [ContactFilter]
    list_filter_submit = True
    list_per_page = 50
    list_before_template = "admin/contacts/contact/above_list.html"
    ordering = ["-pk"]
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_fields = ["name", "email", "phone"]  # Django shows the box; see get_search_results
    search_help_text = gettext_lazy("Name, e-mail or phone")

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ContactList]:
        return ContactList

    def filters_in_words(self, request: HttpRequest) -> list[str]:
        form = FilterForm(request.GET.dict(), request, self.admin_site)
        active = [text for text, _names in form.active()]
        search = request.GET.get(SEARCH_VAR, "").strip()
        return [*active, *[_("Search: %(text)s") % {"text": search}] * bool(search)]

    def get_sortable_by(self, request: HttpRequest) -> list[str]:
        """Columns with an index. The indexes of phones and messages begin with the tenant, so they
        cannot sort the contacts of all tenants, which superusers see."""
        return ["created"] if request.user.is_superuser else ["created", "number", "last_activity"]

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet, search_term: str
    ) -> tuple[models.QuerySet, bool]:
        """Contacts that match the whole text, e.g. a phone with spaces, or each word of it."""
        if not search_term.split():
            return queryset, False
        return queryset.filter(self.condition_of(request, search_term)), False

    def condition_of(
        self, request: HttpRequest, search_term: str, *, is_indexed: bool = True
    ) -> models.Q:
        """The condition of `get_search_results`. `is_indexed`: see `matches`."""
        words = [word[:MAX_SEARCH] for word in search_term.split()]
        tenant = user_of(request).tenant
        region = tenant.default_region if tenant else ""
        whole = search_term.strip()[:MAX_SEARCH]
        seen = cast("ContactQuerySet", self.get_queryset(request))
        owners = seen.owners_of(whole, region)
        found = matches(whole, region, owners, is_indexed=is_indexed)
        if 1 < len(words) <= MAX_WORDS:
            found |= reduce(and_, (matches(word, region, is_indexed=is_indexed) for word in words))
        return found

    @admin.display(description=gettext_lazy("name"))
    def who(self, contact: Contact) -> str:
        name = format_html("<bdi>{}</bdi>", contact.name or _("No name"))
        if not contact.email:
            return name
        return format_html('{}<span class="under">{}</span>', name, contact.email)

    @admin.display(description=gettext_lazy("phone"), ordering="phone")
    def number(self, contact: Contact) -> str:
        return format_html(
            '<span class="phone">{}</span> <abbr data-country="{}">{}</abbr>',
            phones.readable(contact.phone), country := countries.of(contact.phone), country,
        )  # fmt: skip

    @admin.display(description=gettext_lazy("tags"))
    def tag_chips(self, contact: Contact) -> str:
        """The first tags: a hundred would make one row as high as the page."""
        first, more = contact.tags[:MAX_CHIPS], len(contact.tags) - MAX_CHIPS
        chips = [("chip", name) for name in first] + [("chip more", f"+{more}")] * (more > 0)
        shown = format_html_join(" ", '<span class="{}">{}</span>', chips)
        return format_html('<span class="chips">{}</span>', shown) if chips else ""

    @admin.display(description=gettext_lazy("consent"))
    def consent_label(self, contact: Contact) -> str:
        if contact.opted_out_at:
            return format_html('<span class="chip bad">{}</span>', _("Opted out"))
        if contact.opted_in_at:
            return format_html('<span class="chip good">{}</span>', _("Opted in"))
        return ""

    @admin.display(description=gettext_lazy("last activity"), ordering="last_message_at")
    def last_activity(self, contact: Contact) -> str:
        return moment(contact.last_message_at)

    @admin.display(description=gettext_lazy("Updated"))
    def updated(self, contact: Contact) -> str:
        return moment(contact.updated_at)

    @admin.display(description=gettext_lazy("Created"), ordering="pk")
    def created(self, contact: Contact) -> str:
        return moment(contact.created_at)


def moment(at: datetime | None) -> str:
    """The day, which fits into a column. The tooltip shows the time."""
    if at is None:
        return ""
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(), formats.localize(local), f"{local:%Y-%m-%d}",
    )  # fmt: skip
