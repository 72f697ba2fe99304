"""The list of changes: who changed which contact and when, with a link that undoes each.

Deleted and merged contacts are in the list, under the name and phone that the log keeps: they are
brought back from here. Whoever may see contacts sees the list. One module, because each filter
decides how the list reads its rows.
"""

from collections.abc import Iterable, Iterator
from datetime import date, timedelta
from typing import Any, NamedTuple, cast

from django import forms
from django.contrib import admin, messages
from django.db.models import F, Q, QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import reverse
from django.utils import timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop, ngettext, pgettext_lazy
from unfold.widgets import UnfoldAdminSelectWidget

from contacts.change_log.cause import actor_of_user
from contacts.db import keyset
from contacts.db.keyset import Order, Position
from contacts.finding.filters import before_day, since_day
from contacts.models import ENDS, Change, ChangeQuerySet, Contact
from contacts.values import phones
from tenants.admin import TenantOwnedAdmin, user_of
from tenants.fields import is_ulid, number_of
from tenants.models import ApiToken, User

from . import describe
from .change_search import contacts_of
from .describe import ARROW
from .forms import translated
from .keyset_list import FiltersForm, FormFilter, KeysetList, all_tenants, day, select

Kind = Change.Kind
# People, and tokens, that the filter offers. The names in the list lead to others.
MAX_CHOICES = 200
WINDOW = 100_000  # changes that a page looks at to find those of a person or kind
MAX_QUICK = 8  # people to choose above the list
QUICK_KINDS = ("ended", "updated", "created")
MAX_LINES = 4  # of a change; the history of the contact has all
MAX_SIDE = 60  # characters of an old or a new value

KINDS = {
    "created": (gettext_noop("Created"), Q(kind=Kind.CREATED)),
    "updated": (gettext_noop("Updated"), Q(kind=Kind.UPDATED)),
    "tagged": (gettext_noop("Tags changed"), Q(kind=Kind.UPDATED, fields__has_key="tags")),
    "ended": (gettext_noop("Deleted or merged"), Q(kind__in=[Kind.DELETED, Kind.MERGED])),
    "deleted": (gettext_noop("Deleted"), Q(kind=Kind.DELETED)),
    "merged": (gettext_noop("Merged"), Q(kind=Kind.MERGED)),
    "erased": (gettext_noop("Erased"), Q(kind=Kind.ERASED)),
    "opted_in": (gettext_noop("Opted in"), Q(kind=Kind.OPTED_IN)),
    "opted_out": (gettext_noop("Opted out"), Q(kind=Kind.OPTED_OUT)),
}
ENDED = ("ended", "deleted", "merged", "erased")
# What became of a contact that is gone, in its chip.
ENDINGS = {
    Kind.DELETED: gettext_noop("deleted"),
    Kind.MERGED: gettext_noop("merged"),
    Kind.ERASED: gettext_noop("erased"),
}
# The first and the last day of each, counted back from today.
DAYS = {"today": (0, 0), "yesterday": (1, 1), "week": (6, 0)}
DAY_TEXTS = {
    "today": gettext_noop("Today"),
    "yesterday": gettext_noop("Yesterday"),
    "week": gettext_noop("Last 7 days"),
}
# All actors of a kind: their names begin so.
GROUPS = {
    "user:": gettext_noop("All people"),
    "token:": gettext_noop("All tokens"),
    "import:": gettext_noop("Imports"),
    "command:": gettext_noop("Commands"),
}


# Filters


class ActorField(forms.ChoiceField):
    """An actor of the log. Others than the choices are valid, too: the log outlives its users."""

    def valid_value(self, value: str) -> bool:
        return True


