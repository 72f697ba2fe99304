"""Long lists of the admin: keyset pagination, and all filters in one form.

A page begins after the last row of the page before. Nothing counts rows or skips rows, so a late
page of a million rows is as fast as the first page.
"""

import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

from django import forms
from django.contrib import admin, messages
from django.core.paginator import Paginator
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db.models import QuerySet
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from unfold.views import ChangeList
from unfold.widgets import INPUT_CLASSES, UnfoldAdminSelectWidget

from contacts.db import keyset
from contacts.db.keyset import Order, Position
from contacts.values import rules
from tenants.fields import parse_ulid
from tenants.models import FIRST_DAY, LAST_DAY, Tenant

from .describe import local_time
from .forms import answers, labelled

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

DAY = re.compile(r"\d{4}-\d{2}-\d{2}")
AFTER, BEFORE = "after", "before"  # URL parameters: the page begins after, or ends before

# The form of all filters


# `label` of these functions: a text that is shown as it is, or one from `gettext_lazy`.


def select(
    *choices: tuple[str, Any], label: "str | _StrPromise | None" = None
) -> forms.ChoiceField:
    return forms.ChoiceField(
        choices=[("", gettext_lazy("All")), *choices], label=label, widget=UnfoldAdminSelectWidget
    )


class DayInput(forms.DateInput):
    def get_context(self, name: str, value: Any, attrs: Any) -> dict[str, Any]:
        """A browser would empty a box for a day that has a time."""
        context = super().get_context(name, value, attrs)
        if value and not isinstance(value, date) and not DAY.fullmatch(value):
            context["widget"]["type"] = "text"
        return context


class DayField(forms.DateField):
    """A day of the user. Also a time with its offset, which links of saved views have: the days
    begin at other times for somebody who saved the view in another time zone."""

    def to_python(self, value: Any) -> date | None:
        try:
            return super().to_python(value)
        except forms.ValidationError:
            with suppress(ValueError):
                return rules.timestamp(value)
            raise

    def run_validators(self, value: Any) -> None:
        super().run_validators(value.date() if isinstance(value, datetime) else value)


def day(label: "str | _StrPromise") -> forms.DateField:
    attrs = {"type": "date", "class": " ".join(INPUT_CLASSES)}
    return DayField(
        label=label,
        widget=DayInput(attrs, format="%Y-%m-%d"),
        validators=[MinValueValidator(FIRST_DAY), MaxValueValidator(LAST_DAY)],
    )


class AnswerField(forms.ChoiceField):
    """Yes or no. The list of the active filters has the value, not the label of the choice."""


def all_tenants() -> forms.ModelChoiceField:
    """The filter by tenant, which only superusers have."""
    return forms.ModelChoiceField(
        Tenant.objects.none(), label=gettext_lazy("Tenant"), widget=UnfoldAdminSelectWidget
    )


class FiltersForm(forms.Form):
    """A form of filters. Each may be left empty. A form has a field `tenant`, see `all_tenants`."""

    def __init__(self, data: Any, request: HttpRequest, site: Any) -> None:
        super().__init__(data)
        fields: dict[str, Any] = self.fields
        for field in fields.values():
            field.required = False
        if request.user.is_superuser:
            fields["tenant"].queryset = Tenant.objects.all()
        else:
            del fields["tenant"]

    def chosen(self, rows: Any) -> Any:
        """Those of `rows` that match all filters of the form, which is valid."""
        raise NotImplementedError

    def of_tenant(self, rows: QuerySet) -> QuerySet:
        """Those of `rows` that belong to the chosen tenant; without one, those of all tenants,
        which superusers see."""
        tenant = self.cleaned_data.get("tenant") if self.is_valid() else None
        return rows.filter(tenant=tenant) if tenant else rows

    def problems(self) -> Iterator[str]:
        """The errors, each with the label of its field."""
        for name, sentences in self.errors.items():
            problem = " ".join(map(str, sentences))
            yield labelled(self[name].label, problem) if name in self.fields else problem

    def active(self) -> Iterator[tuple[str, list[str]]]:
        """The label with the value, and the URL parameters, of each filter that has a value. Yields
        nothing if the form is not valid."""
        if self.is_valid():
            for name, value in self.cleaned_data.items():
                if value and name in self.fields:
                    text = labelled(self[name].label, self.value_text(name, value))
                    yield text, self.parameters(name)

    def value_text(self, name: str, value: Any) -> str:
        if isinstance(self.fields[name], AnswerField):
            return answers()[value]
        return local_time(value) if isinstance(value, datetime) else str(value)

    def parameters(self, name: str) -> list[str]:
        """The URL parameters of a filter."""
        return [name]


class FormFilter(admin.ListFilter):
    """Makes all filters one form, so that one click applies several of them."""

    title = gettext_lazy("filter")
    # The theme reads this attribute of every filter since 0.92, and fails without it.
    parameter_name = "filter"
    template = "unfold/filters/filters_field.html"
    form_class: type[FiltersForm]

    def __init__(
        self, request: HttpRequest, params: dict[str, Any], model: Any, model_admin: Any
    ) -> None:
        super().__init__(request, params, model, model_admin)
        for name in self.names(params):
            if values := params.pop(name, None):
                self.used_parameters[name] = values[-1]
        self.form = self.form_class(self.used_parameters, request, model_admin.admin_site)

    def names(self, params: dict[str, Any]) -> list[str]:
        """The parameters in `params` that the form may read."""
        return [*self.form_class.base_fields]

    def expected_parameters(self) -> list[str | None]:
        return [*self.form.fields]

    def has_output(self) -> bool:
        return True

    def choices(self, changelist: Any) -> Iterator[dict[str, Any]]:
        yield {"form": self.form}

    def queryset(self, request: HttpRequest, queryset: QuerySet) -> QuerySet:
        """An invalid filter finds no row. If it were ignored, a bulk action would change contacts
        that the filter was meant to leave out."""
        if self.form.is_valid():
            return self.form.chosen(queryset)
        for sentence in self.form.problems():
            messages.error(request, sentence)
        return queryset.none()


