"""The list of contacts: its pages, its search and its columns.

Pages use keyset pagination: a page begins after the last contact of the page before. Nothing counts
rows or skips rows, so a late page of a million contacts is as fast as the first page.
`contact_filters` has the filters.
"""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property, reduce
from operator import and_
from typing import Any, cast

from django.contrib import admin
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.paginator import Paginator
from django.db import models
from django.http import HttpRequest
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from unfold.views import ChangeList

from contacts.db import keyset
from contacts.db.keyset import Order, Position
from contacts.models import Contact, ContactQuerySet, ContactTag, Tag, matches
from contacts.values import countries, phones, rules
from tenants.admin import TenantOwnedAdmin, user_of
from tenants.fields import parse_ulid

from .contact_filters import ContactFilter, FilterForm, of_tenant

AFTER, BEFORE = "after", "before"  # URL parameters: the page begins after, or ends before
ORDERS = {
    "pk": Order("pk"),  # ULIDs order by time
    "phone": Order("phone"),
    "last_message_at": Order("last_message_at", is_nullable=True),
}
MAX_WORDS = 10  # each word of a search is a condition of its own; longer searches are one text
MAX_SEARCH = 256  # characters; a name or e-mail address is shorter


# Pages


class PageLinks(Paginator):
    """Only names the template of the links. `ContactList` finds the pages."""

    template_name = "admin/contacts/contact/pages.html"


class ContactList(ChangeList):
    """Keyset pagination for Django's change list, in the order of an index."""

    form: FilterForm

    def __init__(self, request: HttpRequest, *args: Any, **options: Any) -> None:
        self.request = request
        self.after, self.before = request.GET.get(AFTER, ""), request.GET.get(BEFORE, "")
        super().__init__(request, *args, **options)

    def get_filters(self, request: HttpRequest) -> Any:
        found = super().get_filters(request)
        [spec] = found[0]
        self.form = spec.form
        return found

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        given = super().get_filters_params(params)
        return {name: value for name, value in given.items() if name not in (AFTER, BEFORE)}

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        """A link to the first page, unless `new_params` contains a position: the old position does
        not exist in a list with other filters or another order."""
        return super().get_query_string(new_params, [*(remove or ()), AFTER, BEFORE])

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

    def get_results(self, request: HttpRequest) -> None:
        [name] = self.get_ordering(request, self.root_queryset)
        order = ORDERS[name.removeprefix("-")]._replace(is_descending=name.startswith("-"))
        self.result_list = self.page(order)
        more = self.has_previous or self.has_next
        # Django reads these counts only to see whether there is more than this page.
        self.result_count = len(self.result_list) + more
        self.full_result_count = self.result_count
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = bool(self.result_list)
        self.paginator = PageLinks([], self.list_per_page)

    def page(self, order: Order) -> list[Contact]:
        """The contacts of this page. Sets `first`, `last`, `has_previous` and `has_next` for the
        links. Returns the first page if somebody has deleted all contacts after the position."""
        start = read(order, self.before or self.after)
        found = self.page_at(order, start)
        return found if found or start is None else self.page_at(order, None)

    def page_at(self, order: Order, start: Position | None) -> list[Contact]:
        is_back = bool(self.before and start)
        found = self.rows(order.reversed() if is_back else order, start, self.list_per_page + 1)
        is_full = len(found) > self.list_per_page
        found = found[: self.list_per_page]
        self.has_previous = is_full if is_back else bool(start)
        self.has_next = is_back or is_full
        shown = found[::-1] if is_back else found
        if shown:
            self.first, self.last = (write(order, row) for row in (shown[0], shown[-1]))
        return shown

    def rows(self, order: Order, start: Position | None, limit: int) -> list[Contact]:
        given = self.form.cleaned_data if self.form.is_valid() else {}
        used = {name for name, value in given.items() if value}
        if used == {"tag"} and not self.query and order.column == "pk":
            return self.with_tag(given["tag"], order, start, limit)
        found, seen = self.queryset.order_by(), cast("ContactQuerySet", self.root_queryset)
        # The unfiltered contacts: an index has them in the order of the list.
        among = of_tenant(seen, given.get("tenant"))
        if self.query.strip():
            condition = self.model_admin.condition_of(self.request, self.query, is_indexed=False)
            unindexed = self.form.chosen(seen) if self.form.is_valid() else seen
            return keyset.searched(found, unindexed.filter(condition), among, order, start, limit)
        return keyset.page(found, order, start, limit, among if self.has_active_filters else None)

    def with_tag(self, tag: Tag, order: Order, start: Position | None, limit: int) -> list[Contact]:
        """Reads the links of the tag, which an index has in this order. With one query on contacts,
        planners read all contacts to find those with the tag."""
        links = ContactTag.objects.filter(tenant=tag.tenant_id, tag=tag)
        if start:
            links = links.filter(**{f"contact__{'lt' if order.is_descending else 'gt'}": start[-1]})
        ordered = links.order_by("-contact_id" if order.is_descending else "contact_id")
        pks = list(ordered.values_list("contact_id", flat=True)[:limit])
        found = self.queryset.in_bulk(pks)
        return [found[pk] for pk in pks if pk in found]

    def active_filters(self) -> Iterator[dict[str, str]]:
        """The active filters as text, each with the URL of the list without it."""
        if self.form.is_valid():
            for label, value, names in self.form.active():
                without = dict.fromkeys(names)
                yield {"text": f"{label}: {value}", "url": self.get_query_string(without)}

    @property
    def next_url(self) -> str:
        return self.get_query_string({AFTER: self.last})

    @property
    def previous_url(self) -> str:
        return self.get_query_string({BEFORE: self.first})

    @property
    def first_url(self) -> str:
        return self.get_query_string()