class ChangeFilterForm(FiltersForm):
    when = select(
        *((name, gettext_lazy(text)) for name, text in DAY_TEXTS.items()),
        label=gettext_lazy("Day"),
    )
    at_from = day(gettext_lazy("From"))
    at_to = day(gettext_lazy("Until"))
    who = ActorField(label=gettext_lazy("Person"), widget=UnfoldAdminSelectWidget)
    kind = select(
        *((name, gettext_lazy(text)) for name, (text, _found) in KINDS.items()),
        label=gettext_lazy("Kind"),
    )
    tenant = all_tenants()

    def __init__(self, data: Any, request: HttpRequest, site: Any) -> None:
        super().__init__(data, request, site)
        users, tokens = self.actors(request)
        self.people = [(actor_of_user(pk), email) for pk, email in users]
        named = [(f"token:{prefix}", f"{name} ({prefix})") for prefix, name in tokens]
        kinds = translated(GROUPS)
        groups: list[Any] = [("", _("All")), *kinds.items()]
        groups += [(_("People"), self.people)] * bool(users) + [(_("Tokens"), named)] * bool(named)
        known = {**kinds, **dict(self.people), **dict(named)}
        given = self.data.get("who", "")
        if given and given not in known:
            tenants = [tenant] if (tenant := user_of(request).tenant) else []
            known[given] = describe.Actors([given], tenants).who(given).text
            groups.append((given, known[given]))
        self.texts = {
            "who": known,
            "when": translated(DAY_TEXTS),
            "kind": translated({name: text for name, (text, _found) in KINDS.items()}),
        }
        field: Any = self.fields["who"]
        field.choices = groups

    def actors(self, request: HttpRequest) -> tuple[list[Any], list[Any]]:
        """The people and tokens to choose from, those who were there last first."""
        users, tokens = User.objects.filter(is_staff=True), ApiToken.objects.all()
        user = user_of(request)
        tenant = self.data.get("tenant", "") if user.is_superuser else user.tenant_id
        if not user.is_superuser or is_ulid(tenant):
            users, tokens = users.filter(tenant=tenant), tokens.filter(user__tenant=tenant)
        recent = users.order_by(F("last_login").desc(nulls_last=True), "pk")
        latest = tokens.order_by(F("last_used_at").desc(nulls_last=True), "pk")
        return (
            list(recent.values_list("pk", "email")[:MAX_CHOICES]),
            list(latest.values_list("prefix", "name")[:MAX_CHOICES]),
        )

    def value_text(self, name: str, value: Any) -> str:
        return self.texts.get(name, {}).get(value) or super().value_text(name, value)

    def chosen(self, changes: ChangeQuerySet) -> ChangeQuerySet:
        given, found = self.cleaned_data, self.in_days(changes)
        if who := given["who"]:
            found = (
                found.filter(actor__startswith=who) if who in GROUPS else found.filter(actor=who)
            )
        found = found.ends() if self.is_of_ends() else found
        return found.filter(KINDS[given["kind"]][1]) if given["kind"] else found

    def in_days(self, changes: QuerySet) -> ChangeQuerySet:
        """Those of the chosen tenant and days: a range of the list."""
        found = self.of_tenant(changes)
        if self.is_valid():
            for first, last in self.days():
                found = found.filter(at__gte=since_day(first)) if first else found
                found = found.filter(at__lt=before_day(last)) if last else found
        return cast("ChangeQuerySet", found)

    def days(self) -> Iterator[tuple[date | None, date | None]]:
        given = self.cleaned_data
        yield given["at_from"], given["at_to"]
        if given["when"]:
            first, last = (timezone.localdate() - timedelta(n) for n in DAYS[given["when"]])
            yield first, last

    def is_scanned(self, order: Order) -> bool:
        """Whether the database has to read changes one after the other to find those that match.
        Indexes have the changes by time, those that ended a contact, and the order of ids."""
        given = self.cleaned_data if self.is_valid() else {}
        indexed = ("", "ended") if order.column == "at" else ("",)
        return bool(given.get("who") or given.get("kind", "") not in indexed)

    def is_of_ends(self) -> bool:
        return self.is_valid() and self.cleaned_data["kind"] in ENDED


class ChangeFilter(FormFilter):
    form_class = ChangeFilterForm


# Rows


class Named(NamedTuple):
    """A contact as the list shows it. `state`: what became of it; empty if it is still there."""

    name: str
    phone: str
    state: str = ""


