"""The tiles of the first page: growth, numbers of contacts, tags, imports, expiring tokens.

The browser loads the tiles after the page itself, so counting a million contacts does not delay the
page.
"""

import json
from collections.abc import Callable, Iterable
from datetime import date, datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

from django.db.models import Case, Count, F, Q, QuerySet, Value, When
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone

from contacts.finding import filters
from contacts.models import Contact, ContactTag, Import, Tag
from tenants.admin import TenantOwnedAdmin
from tenants.admin.tokens import STATES
from tenants.fields import first_ulid
from tenants.models import ApiToken

from . import failed
from .contact_filters import CONSENTS

TOP = 8  # tags
LAST = 5  # imports, tokens
# Ids sort by the time at which they were made. For an imported contact, this is when the file was
# read, and an import may run for hours before it writes the contact.
READ_BEFORE = timedelta(days=1)


def days(number: int, today: date) -> list[date]:
    """The last days, the last of which is `today`."""
    return [today - timedelta(days=back) for back in reversed(range(number))]


def months(number: int, today: date) -> list[date]:
    """The first days of the last months, the last of which is the month of `today`."""
    count = today.year * 12 + today.month - 1
    return [date(n // 12, n % 12 + 1, 1) for n in range(count - number + 1, count + 1)]


class Period(NamedTuple):
    """A period that ends today. `starts`: the first day of each bar of the chart."""

    name: str
    starts: Callable[[date], list[date]]
    label: str = "%m-%d"


PERIODS = {
    "7": Period("7 days", partial(days, 7)),
    "30": Period("30 days", partial(days, 30)),
    "90": Period("90 days", partial(days, 90)),
    "12m": Period("12 months", partial(months, 12), "%Y-%m"),
}
USUAL_PERIOD = "30"


class Bar(NamedTuple):
    """A bar of a tile. `percent`: its length, as a share of the largest number. `query`: the
    filters that find these contacts in the list."""

    label: str
    number: int
    percent: int
    query: str


class OverviewAdmin(TenantOwnedAdmin):
    """Adds the view of the tiles. `templates/admin/index.html` loads it."""

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view(self.overview_view)
        return [path("overview/", view, name="contacts_contact_overview"), *super().get_urls()]

    def overview_view(self, request: HttpRequest) -> HttpResponse:
        """The tiles that the user may see."""
        key = request.GET.get("period", "")
        key = key if key in PERIODS else USUAL_PERIOD
        context: dict[str, Any] = {
            "contact_list": reverse("admin:contacts_contact_changelist"),
            "period": key,
            "periods": PERIODS,
            "failed_jobs": failed.number(request),
        }
        for model, tiles in tiles_of(PERIODS[key]).items():
            admin: Any = self.admin_site.get_model_admin(model)
            if admin.has_view_permission(request):
                rows = admin.get_queryset(request).order_by()
                context |= {name: tile(rows) for name, tile in tiles.items()}
        return TemplateResponse(request, "admin/overview.html", context)


class Growth(NamedTuple):
    """Numbers of new contacts: in a period, and in the period of the same length before."""

    number: int
    before: int

    @property
    def percent(self) -> str:
        """The difference, such as +12%; empty if there was nothing before."""
        change = round(100 * (self.number - self.before) / self.before) if self.before else None
        return "" if change is None else f"{change:+}%"


def new(period: Period, contacts: QuerySet) -> dict[str, Any]:
    """New contacts by day or month in the current time zone, imported contacts apart from others.

    One pass over the contacts of two periods. The condition on the id lets the index of the primary
    key find the rows.
    """
    today = timezone.localdate()
    starts = period.starts(today)
    length = today + timedelta(days=1) - starts[0]
    bounds = [filters.midnight(day) for day in (starts[0] - length, *starts)]
    latest = contacts.filter(
        pk__gte=first_ulid(bounds[0] - READ_BEFORE), created_at__gte=bounds[0]
    ).annotate(part=part_of(bounds, 0, len(bounds)))
    from_file = Q(source=Contact.Source.CSV_IMPORT)
    counted = latest.values_list("part").annotate(
        n=Count("pk"), files=Count("pk", filter=from_file)
    )
    found = {part: (number - from_files, from_files) for part, number, from_files in counted}
    before, *parts = [found.get(part, (0, 0)) for part in range(len(bounds))]
    others, from_files = ([*numbers] for numbers in zip(*parts, strict=True))
    labels = [f"{day:{period.label}}" for day in starts]
    return {
        "since": starts[0],
        "period": period.name,
        "total": Growth(sum(others) + sum(from_files), sum(before)),
        "others": Growth(sum(others), before[0]),
        "imported": Growth(sum(from_files), before[1]),
        "parts": [*zip(labels, others, from_files, strict=True)],
        "chart": chart(labels, others, from_files),
    }


def part_of(bounds: list[datetime], first: int, end: int) -> Value | Case:
    """The number of the part of time in which a contact was added, of the parts `first` to
    `end - 1`; `bounds[n]` is where part n begins.

    Each contact needs seven comparisons for 91 parts. `TruncDate` would call Python for each
    contact on SQLite.
    """
    if end - first == 1:
        return Value(first)
    middle = (first + end) // 2
    earlier = When(created_at__lt=bounds[middle], then=part_of(bounds, first, middle))
    return Case(earlier, default=part_of(bounds, middle, end))


def chart(labels: list[str], others: list[int], imported: list[int]) -> str:
    """The data of a stacked bar chart for Chart.js, with options of the theme, as JSON."""
    colours = {"--color-primary-600": others, "--color-base-400": imported}
    bars = [
        {"data": numbers, "backgroundColor": f"var({colour})", "stack": "new",
         "displayYAxis": True, "maxTicksXLimit": 8, "maxBarThickness": 12}
        for colour, numbers in colours.items()
    ]  # fmt: skip
    return json.dumps({"labels": labels, "datasets": bars})


def kinds(contacts: QuerySet) -> dict[str, Any]:
    """The numbers of contacts by source and by consent, from one query."""
    each = {name: Count("pk", filter=meaning) for name, meaning in filters.CONSENTS.items()}
    found = [*contacts.values("source").annotate(number=Count("pk"), **each)]
    # A newer version of the program may have stored a source that this version does not know.
    labels = {source.value: source.label for source in Contact.Source}
    sources = ((row["source"], row["number"]) for row in found)
    return {
        "total": sum(row["number"] for row in found),
        "sources": bars(
            (labels.get(source, source), number, f"source={source}") for source, number in sources
        ),
        "consents": bars(
            (label, sum(row[filters.CONSENT_WORDS[word]] for row in found), f"consent={word}")
            for word, label in CONSENTS
        ),
    }


def top(tags: QuerySet) -> list[Bar]:
    """The tags with the most contacts."""
    links = ContactTag.objects.filter(tag__tenant=F("tenant"), tag__in=tags.values("pk")).order_by()
    counts = dict(links.values_list("tag").annotate(n=Count("contact")).order_by("-n", "tag")[:TOP])
    names = dict(tags.filter(pk__in=counts).values_list("pk", "name"))
    return bars((names[pk], number, f"tag={pk}") for pk, number in counts.items() if pk in names)


def bars(counted: Iterable[tuple[str, int, str]]) -> list[Bar]:
    """Bars from labels, numbers and queries, the largest number first."""
    ordered = sorted(counted, key=lambda bar: -bar[1])
    most = max((number for _, number, _ in ordered), default=0) or 1
    return [Bar(label, n, 100 * n // most, query) for label, n, query in ordered]


def last(imports: QuerySet) -> QuerySet:
    return imports.order_by("-pk")[:LAST]


def expiring(tokens: QuerySet) -> QuerySet:
    return tokens.filter(STATES["expiring"]()).select_related("user").order_by("expires_at")[:LAST]


def tiles_of(period: Period) -> dict[Any, dict[str, Callable[[QuerySet], Any]]]:
    """For each model, its tiles by name, each with the function that computes it from the rows."""
    return {
        Contact: {"new": partial(new, period), "kinds": kinds},
        Tag: {"tags": top},
        Import: {"imports": last},
        ApiToken: {"tokens": expiring},
    }