def write(order: Order, contact: Contact) -> str:
    """The position of a contact, as text for a URL."""
    *value, pk = order.position(contact)
    return "~".join([*(url_text(part) for part in value), pk])


def url_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else value or ""


def read(order: Order, text: str) -> Position | None:
    """The position that `write` wrote. None if the text is not one: people edit URLs."""
    *value, pk = text.split("~")
    try:
        position = (*(PARSERS[order.column](part) for part in value), parse_ulid(pk))
    except ValueError:
        return None
    return position if len(position) == len(keyset.columns(order.column)) else None


PARSERS: dict[str, Callable[[str], Any]] = {
    "pk": str,
    "phone": str,
    "last_message_at": rules.timestamp,
}


class ContactListAdmin(TenantOwnedAdmin):
    """The list of contacts. `ContactAdmin` adds the page of a contact and the actions."""

    list_display = ["who", "number", "tag_chips", "consent_label", "source", "last_activity",
                    "created"]  # fmt: skip
    list_filter = [ContactFilter]
    list_filter_submit = True
    list_per_page = 50
    list_before_template = "admin/contacts/contact/active_filters.html"
    ordering = ["-pk"]
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_fields = ["name", "email", "phone"]  # Django shows the box; see get_search_results
    search_help_text = "Name, e-mail or phone"

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ContactList]:
        return ContactList

    def filters_in_words(self, request: HttpRequest) -> list[str]:
        form = FilterForm(request.GET.dict(), request, self.admin_site)
        active = form.active() if form.is_valid() else ()
        search = request.GET.get(SEARCH_VAR, "").strip()
        return [
            *(f"{label}: {value}" for label, value, _ in active),
            *[f"Search: {search}"] * bool(search),
        ]

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

    @admin.display(description="name")
    def who(self, contact: Contact) -> str:
        name = contact.name or "No name"
        if not contact.email:
            return name
        return format_html('{}<span class="under">{}</span>', name, contact.email)

    @admin.display(description="phone", ordering="phone")
    def number(self, contact: Contact) -> str:
        return format_html(
            '<span class="phone">{}</span> <abbr data-country="{}">{}</abbr>',
            phones.readable(contact.phone), country := countries.of(contact.phone), country,
        )  # fmt: skip

    @admin.display(description="tags")
    def tag_chips(self, contact: Contact) -> str:
        chips = format_html_join(" ", '<span class="chip">{}</span>', ([t] for t in contact.tags))
        return format_html('<span class="chips">{}</span>', chips) if contact.tags else ""

    @admin.display(description="consent")
    def consent_label(self, contact: Contact) -> str:
        if contact.opted_out_at:
            return format_html('<span class="chip bad">{}</span>', "Opted out")
        if contact.opted_in_at:
            return format_html('<span class="chip good">{}</span>', "Opted in")
        return ""

    @admin.display(description="last activity", ordering="last_message_at")
    def last_activity(self, contact: Contact) -> str:
        return moment(contact.last_message_at)

    @admin.display(ordering="pk")
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