# Pages


class PageLinks(Paginator):
    """Only names the template of the links. `KeysetList` finds the pages."""

    template_name = "admin/contacts/contact/pages.html"


class KeysetList(ChangeList):
    """Keyset pagination for Django's change list, in the order of an index. The list has one
    filter, a `FormFilter`."""

    form: FiltersForm
    first = last = ""  # the positions of the links
    edge: Position | None = None  # where `rows` stopped to search, if it did before the end
    window = 0  # rows that `scanned` reads for a page

    def __init__(self, request: HttpRequest, *args: Any, **options: Any) -> None:
        self.request = request
        self.after, self.before = request.GET.get(AFTER, ""), request.GET.get(BEFORE, "")
        super().__init__(request, *args, **options)

    def order(self, request: HttpRequest) -> Order:
        raise NotImplementedError

    def rows(self, order: Order, start: Position | None, limit: int) -> list[Any]:
        """The next `limit` rows after `start`; from the beginning if it is None."""
        raise NotImplementedError

    def scanned(
        self, rows: QuerySet, among: QuerySet, order: Order, start: Position | None, limit: int
    ) -> list[Any]:
        """Those of `rows` within the next `window` rows of `among`, see `keyset.scanned`."""
        found, self.edge = keyset.scanned(rows, among, order, start, limit, self.window)
        return found

    @property
    def is_partial(self) -> bool:
        """Whether rows after those that were read may match, although the page is not full."""
        return self.edge is not None and len(self.result_list) < self.list_per_page

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

    def get_results(self, request: HttpRequest) -> None:
        self.result_list = self.page(self.order(request))
        more = self.has_previous or self.has_next
        # Django reads these counts only to see whether there is more than this page.
        self.result_count = len(self.result_list) + more
        self.full_result_count = self.result_count
        self.show_full_result_count = self.can_show_all = self.multi_page = False
        self.show_admin_actions = bool(self.result_list)
        self.paginator = PageLinks([], self.list_per_page)

    def page(self, order: Order) -> list[Any]:
        """The rows of this page. Sets `first`, `last`, `has_previous` and `has_next` for the links.
        Returns the first page if somebody has deleted all rows after the position."""
        start = self.read(order, self.before or self.after)
        found = self.page_at(order, start)
        is_kept = found or start is None or self.may_be_empty()
        return found if is_kept else self.page_at(order, None)

    def may_be_empty(self) -> bool:
        """Whether there are pages without rows, because each searches a part of the list."""
        return False

    def page_at(self, order: Order, start: Position | None) -> list[Any]:
        is_back = bool(self.before and start)
        found = self.rows(order.reversed() if is_back else order, start, self.list_per_page + 1)
        is_full = len(found) > self.list_per_page
        found = found[: self.list_per_page]
        self.has_previous = is_full if is_back else bool(start)
        self.has_next = is_back or is_full
        shown = found[::-1] if is_back else found
        if shown:
            ends = (shown[0], shown[-1])
            self.first, self.last = (write(order.position(row)) for row in ends)
        if self.edge and not is_full:
            self.search_on(write(self.edge), is_back=is_back)
        return shown

    def search_on(self, edge: str, *, is_back: bool) -> None:
        """Has the links go on at `edge`, where the search of this page ended."""
        if is_back:
            self.first, self.has_previous = edge, True
        else:
            self.last, self.has_next = edge, True

    def read(self, order: Order, text: str) -> Position | None:
        """The position that `write` wrote. None if the text is not one: people edit URLs."""
        *value, pk = text.split("~")
        try:
            position = (*(PARSERS[order.column](part) for part in value), self.pk(pk))
        except ValueError:
            return None
        return position if len(position) == len(keyset.columns(order.column)) else None

    def pk(self, text: str) -> Any:
        """The primary key in `text`. Raises `ValueError` if there is none."""
        return parse_ulid(text)

    def active_filters(self) -> Iterator[dict[str, str]]:
        """The active filters as text, each with the URL of the list without it."""
        for text, names in self.form.active():
            yield {"text": text, "url": self.get_query_string(dict.fromkeys(names))}

    @property
    def next_url(self) -> str:
        return self.get_query_string({AFTER: self.last})

    @property
    def previous_url(self) -> str:
        return self.get_query_string({BEFORE: self.first})

    @property
    def first_url(self) -> str:
        return self.get_query_string()


def write(position: Position) -> str:
    """The position as text for a URL."""
    *value, pk = position
    return "~".join([*(url_text(part) for part in value), str(pk)])


def url_text(value: Any) -> str:
    return value.isoformat() if isinstance(value, datetime) else value or ""


PARSERS: dict[str, Callable[[str], Any]] = {
    "pk": str,
    "phone": str,
    "last_message_at": rules.timestamp,
    "at": rules.timestamp,
}
