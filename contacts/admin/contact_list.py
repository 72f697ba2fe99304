"""The list of contacts: what it can be asked for, and its pages."""

from collections.abc import Callable, Iterator
from datetime import datetime
from functools import cached_property, reduce
from operator import and_
from typing import Any, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.views.main import SEARCH_VAR
from django.core.paginator import Paginator
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.forms.utils import flatatt
from django.http import HttpRequest
from django.utils import formats, timezone
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from unfold.views import ChangeList
from unfold.widgets import INPUT_CLASSES, UnfoldAdminSelectWidget, UnfoldAdminTextInputWidget

from contacts.db import keyset
from contacts.db.keyset import Order, Position
from contacts.finding import filters
from contacts.models import Contact, ContactQuerySet, ContactTag, Tag, matches
from contacts.values import countries, phones, rules
from tenants.admin import TenantOwnedAdmin, user_of
from tenants.fields import is_ulid, parse_ulid
from tenants.models import FIRST_DAY, LAST_DAY, Tenant

from .forms import TagField, TagInput, suggestions_of_all

AFTER, BEFORE = "after", "before"  # the parameters that tell where a page begins, or ends
ORDERS = {
    "pk": Order("pk"),  # ULIDs order by time
    "phone": Order("phone"),
    "last_message_at": Order("last_message_at", is_nullable=True),
}
TAGS = ("tag", "without")
WORDS = 10  # of a search, that are looked for one by one
LONGEST = 256  # characters of a search; no name or e-mail has as many
CONSENTS = [("in", "Opted in"), ("out", "Opted out"), ("none", "No decision")]


# What it can be asked for


def select(*choices: tuple[str, str], label: str | None = None) -> forms.ChoiceField:
    return forms.ChoiceField(
        choices=[("", "All"), *choices], label=label, widget=UnfoldAdminSelectWidget
    )


def day(label: str) -> forms.DateField:
    attrs = {"type": "date", "class": " ".join(INPUT_CLASSES)}
    return forms.DateField(
        label=label,
        widget=forms.DateInput(attrs, format="%Y-%m-%d"),
        validators=[MinValueValidator(FIRST_DAY), MaxValueValidator(LAST_DAY)],
    )


class CountrySelect(UnfoldAdminSelectWidget):
    """Of 240 options; a template for each would take a fifth of the page's time."""

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        options = format_html_join(
            "\n",
            "<option{}>{}</option>",
            ((flatatt({"value": c, "selected": c == value}), label) for c, label in self.choices),
        )
        own = flatatt({"name": name, **self.build_attrs(self.attrs, attrs)})
        return format_html("<select{}>{}</select>", own, options)


class FilterForm(forms.Form):
    """`choice` says what each of them means."""

    tag = TagField(label="With tag")
    without = TagField(label="Without tag")
    country = forms.ChoiceField(widget=CountrySelect)
    source = select(*Contact.Source.choices)
    consent = select(*CONSENTS)
    has_email = select(("yes", "With e-mail"), ("no", "Without e-mail"), label="E-mail")
    created_from = day("Created from")
    created_to = day("Created until")
    updated_from = day("Updated from")
    updated_to = day("Updated until")
    metadata_key = forms.CharField(widget=UnfoldAdminTextInputWidget)
    metadata_value = forms.CharField(
        widget=UnfoldAdminTextInputWidget, help_text="Empty: whatever the key holds."
    )
    tenant = forms.ModelChoiceField(Tenant.objects.none(), widget=UnfoldAdminSelectWidget)

    class Media(TagInput.Media):
        """The theme asks for the scripts of filters by this name."""

    def __init__(self, data: Any, request: HttpRequest, site: Any) -> None:
        super().__init__(data)
        fields: dict[str, Any] = self.fields
        for field in fields.values():
            field.required = False
        tags = site.get_model_admin(Tag).visible(request, Tag.objects.all())
        if request.user.is_superuser:
            fields["tenant"].queryset = Tenant.objects.all()
            if is_ulid(chosen := self.data.get("tenant", "")):
                tags = tags.filter(tenant=chosen)
        else:
            del fields["tenant"]
        for name in TAGS:
            fields[name].choose_from(tags, user_of(request), suggestions_of_all())
        codes = sorted(countries.numbering())
        fields["country"].choices = [("", "All"), *((code, code) for code in codes)]

    def clean(self) -> dict[str, Any]:
        given = self.cleaned_data
        key, value = given.get("metadata_key"), given.get("metadata_value")
        if value and not key:
            self.add_error("metadata_value", "Name the metadata key that holds it.")
        return given | {"metadata": (key, value) if key else None}

    def problems(self) -> Iterator[str]:
        for name, sentences in self.errors.items():
            yield f"{self[name].label}: {' '.join(map(str, sentences))}"

    def shown(self) -> Iterator[tuple[str, str, list[str]]]:
        """The filters in force: what each is, its value, and the parameters that say it."""
        for name, value in self.cleaned_data.items():
            if value and name in self.fields:
                yield str(self[name].label), self.told(name, value), self.parameters(name)

    def told(self, name: str, value: Any) -> str:
        field: Any = self.fields[name]
        if name in TAGS:
            return field.label_of(value)
        choices = dict(field.choices) if name in self.WORDED else {}
        return str(choices.get(value, value))

    def parameters(self, name: str) -> list[str]:
        """Those that say a filter: without its key, a value of metadata means nothing."""
        return ["metadata_key", "metadata_value"] if name == "metadata_key" else [name]

    WORDED = ("source", "consent", "has_email")