def named(changes: Iterable[Change]) -> dict[str, Named]:
    """The contacts of these changes and those they were merged into, by id. Two statements: a
    contact that is gone has the name and phone that the log kept at its end."""
    tenants, ids = set[str](), set[str]()
    for change in changes:
        tenants.add(change.tenant_id)
        ids.update(filter(None, [change.contact_id, change.into]))
    rows = Contact.objects.filter(tenant__in=tenants, pk__in=ids).values_list("pk", "name", "phone")
    found = {pk: Named(name, phones.readable(phone)) for pk, name, phone in rows}
    ends = Change.objects.filter(tenant__in=tenants, contact_id__in=ids - found.keys())
    for end in ends.filter(kind__in=ENDS).order_by("pk"):
        gone = Contact.ended(end)
        phone = phones.readable(gone.phone) if gone.phone else ""
        found[end.contact_id] = Named(gone.name, phone, _(ENDINGS[Kind(end.kind)]))
    return found


def short(text: str) -> str:
    return text if len(text) <= MAX_SIDE else f"{text[:MAX_SIDE]}…"


class ChangeLogList(KeysetList):
    """The pages, newest first. Superusers see the changes of all tenants in the order of their ids,
    because no index has the times of all tenants."""

    form: ChangeFilterForm
    window = WINDOW

    def order(self, request: HttpRequest) -> Order:
        is_of_all = request.user.is_superuser and not self.form.cleaned_data.get("tenant")
        return Order("pk" if is_of_all else "at", is_descending=True)

    def pk(self, text: str) -> int:
        if (pk := number_of(text)) is None:
            raise ValueError(text)
        return pk

    def rows(self, order: Order, start: Position | None, limit: int) -> list[Change]:
        found = self.queryset.order_by()
        if self.query.strip():  # the changes of a few contacts
            return keyset.gathered(found, order, start, limit)
        if not self.may_be_empty():
            return keyset.page(found, order, start, limit)
        return self.scanned(found, self.among(order), order, start, limit)

    def may_be_empty(self) -> bool:
        return self.form.is_scanned(self.order(self.request))

    def among(self, order: Order) -> ChangeQuerySet:
        """The changes that are read to find those of a person or kind: no index has these, and one
        would make each write slower. Ends are few, and an index has them by time."""
        found = self.form.in_days(self.root_queryset)
        return found.ends() if self.form.is_of_ends() and order.column == "at" else found

    def get_results(self, request: HttpRequest) -> None:
        """Adds to each change what the columns show, for all of the page at once."""
        super().get_results(request)
        changes = self.result_list
        actors = describe.Actors(
            (change.actor for change in changes), [*{change.tenant_id for change in changes}]
        )
        contacts = named(changes)
        may_undo = self.model_admin.may_undo(request)
        for change in changes:
            change.contacts, change.by, change.may_undo = (
                contacts,
                actors.who(change.actor),
                may_undo,
            )
            change.by_url = self.get_query_string({"who": change.actor}) if change.actor else ""

    @property
    def quick(self) -> Iterator[tuple[str, list[tuple[str, str]]]]:
        """Links that choose one filter: what staff are asked every day takes a click each."""
        given = self.form.cleaned_data if self.form.is_valid() else {}
        offered = {
            "when": (_("Day"), [*translated(DAY_TEXTS).items()]),
            "kind": (_("What"), [(name, _(KINDS[name][0])) for name in QUICK_KINDS]),
            "who": (_("Person"), self.form.people[:MAX_QUICK]),
        }
        for name, (label, choices) in offered.items():
            if choices and not given.get(name):
                yield label, [(text, self.get_query_string({name: key})) for key, text in choices]


