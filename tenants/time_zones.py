"""The time zone of a user, in which the admin shows times and begins days. The API always uses UTC.

`activate_for` sets the zone at the beginning of each view of the admin; `TimeZoneMiddleware` ends
it after the answer. An empty name is the zone of the installation, `TIME_ZONE`.
"""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo, available_timezones

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.utils.translation import gettext as _

# Areas of the IANA time zone database. Its other names, such as EST or US/Pacific, are old names.
AREAS = {
    "Africa", "America", "Antarctica", "Arctic", "Asia", "Atlantic", "Australia", "Europe",
    "Indian", "Pacific",
}  # fmt: skip


@cache
def names() -> frozenset[str]:
    """The names to choose from. Cached, because Python reads a folder of files to find them."""
    places = {name for name in available_timezones() if name.partition("/")[0] in AREAS}
    return frozenset(places | {"UTC"})


def label(name: str) -> str:
    """A name with the city first, as people look for it: “Knox, Indiana (America)”."""
    area, _, place = name.replace("_", " ").partition("/")
    return f"{', '.join(reversed(place.split('/')))} ({area})" if place else area


def choices() -> list[tuple[str, str]]:
    """All choices of a form, the zone of the installation first."""
    default = _("As this installation: %(zone)s") % {"zone": label(settings.TIME_ZONE)}
    return [("", default), *sorted(((name, label(name)) for name in names()), key=lambda c: c[1])]


def validate_time_zone(name: str) -> None:
    if name not in names():
        raise ValidationError(_("Send the name of a time zone, such as Europe/Paris."))


def activate_for(user: Any) -> None:
    """Sets the zone of `user` for the times and days of the rest of the request. If the data of
    this machine are too old to have it, the zone of the installation stays."""
    if user.time_zone in names():
        timezone.activate(ZoneInfo(user.time_zone))


class TimeZoneMiddleware:
    """Ends the zone that `activate_for` sets: the next request of this thread may be of somebody
    else."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        with timezone.override(None):
            return self.get_response(request)


class Zone(NamedTuple):
    """A zone as the header of the admin shows it. `offset`: its present offset, e.g. UTC+5:30."""

    name: str
    offset: str


def current() -> Zone:
    return Zone(timezone.get_current_timezone_name(), offset_of(timezone.localtime()))


def offset_of(at: datetime) -> str:
    offset = at.utcoffset() or timedelta()
    minutes = abs(offset) // timedelta(minutes=1)
    sign = "-" if offset < timedelta() else "+"
    text = f"{sign}{minutes // 60}" + (f":{minutes % 60:02}" if minutes % 60 else "")
    return f"UTC{text}" if minutes else "UTC"