class ContactFilter(admin.ListFilter):
    """All the filters, as one form."""

    title = "filter"
    # The theme asks every filter for its name from 0.92 on, and fails where there is none.
    parameter_name = "filter"
    template = "unfold/filters/filters_field.html"
    form_class = FilterForm

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        for name in FilterForm.base_fields:
            if values := params.pop(name, None):
                self.used_parameters[name] = values[-1]
        self.form = FilterForm(self.used_parameters, request, model_admin.admin_site)

    def expected_parameters(self) -> list[str | None]:
        return [*FilterForm.base_fields]

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        yield {"form": self.form}

    def queryset(self, request: HttpRequest, queryset: models.QuerySet) -> models.QuerySet:
        """What cannot be understood finds nobody, rather than everybody."""
        if self.form.is_valid():
            return filters.choose(cast("ContactQuerySet", queryset), self.form.cleaned_data)
        for sentence in self.form.problems():
            messages.error(request, sentence)
        return queryset.none()


# Its pages


class PageLinks(Paginator):
    """Nothing but the template's name: a page is found by what the one before ended with."""

    template_name = "admin/contacts/contact/pages.html"


class ContactList(ChangeList):
    """Pages found by where the last one ended, in an order that an index carries."""

    form: FilterForm

    def __init__(self, request: HttpRequest, *args: Any, **options: Any) -> None:
        self.after, self.before = request.GET.get(AFTER, ""), request.GET.get(BEFORE, "")
        super().__init__(request, *args, **options)

    def get_filters(self, request: HttpRequest) -> Any:
        found = super().get_filters(request)
        [spec] = found[0]
        self.form = spec.form
        return found

    def get_filters_params(self, params: Any = None) -> dict[str, Any]:
        asked = super().get_filters_params(params)
        return {name: value for name, value in asked.items() if name not in (AFTER, BEFORE)}

    def get_query_string(self, new_params: Any = None, remove: Any = None) -> str:
        """Whatever a link changes, it leads to a first page, unless it says where to begin."""
        return super().get_query_string(new_params, [*(remove or ()), AFTER, BEFORE])

    @cached_property
    def ordering_columns(self) -> dict[int, str]:
        return dict(list(super().get_ordering_field_columns().items())[:1])

    def get_ordering(self, request: HttpRequest, queryset: Any) -> list[str]:
        """By one column: the theme's links keep those sorted by before. By one that an index
        carries: an address may ask for others."""
        first, *_ = super().get_ordering(request, queryset)
        carried = {"pk"} if request.user.is_superuser else ORDERS
        return [first if first.lstrip("-") in carried else "-pk"]

    def get_ordering_field_columns(self) -> dict[int, str]:
        """The theme asks for them once a row."""
        return self.ordering_columns

    def get_results(self, request: HttpRequest) -> None:
        [name] = self.get_ordering(request, self.root_queryset)
        order = ORDERS[name.removeprefix("-")]._replace(is_descending=name.startswith("-"))
        self.result_list = self.page(order)
        more = self.has_previous or self.has_next
        # Beyond this page nobody has counted; Django only asks whether there is more.
        self.result_count = len(self.result_list) + more
        self.full_result_count = self.result_count
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = bool(self.result_list)
        self.paginator = PageLinks([], self.list_per_page)

    def page(self, order: Order) -> list[Contact]:
        """Sets what the links to the pages around it need. Where all behind have gone meanwhile,
        it is the first page again."""
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
        asked = {name for name, value in given.items() if value}
        if asked == {"tag"} and not self.query and order.column == "pk":
            return self.carriers(given["tag"], order, start, limit)
        among = None  # what an index has in the order of the list, where a filter picks from it
        if self.query or self.has_active_filters:
            seen = cast("ContactQuerySet", self.root_queryset)
            among = filters.choose(seen, {"tenant": given.get("tenant")})
        return keyset.page(self.queryset.order_by(), order, start, limit, among)

    def carriers(self, tag: Tag, order: Order, start: Position | None, limit: int) -> list[Contact]:
        """A tag's links are in this order already; planners go through contacts instead."""
        links = ContactTag.objects.filter(tenant=tag.tenant_id, tag=tag)
        if start:
            links = links.filter(**{f"contact__{'lt' if order.is_descending else 'gt'}": start[-1]})
        ordered = links.order_by("-contact_id" if order.is_descending else "contact_id")
        pks = list(ordered.values_list("contact_id", flat=True)[:limit])
        found = self.queryset.in_bulk(pks)
        return [found[pk] for pk in pks if pk in found]

    def in_force(self) -> Iterator[dict[str, str]]:
        """The filters, each with the link that takes it away."""
        if self.form.is_valid():
            for label, value, names in self.form.shown():
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
    """A position, for a link."""
    *value, pk = order.position(contact)
    return "~".join([*(said(part) for part in value), pk])