@admin.register(Change)
class ChangeAdmin(TenantOwnedAdmin):
    """The log of changes. Nobody adds, edits or deletes an entry."""

    list_display = ["when", "who", "contact", "what", "undo"]
    list_display_links = None
    list_filter = [ChangeFilter]
    list_filter_submit = True
    list_per_page = 50
    list_before_template = "admin/contacts/change/quick.html"
    ordering = ["-pk"]
    actions = None
    sortable_by = ()
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_fields = ["contact_id"]  # Django shows the box; see get_search_results
    search_help_text = gettext_lazy("Contact: name, phone, e-mail or id")

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ChangeLogList]:
        return ChangeLogList

    def change_view(self, request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        """An entry has no page of its own."""
        return HttpResponseRedirect(reverse("admin:contacts_change_changelist"))

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet, search_term: str
    ) -> tuple[QuerySet, bool]:
        """The changes of contacts that match the text, and of contacts that were merged into such a
        contact."""
        if not search_term.strip():
            return queryset, False
        seen = cast("ChangeQuerySet", self.get_queryset(request))
        found = contacts_of(request, self.contacts, seen, search_term)
        if found.are_more:
            messages.warning(
                request, _("More contacts match than are shown. Enter more of the name.")
            )
        return queryset.filter(contact_id__in=found.ids), False

    # Permissions

    @property
    def contacts(self) -> Any:
        """The admin of contacts."""
        return self.admin_site.get_model_admin(Contact)

    def may_undo(self, request: HttpRequest) -> bool:
        return self.contacts.may_undo(request)

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return self.contacts.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def may_delete_all(self, request: HttpRequest, rows: QuerySet) -> bool:
        return True

    # Columns

    @admin.display(description=gettext_lazy("When"))
    def when(self, change: Change) -> str:
        return describe.local_time(change.at)

    @admin.display(description=gettext_lazy("person"))
    def who(self, change: Any) -> str:
        """A link to what else this person has changed; of an import, to its page."""
        url = change.by.url or change.by_url
        return format_html('<a href="{}">{}</a>', url, change.by.text) if url else change.by.text

    @admin.display(description=gettext_lazy("Contact"))
    def contact(self, change: Any) -> SafeString:
        return cell(person(change.contacts, change.contact_id))

    @admin.display(description=gettext_lazy("What"))
    def what(self, change: Any) -> SafeString:
        return cell(self.in_words(change))

    def in_words(self, change: Any) -> SafeString:
        if change.into:
            kept = person(change.contacts, change.into)
            return format_html(_("<strong>Merged</strong> into {contact}"), contact=kept)
        text = format_html("<strong>{}</strong>", _(KINDS[change.kind][0]))
        if change.kind in ENDS:  # its fields say what it had, which the column before names
            return text
        lines = [*describe.lines_of(change)]
        shown = (
            [describe.Line(line.what, ARROW.join(map(short, line.text.split(ARROW)))).html]
            for line in lines[:MAX_LINES]
        )
        more = len(lines) - MAX_LINES
        others = ngettext("and %(count)s more", "and %(count)s more", more) % {"count": more}
        rest = format_html("<br>{}", others) if more > 0 else ""
        return format_html("{}{}{}", text, format_html_join("", "<br>{}", shown), rest)

    @admin.display(description=pgettext_lazy("noun", "Undo"))
    def undo(self, change: Any) -> str:
        if not (change.may_undo and change.can_be_undone):
            return ""
        page = reverse("admin:contacts_contact_undo", args=[change.change_set])
        return format_html('<a class="plain" href="{}">{}</a>', page, _("Undo"))


def cell(content: SafeString) -> SafeString:
    """One element: on a phone, each element of a cell is a column."""
    return format_html('<div class="cell">{}</div>', content)


def person(contacts: dict[str, Named], pk: str) -> SafeString:
    """A contact as a link: to its page, or to all changes of a contact that is gone."""
    one = contacts.get(pk) or Named("", pk, _("no longer in the history"))
    page = reverse("admin:contacts_contact_change", args=[pk])
    if one.state:
        page = f"{reverse('admin:contacts_change_changelist')}?q={pk}"
    link = format_html('<a href="{}"><bdi>{}</bdi></a>', page, one.name or one.phone or pk)
    under = format_html('<span class="under">{}</span>', one.phone) if one.name else ""
    chip = format_html(' <span class="chip bad">{}</span>', one.state) if one.state else ""
    return format_html("{}{}{}", link, chip, under)
