"""The tiles of the first page: growth, numbers of contacts, tags, imports, expiring tokens.

The browser loads the tiles after the page itself, so counting a million contacts does not delay the
page.
"""

import json
from collections.abc import Callable, Iterable, Sequence
from datetime import date, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple

from django.db.models import Count, F, QuerySet
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext_noop

from contacts.finding import filters
from contacts.jobs.contact_counting import MAX_TENANTS, Counts, between, counts_of
from contacts.models import Contact, ContactTag, Import, Tag, tag_counts
from tenants.admin import TenantOwnedAdmin, user_of
from tenants.admin.tokens import STATES
from tenants.models import ApiToken, Tenant

from . import failed
from .contact_filters import CONSENTS

TOP = 8  # tags
LAST = 5  # imports, tokens


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
    "7": Period(gettext_noop("7 days"), partial(days, 7)),
    "30": Period(gettext_noop("30 days"), partial(days, 30)),
    "90": Period(gettext_noop("90 days"), partial(days, 90)),
    "12m": Period(gettext_noop("12 months"), partial(months, 12), "%Y-%m"),
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
        for model, tiles in TILES.items():
            admin: Any = self.admin_site.get_model_admin(model)
            if admin.has_view_permission(request):
                rows = admin.get_queryset(request).order_by()
                context |= tiles(request, rows, PERIODS[key])
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


def new(period: Period, counts: Counts) -> dict[str, Any]:
    """New contacts by day or month in the current time zone, imported contacts apart from others,
    beside the numbers of the period of the same length before."""
    today = timezone.localdate()
    end = today + timedelta(days=1)
    starts = period.starts(today)
    before = starts[0] - (end - starts[0])
    labels = [f"{day:{period.label}}" for day in starts]
    others, imported = (
        [between(by_day, *bounds) for bounds in pairwise([before, *starts, end])]
        for by_day in (counts.others, counts.imported)
    )
    every = [sum(both) for both in zip(others, imported, strict=True)]
    return {
        "since": starts[0],
        "total": growth(every),
        "others": growth(others),
        "imported": growth(imported),
        "parts": [*zip(labels, others[1:], imported[1:], strict=True)],
        "chart": chart(labels, others[1:], imported[1:]),
    }


def growth(numbers: list[int]) -> Growth:
    """`numbers`: of the period before, then of each part of the period."""
    return Growth(sum(numbers[1:]), numbers[0])


def chart(labels: list[str], others: list[int], imported: list[int]) -> str:
    """The data of a stacked bar chart for Chart.js, with options of the theme, as JSON."""
    colours = {"--color-primary-600": others, "--color-base-400": imported}
    bars = [
        {"data": numbers, "backgroundColor": f"var({colour})", "stack": "new",
         "displayYAxis": True, "maxTicksXLimit": 8, "maxBarThickness": 12}
        for colour, numbers in colours.items()
    ]  # fmt: skip
    return json.dumps({"labels": labels, "datasets": bars})


def kinds(counts: Counts) -> dict[str, Any]:
    """The numbers of contacts by source and by consent."""
    # A newer version of the program may have stored a source that this version does not know.
    labels = {source.value: str(source.label) for source in Contact.Source}
    return {
        "total": counts.total,
        "sources": bars(
            (labels.get(source, source), number, f"source={source}")
            for source, number in counts.sources.items()
        ),
        "consents": bars(
            (label, counts.consents[filters.CONSENT_WORDS[word]], f"consent={word}")
            for word, label in CONSENTS
        ),
    }


def top(tenants: Sequence[str], tags: QuerySet) -> list[Bar]:
    """The tags with the most contacts. `tags`: all of `tenants`."""
    counts = dict[str, int]()
    if len(tenants) > MAX_TENANTS:
        counts = by_links(ContactTag.objects.filter(tag__tenant=F("tenant")))
    else:
        for tenant in tenants:
            counts |= numbers_of_tags(tenant, tags)
    names = dict(tags.filter(pk__in=counts).values_list("pk", "name"))
    return bars((names[pk], number, f"tag={pk}") for pk, number in counts.items() if pk in names)[
        :TOP
    ]


def numbers_of_tags(tenant: str, tags: QuerySet) -> dict[str, int]:
    """How many contacts the first tags of a tenant have, by the id of the tag: as stored for
    list-tags, unless there are too many tags."""
    counts = tag_counts.of_tenant(tenant, may_count=True)
    if counts is None:
        return by_links(ContactTag.objects.filter(tenant=tenant))
    most = dict(counts.most_common(TOP))
    named = tags.filter(tenant=tenant, name__in=most).values_list("pk", "name")
    return {pk: most[name] for pk, name in named}


def by_links(links: QuerySet) -> dict[str, int]:
    counted = links.order_by().values_list("tag").annotate(n=Count("contact"))
    return dict(counted.order_by("-n", "tag")[:TOP])


def bars(counted: Iterable[tuple[str, int, str]]) -> list[Bar]:
    """Bars from labels, numbers and queries, the largest number first."""
    ordered = sorted(counted, key=lambda bar: -bar[1])
    most = max((number for _label, number, _query in ordered), default=0) or 1
    return [Bar(label, n, 100 * n // most, query) for label, n, query in ordered]


def last(imports: QuerySet) -> QuerySet:
    return imports.order_by("-pk")[:LAST]


def expiring(tokens: QuerySet) -> QuerySet:
    return tokens.filter(STATES["expiring"]()).select_related("user").order_by("expires_at")[:LAST]


# Tiles, by the model: a user sees a tile who may see the rows of the model


def tenants_of(request: HttpRequest) -> list[str]:
    """The tenants that the user sees; of superusers, at most one more than can be counted each."""
    user = user_of(request)
    if user.is_superuser:
        return [*Tenant.objects.order_by().values_list("pk", flat=True)[: MAX_TENANTS + 1]]
    return [user.tenant_id] if user.tenant_id else []


def of_contacts(request: HttpRequest, contacts: QuerySet, period: Period) -> dict[str, Any]:
    tenants = tenants_of(request)
    shown = counts_of(tenants, contacts)
    return {
        "new": new(period, shown.counts),
        "kinds": kinds(shown.counts),
        "counted_at": shown.counts.counted_at,
        "was_slow": shown.was_slow,
        "most_tenants": MAX_TENANTS if len(tenants) > MAX_TENANTS else None,
    }


TILES: dict[Any, Callable[[HttpRequest, QuerySet, Period], dict[str, Any]]] = {
    Contact: of_contacts,
    Tag: lambda request, tags, period: {"tags": top(tenants_of(request), tags)},
    Import: lambda request, imports, period: {"imports": last(imports)},
    ApiToken: lambda request, tokens, period: {"tokens": expiring(tokens)},
}
