"""The tiles of the first page: numbers of contacts, top tags, last imports, expiring tokens.

The browser loads the tiles after the page itself, so counting a million contacts does not delay the
page.
"""

import json
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, NamedTuple

from django.db.models import Count, F, QuerySet
from django.db.models.functions import TruncDate
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

DAYS = 30
TOP = 8  # tags
LAST = 5  # imports, tokens
# Ids sort by the time at which they were made. For an imported contact, this is when the file was
# read, and an import may run for hours before it writes the contact.
READ_BEFORE = timedelta(days=1)


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
        context: dict[str, Any] = {
            "contact_list": reverse("admin:contacts_contact_changelist"),
            "failed_jobs": failed.number(request),
        }
        for model, tiles in TILES.items():
            admin: Any = self.admin_site.get_model_admin(model)
            if admin.has_view_permission(request):
                rows = admin.get_queryset(request).order_by()
                context |= {name: tile(rows) for name, tile in tiles.items()}
        return TemplateResponse(request, "admin/overview.html", context)


def new(contacts: QuerySet) -> dict[str, Any]:
    """New contacts by day: the last `DAYS` days with today, in the current time zone.

    The condition on the id lets the index of the primary key find the rows.
    """
    today = timezone.localdate()
    days = [today - timedelta(days=back) for back in reversed(range(DAYS))]
    since = filters.midnight(days[0])
    latest = contacts.filter(pk__gte=first_ulid(since - READ_BEFORE), created_at__gte=since)
    counts = dict(
        latest.annotate(day=TruncDate("created_at")).values_list("day").annotate(Count("pk"))
    )
    numbers = [counts.get(day, 0) for day in days]
    return {"since": days[0], "total": sum(numbers), "days": [*zip(days, numbers, strict=True)],
            "chart": chart([f"{day:%d %b}" for day in days], numbers)}  # fmt: skip


def chart(labels: list[str], numbers: list[int]) -> str:
    """The data of a bar chart for Chart.js, with options of the theme, as JSON."""
    bars = {"data": numbers, "backgroundColor": "var(--color-primary-600)", "displayYAxis": True,
            "maxTicksXLimit": 8, "maxBarThickness": 12}  # fmt: skip
    return json.dumps({"labels": labels, "datasets": [bars]})


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


TILES: dict[Any, dict[str, Callable[[QuerySet], Any]]] = {
    Contact: {"new": new, "kinds": kinds},
    Tag: {"tags": top},
    Import: {"imports": last},
    ApiToken: {"tokens": expiring},
}
