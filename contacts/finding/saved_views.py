"""How many contacts each saved view finds, without making a page slow.

The menu of the admin shows the number beside each view. Of a tenant with few contacts, each view is
counted when the menu is shown. Otherwise a view of one tag has the stored count of the tag, and a
worker counts the others from time to time (`contacts.jobs.view_counting`): counting a million
contacts takes up to seconds, and an estimate from some contacts is far off for a rare value.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from typing import NamedTuple

from django.utils import timezone

from contacts.models import SavedView, tag_counts
from contacts.values.translation import gettext as _
from contacts.values.translation import grouped
from tenants.models import Tenant

from . import filters

# Contacts that are read for all views together: with 20 views, this takes less than 50 ms.
MAX_READ = 8_000
MAX_VIEWS = 10  # of one user, and as many that users of the tenant have shared


class Count(NamedTuple):
    """The number of contacts of a view. It is not exact if a worker has counted it before."""

    number: int
    is_exact: bool

    def __str__(self) -> str:
        if self.is_exact:
            return grouped(self.number)
        return _("about %(number)s") % {"number": grouped(rounded(self.number))}


def rounded(number: int) -> int:
    """`number` with its first two digits: 2,837 is about 2,800."""
    return round(number, min(0, 2 - len(str(number))))


def counts(tenant: Tenant, views: Sequence[SavedView]) -> dict[str, Count]:
    """The counts of `views`, all of this tenant, by their ids; without views that cannot be counted
    now, because no worker has counted them yet."""
    most = MAX_READ // len(views)
    is_small = tenant.contacts.order_by()[: most + 1].count() <= most
    numbers = None if is_small else tag_counts.of_tenant(tenant.pk, may_count=False)
    found = ((view.pk, count(tenant, view, numbers, is_small=is_small)) for view in views)
    return {pk: counted for pk, counted in found if counted}


def count(
    tenant: Tenant, view: SavedView, numbers: Counter[str] | None, *, is_small: bool
) -> Count | None:
    """`numbers`: of contacts by tag, if they are stored. `is_small`: whether the tenant has so few
    contacts that they can be counted at once."""
    match view.filter:
        case {"tags_all": [name], **others} if numbers is not None and not others:
            return Count(numbers[name], is_exact=True)
    number = number_of(tenant, view) if is_small else view.counted
    return None if number is None else Count(number, is_exact=is_small)


def number_of(tenant: Tenant, view: SavedView) -> int | None:
    """None if the filter is of another version of the program."""
    try:
        given = filters.check(view.filter)
    except ValueError:
        return None
    return filters.chosen(tenant, given).order_by().count()


def replace_tags(tenant_id: str, old: Collection[str], new: str) -> None:
    """Has the views of the tenant that name one of the tags `old` name `new` instead. For whoever
    renames or merges the tags, in the same transaction."""
    for view in SavedView.objects.filter(tenant=tenant_id).order_by("pk").select_for_update():
        given = view.filter
        named = [name for name in filters.TAG_FILTERS if {*given.get(name, ())} & {*old}]
        for name in named:
            exchanged = (new if tag in old else tag for tag in given[name])
            given[name] = [*dict.fromkeys(exchanged)]
        if named:
            view.save(update_fields=["filter"])


def store_count(view: SavedView) -> None:
    """Counts the contacts of the view, for menus that are shown later."""
    view.counted, view.counted_at = number_of(view.tenant, view), timezone.now()
    view.save(update_fields=["counted", "counted_at"])