def said(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else value or ""


def read(order: Order, text: str) -> Position | None:
    """What `write` wrote; nothing, where somebody has made it up."""
    *value, pk = text.split("~")
    try:
        position = (*(PLACES[order.column](part) for part in value), parse_ulid(pk))
    except ValueError:
        return None
    return position if len(position) == len(keyset.columns(order.column)) else None


PLACES: dict[str, Callable[[str], Any]] = {
    "pk": str,
    "phone": str,
    "last_message_at": rules.timestamp,
}


class ContactListAdmin(TenantOwnedAdmin):
    list_display = ["who", "number", "tag_chips", "consent_label", "source", "last_activity",
                    "created"]  # fmt: skip
    list_filter = [ContactFilter]
    list_filter_submit = True
    list_per_page = 50
    list_before_template = "admin/contacts/contact/in_force.html"
    ordering = ["-pk"]
    show_full_result_count = False
    show_facets = admin.ShowFacets.NEVER
    search_fields = ["name", "email", "phone"]  # shows the box; `matching` does the search
    search_help_text = "Parts of the name or e-mail, or a phone in any spelling"

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ContactList]:
        return ContactList

    def asked_for(self, request: HttpRequest) -> list[str]:
        form = FilterForm(request.GET.dict(), request, self.admin_site)
        filters = (
            [f"{label}: {value}" for label, value, _ in form.shown()] if form.is_valid() else []
        )
        search = request.GET.get(SEARCH_VAR, "").strip()
        return [*filters, *[f"Search: {search}"] * bool(search)]

    def get_sortable_by(self, request: HttpRequest) -> list[str]:
        """What an index carries; those of phones and messages begin with the tenant."""
        return ["created"] if request.user.is_superuser else ["created", "number", "last_activity"]

    def get_search_results(
        self, request: HttpRequest, queryset: models.QuerySet, search_term: str
    ) -> tuple[models.QuerySet, bool]:
        """Those who match the whole, as a phone with blanks does, or each of its words."""
        words = [word[:LONGEST] for word in search_term.split()]
        if not words:
            return queryset, False
        tenant = user_of(request).tenant
        region = tenant.default_region if tenant else ""
        found = matches(search_term.strip()[:LONGEST], region)
        if 1 < len(words) <= WORDS:
            found |= reduce(and_, (matches(word, region) for word in words))
        return queryset.filter(found), False

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
    """As short as a column is; the rest on pointing at it."""
    if at is None:
        return ""
    local = timezone.localtime(at)
    return format_html(
        '<time datetime="{}" title="{}">{}</time>',
        at.isoformat(), formats.localize(local), f"{local:%Y-%m-%d}",
    )  # fmt: skip
