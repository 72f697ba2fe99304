"""The filters of contacts. Each is declared once, in `FILTERS`.

The API (list-contacts, search-contacts, bulk actions, exports) and the list of the admin read that
table, so that a filter means the same everywhere. One module: a filter is an entry of the table,
its condition, and how its value is written and read.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import partial, reduce
from operator import or_
from typing import Any

from django.db.models import Q, Value
from django.db.models.functions import Substr
from django.db.models.lookups import In
from django.utils.timezone import localtime, make_aware
from django.utils.translation import gettext as _

from contacts.db import keyset
from contacts.db.expressions import HasAnyTag, IsOneOf, MetadataBetween, MetadataHas
from contacts.db.keyset import Order
from contacts.models import (
    BY_CHANGE,
    BY_MESSAGE,
    Contact,
    ContactQuerySet,
    Tag,
    are_few,
    carries,
    links_of,
    lists,
)
from contacts.values import countries, rules, strict_json
from tenants.models import Tenant

MAX_LISTED = 100  # values of a filter that takes a list
MAX_KEYS = 10  # keys of metadata
MAX_KEY = 255  # characters
EXISTS = "exists"
SCALARS = ["string", "number", "boolean", "null"]

# By consent: the person has opted in, has opted out, or has not decided.
CONSENTS = {
    "opted_in": Q(opted_in_at__isnull=False, opted_out_at=None),
    "opted_out": Q(opted_out_at__isnull=False),
    "unknown": Q(opted_in_at=None, opted_out_at=None),
}
# The admin's words for them in addresses, which people have as bookmarks.
CONSENT_WORDS = {"in": "opted_in", "out": "opted_out", "none": "unknown"}

# The values of filters by their names, checked by `check`.
Given = dict[str, Any]
Condition = Callable[[ContactQuerySet, Any], ContactQuerySet]


@dataclass(frozen=True)
class Filter:
    """One filter.

    `name`: its key in the `filter` of a request. `rule`: makes the value of what a caller has sent;
    raises `ValueError`. `schema`: what a caller may send, in JSON Schema. `condition`: which
    contacts match a value; of a filter of tags, the value is then a list of `Tag`, see `with_tags`.
    `parameters`: of the admin's URL that make this filter. `of_form`: makes the value of what the
    admin's form has under these names; `to_form` is its inverse. `column`: the filter is a range of
    this column, so a list in its order begins or ends there.
    """

    name: str
    rule: Callable[[Any], Any]
    schema: dict[str, Any]
    condition: Condition
    parameters: tuple[str, ...] = ()
    of_form: Callable[..., Any] = lambda value: value
    column: str = ""
    to_form: Callable[[Any], tuple[Any, ...]] = lambda value: (value,)


# What a caller sends


def check(raw: Any) -> Given:
    """The values of the filters in `raw`, an object of JSON; empty for None and "".

    A filter with None or "" counts as left out. Raises `ValueError`, also for an unknown name: a
    filter that is not understood must not match everybody.
    """
    if raw is None or raw in ("", []):  # PHP writes an empty object as []
        return {}
    if not isinstance(raw, dict):
        raise ValueError(_("The filter must be a JSON object."))  # noqa: TRY004
    names = [one.name for one in FILTERS]
    if unknown := sorted(raw.keys() - {*names}):
        raise ValueError(
            _("Filter by %(names)s; “%(unknown)s” is none of them.")
            % {"names": ", ".join(names), "unknown": unknown[0]}
        )
    sent = (one for one in FILTERS if raw.get(one.name) not in (None, ""))
    return {one.name: checked(one, raw[one.name]) for one in sent}


def checked(one: Filter, raw: Any) -> Any:
    try:
        return one.rule(raw)
    except ValueError as error:
        raise ValueError(f"{one.name}: {error}") from error


def in_json(given: Given) -> dict[str, Any]:
    """`given` as JSON can hold it; `check` takes it back."""
    return {
        name: value.isoformat() if isinstance(value, datetime) else value
        for name, value in given.items()
    }


def listed(rule: Callable[[Any], Any]) -> Callable[[Any], list[Any]]:
    """The rule for a list of values that `rule` checks, also as text with commas. An empty list is
    refused: it may be meant to match nobody."""

    def check_list(raw: Any) -> list[Any]:
        items = raw.split(",") if isinstance(raw, str) else raw
        if not isinstance(items, list) or not 1 <= len(items) <= MAX_LISTED:
            raise ValueError(
                _("Send a list of 1 to %(most)s values, or leave the filter out.")
                % {"most": MAX_LISTED}
            )
        return list(dict.fromkeys(map(rule, items)))

    return check_list


def source(raw: Any) -> str:
    return rules.choice(rules.string("source", raw).strip(), Contact.Source.values)


def consent(raw: Any) -> str:
    return rules.choice(rules.string("consent", raw), [*CONSENTS])


def country(raw: Any) -> str:
    code = rules.limited("country", raw, rules.MAX_NAME).upper()
    if code not in countries.numbering():
        raise ValueError(
            _("Send ISO 3166 codes such as FR; “%(code)s” is none with phones.") % {"code": code}
        )
    return code


def moment(raw: Any) -> datetime:
    if not (at := rules.timestamp(raw)):
        raise ValueError(_("Send a time in ISO 8601 with an offset."))
    return at


def metadata(raw: Any) -> dict[str, Any]:
    """For each key a list of values, or `{"exists": true}`, or `{"exists": false}`."""
    if not isinstance(raw, dict) or not 1 <= len(raw) <= MAX_KEYS:
        raise ValueError(_("Send an object with 1 to %(most)s keys.") % {"most": MAX_KEYS})
    return {metadata_key(key): wanted(raw[key]) for key in sorted(raw)}


def metadata_key(raw: str) -> str:
    """A key of metadata as it is: keys are stored with their spaces, so " plan" is not "plan"."""
    if len(raw) > MAX_KEY:
        raise rules.too_long("key", MAX_KEY, len(raw))
    return rules.storable("key", raw)


def wanted(raw: Any) -> list[Any] | dict[str, bool]:
    """What a key of metadata must have."""
    if isinstance(raw, dict):
        if [*raw] != [EXISTS] or not isinstance(raw[EXISTS], bool):
            raise ValueError(
                _('Of an object only {"exists": true} and {"exists": false} are known.')
            )
        return raw
    values = raw if isinstance(raw, list) else [raw]
    if not 1 <= len(values) <= MAX_LISTED:
        raise ValueError(_("Send 1 to %(most)s values for a key.") % {"most": MAX_LISTED})
    if any(isinstance(value, dict | list) for value in values):
        raise ValueError(_("A value must be a text, a number, true, false or null."))
    rules.check_json(values, rules.MAX_METADATA_DEPTH)
    return values


# Which contacts match


def choose(contacts: ContactQuerySet, given: Mapping[str, Any]) -> ContactQuerySet:
    """The contacts that match all filters in `given`, which `check` or `of_form` has made.

    If few contacts have the tags in `given`, they are found by their links.
    """
    few = linked_to_few(contacts, given)
    return apply(contacts if few is None else few, given, FILTERS)


def apply(
    contacts: ContactQuerySet, given: Mapping[str, Any], filters: Iterable[Filter]
) -> ContactQuerySet:
    for one in filters:
        if one.name in given:
            contacts = one.condition(contacts, given[one.name])
    return contacts


def chosen(tenant: Tenant, given: Given) -> ContactQuerySet:
    """The contacts of the tenant that match all filters in `given`."""
    return choose(tenant.contacts.all(), with_tags(tenant, given))


def page_of(
    tenant: Tenant,
    order: Order,
    after: keyset.Position | None,
    limit: int,
    given: Mapping[str, Any],
    *,
    since: datetime | None = None,
    tag: Tag | None = None,
    email: str = "",
    query: str = "",
    fields: tuple[str, ...] = (),
) -> keyset.Page:
    """The next `limit` contacts that match `given`, whose tags are `with_tags`, and the other
    conditions. `since`, `fields`: see `lists.page`; the others: see `ContactQuerySet.listed`.

    At most 20,000 contacts are read in the order of the list. If these do not fill the page, the
    database finds the matching ones among the next 150,000, and sorts their keys. The page may then
    have an edge.
    """
    if not (given or tag or email):
        rows = lists.page(tenant, order, after, limit, since=since, query=query, fields=fields)
        return keyset.Page(rows)
    contacts, region = tenant.contacts.updated_since(since), tenant.default_region
    search = partial(
        ContactQuerySet.listed,
        order=order, after=after, limit=limit, tag=tag, email=email, query=query, region=region,
    )  # fmt: skip
    if not given:
        return search(contacts)
    if order is BY_MESSAGE:
        contacts = as_old_as_tags(contacts, given)
    few = linked_to_few(contacts, given)
    among = apply(contacts, given, (one for one in FILTERS if one.column == order.column))
    found = apply(contacts if few is None else few, given, FILTERS)
    is_few = few is not None or any(
        are_few(rows.order_by(), keyset.SCAN_WINDOW) for rows in ranges_of(tenant, order, given)
    )
    return search(among, found=found, is_few=is_few)


def linked_to_few(contacts: ContactQuerySet, given: Mapping[str, Any]) -> ContactQuerySet | None:
    """The contacts with the rarest tags of `given`, found by their links; None if they may be many.
    Otherwise the database might read all contacts to find these."""
    sets = [[tag] for tag in given.get("tags_all", ())]
    for tags in [*sets, *([given["tags_any"]] if "tags_any" in given else ())]:
        links = links_of(tags)
        if are_few(links):
            return contacts.filter(IsOneOf("pk", links.values("contact")))
    return None


def ranges_of(tenant: Tenant, order: Order, given: Mapping[str, Any]) -> Iterator[ContactQuerySet]:
    """The contacts of each range of an index in which those that match `given` are, but for the
    index of the list. If few contacts are in a range, the database finds them without the list."""
    for column in {BY_CHANGE.column, BY_MESSAGE.column} - {order.column}:
        if ranges := [one for one in FILTERS if one.column == column and one.name in given]:
            yield apply(tenant.contacts.all(), given, ranges)
    if "country" in given:
        numbers = {countries.numbering()[code].code for code in given["country"]}
        # With former phones, which the index of phones has, too.
        phones = Contact.all_phones.filter(tenant=tenant)
        yield phones.filter(reduce(or_, map(in_calling_code, numbers)))


def as_old_as_tags(contacts: ContactQuerySet, given: Mapping[str, Any]) -> ContactQuerySet:
    """See `ContactQuerySet.as_old_as`. Not for a sync."""
    for tag in given.get("tags_all", ()):
        contacts = contacts.as_old_as(*stored([tag]))
    return contacts.as_old_as(*stored(given.get("tags_any", ())))


def stored(tags: Iterable[Tag]) -> list[Tag]:
    return [tag for tag in tags if not tag._state.adding]


def with_tags(tenant: Tenant, given: Given) -> Given:
    """`given` with the tags of the tenant in the place of their names. No contact has the unsaved
    tag that stands for an unknown name."""
    named = {name: given[name] for name in TAG_FILTERS if name in given}
    wanted = {name for names in named.values() for name in names}
    tags = tenant.tags.with_ends().filter(name__in=wanted) if wanted else ()
    known = {tag.name: tag for tag in tags}
    return given | {
        filter_name: [known.get(name) or Tag(tenant=tenant, name=name) for name in names]
        for filter_name, names in named.items()
    }


# Tags are read in the rows of the contacts. A look-up of the links of each contact took forty times
# as long, and without statistics PostgreSQL went through all links for each contact.


def with_any_tag(contacts: ContactQuerySet, tags: list[Tag]) -> ContactQuerySet:
    names: dict[str, list[str]] = {}
    for tag in tags:
        names.setdefault(tag.tenant_id, []).append(tag.name)
    parts = (Q(HasAnyTag(some), tenant=tenant) for tenant, some in names.items())
    return contacts.filter(reduce(or_, parts))


def with_all_tags(contacts: ContactQuerySet, tags: list[Tag]) -> ContactQuerySet:
    for tag in tags:
        contacts = contacts.filter(carries(tag.name), tenant=tag.tenant_id)
    return contacts


def without_tags(contacts: ContactQuerySet, tags: list[Tag]) -> ContactQuerySet:
    for tag in tags:
        contacts = contacts.exclude(carries(tag.name), tenant=tag.tenant_id)
    return contacts


def of_countries(contacts: ContactQuerySet, codes: list[str]) -> ContactQuerySet:
    """The contacts with a phone of one of the countries, by the rule of `values.countries`."""
    either = Q()
    for code in codes:
        either |= of_country(code)
    return contacts.filter(either)


def of_country(code: str) -> Q:
    """The condition for phones of a country. The calling code is a range of the index on phones."""
    numbers = countries.numbering()[code]
    in_range = in_calling_code(numbers.code)
    if not numbers.is_main:
        return in_range & begins_as(numbers)
    if numbers.code == countries.NORTH_AMERICA:
        shared = countries.sharing(numbers.code).values()
        areas = tuple(area for other in shared for area in other.areas)
        return in_range & ~begins_as(numbers._replace(areas=areas))
    for other in countries.sharing(numbers.code).values():
        in_range &= ~begins_as(other)
    return in_range


def in_calling_code(code: int) -> Q:
    return Q(phone__gte=f"+{code}", phone__lt=f"+{code + 1}")


def begins_as(numbers: countries.Numbers) -> Q:
    """The condition that a phone has the calling code and the next digits of `numbers`."""
    if numbers.areas:
        return Q(In(Substr("phone", len("+1") + 1, countries.AREA), numbers.areas))
    return Q(phone__regex=rf"^\+{numbers.code}(?:{numbers.leading})")


def from_sources(contacts: ContactQuerySet, sources: list[str]) -> ContactQuerySet:
    return contacts.filter(source__in=sources)


def with_consent(contacts: ContactQuerySet, consent: str) -> ContactQuerySet:
    return contacts.filter(CONSENTS[consent])


def with_email(contacts: ContactQuerySet, has_one: bool) -> ContactQuerySet:
    return contacts.exclude(email="") if has_one else contacts.filter(email="")


def never_messaged(contacts: ContactQuerySet, never: bool) -> ContactQuerySet:
    return contacts.filter(last_message_at__isnull=never)


def compared(column: str, than: str) -> Condition:
    """A filter: the time in `column` compares with the given one as the look-up `than` says."""
    return lambda contacts, at: contacts.filter(**{f"{column}__{than}": at})


def with_metadata(contacts: ContactQuerySet, wanted: dict[str, Any]) -> ContactQuerySet:
    """The contacts that have these keys in their metadata, not inside another key; see `wanted`."""
    for key, values in wanted.items():
        if isinstance(values, dict):
            has = MetadataHas("metadata", Value(key))
            contacts = contacts.filter(has) if values[EXISTS] else contacts.exclude(has)
        else:
            spelled = (Value(rules.spelled_alike(value)) for value in values)
            contacts = contacts.filter(MetadataHas("metadata", Value(key), *spelled))
    return contacts


def with_metadata_between(
    contacts: ContactQuerySet, key: str, low: Any, high: Any
) -> ContactQuerySet:
    """The contacts with a number or a day from `low` to `high` in a key of their metadata; see
    `MetadataBetween`."""
    return contacts.filter(MetadataBetween(key, low, high))


# What the admin's form has


def of_form(cleaned: Mapping[str, Any]) -> Given:
    """The values of the filters, of the `cleaned` values of the admin's form. Tags are tags."""
    given = {}
    for one in FILTERS:
        values = [cleaned.get(name) for name in one.parameters]
        if values and values[0]:
            given[one.name] = one.of_form(*values)
    return given


def with_names(given: Given) -> Given:
    """`given` with the names of its tags in the place of the tags, as a caller would send them; the
    inverse of `with_tags`."""
    return given | {
        name: [tag.name for tag in given[name]] for name in TAG_FILTERS if name in given
    }


def to_form(given: Given) -> dict[str, str]:
    """The parameters of the admin's list that choose the same contacts; tags are names in `given`.
    Raises `ValueError` for a filter that the form of the list does not have."""
    found: dict[str, str] = {}
    for one in FILTERS:
        if one.name in given:
            values = one.to_form(given[one.name])
            is_shown = 0 < len(values) == len(one.parameters)
            if not is_shown or one.of_form(*values) != given[one.name]:
                raise ValueError(
                    _("The list cannot show the filter %(name)s of this view.") % {"name": one.name}
                )
            found |= dict(zip(one.parameters, map(str, values), strict=True))
    return {name: value for name, value in found.items() if value}


def midnight(day: date) -> datetime:
    return make_aware(datetime.combine(day, time.min))


def end_of(day: date) -> datetime:
    return midnight(day + timedelta(days=1))


def since_day(given: date) -> datetime:
    """The beginning of a day; a time stays as it is."""
    return given if isinstance(given, datetime) else midnight(given)


def before_day(given: date) -> datetime:
    """The end of a day; a time stays as it is."""
    return given if isinstance(given, datetime) else end_of(given)


def day_since(at: datetime) -> tuple[date]:
    """The inverse of `since_day`: a time that is no midnight here is one in another time zone."""
    day = localtime(at).date()
    return (day if midnight(day) == at else at,)


def day_before(at: datetime) -> tuple[date]:
    """The inverse of `before_day`."""
    day = localtime(at).date() - timedelta(days=1)
    return (day if end_of(day) == at else at,)


def as_list(value: Any) -> list[Any]:
    return [value]


def of_metadata_form(key: str, text: str) -> dict[str, Any]:
    """`text`: the value, or the JSON value that is written like it; any value if it is empty."""
    return {key: [*read_as(text)] or {EXISTS: True}}


def to_metadata_form(wanted: dict[str, Any]) -> tuple[str, str]:
    (key, values), *_ = wanted.items()
    return key, str(values[0]) if isinstance(values, list) else ""


def word_of(consent: str) -> tuple[str]:
    [word] = (word for word, meaning in CONSENT_WORDS.items() if meaning == consent)
    return (word,)


def read_as(text: str) -> Iterator[Any]:
    """The values that a person may mean by `text`: 5 can be the number 5 or the text "5"."""
    if text:
        yield text
        with suppress(strict_json.MalformedJSON):
            yield strict_json.loads(text)


# The table

MOMENT = {"type": "string", "format": "date-time"}
TEXT = {"type": "string"}


def many(of: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "type": "array",
        "items": of,
        "minItems": 1,
        "maxItems": MAX_LISTED,
        "description": description,
    }


def since(name: str, column: str, parameters: tuple[str, ...] = ()) -> Filter:
    schema = MOMENT | {"description": "At this time or later."}
    condition = compared(column, "gte")
    return Filter(name, moment, schema, condition, parameters, since_day, column, day_since)


def before(name: str, column: str, parameters: tuple[str, ...] = ()) -> Filter:
    schema = MOMENT | {"description": "Before this time."}
    condition = compared(column, "lt")
    return Filter(name, moment, schema, condition, parameters, before_day, column, day_before)


FILTERS: tuple[Filter, ...] = (
    Filter(
        "tags_any", listed(rules.required_tag),
        many(TEXT, "The contact has one of these tags, or several."),
        with_any_tag,
    ),
    Filter(
        "tags_all", listed(rules.required_tag), many(TEXT, "The contact has all these tags."),
        with_all_tags, ("tag",), as_list, to_form=tuple,
    ),
    Filter(
        "tags_none", listed(rules.required_tag), many(TEXT, "The contact has none of these tags."),
        without_tags, ("without",), as_list, to_form=tuple,
    ),
    Filter(
        "consent", consent,
        {"type": "string", "enum": [*CONSENTS], "description": "`unknown`: no decision is known."},
        with_consent, ("consent",), CONSENT_WORDS.__getitem__, to_form=word_of,
    ),
    Filter(
        "source", listed(source), many({"type": "string", "enum": Contact.Source.values},
        "Where the contact came from: one of these."),
        from_sources, ("source",), as_list, to_form=tuple,
    ),
    Filter(
        "country", listed(country),
        many({"type": "string", "pattern": "^[A-Za-z]{2}$"},
        "The country of the phone: one of these ISO 3166 codes."),
        of_countries, ("country",), as_list, to_form=tuple,
    ),
    Filter(
        "has_email", rules.flag, {"type": "boolean"}, with_email, ("has_email",), "yes".__eq__,
        to_form=lambda has_one: ("yes" if has_one else "no",),
    ),
    since("created_since", "created_at", ("created_from",)),
    before("created_before", "created_at", ("created_to",)),
    since("updated_since", "updated_at", ("updated_from",)),
    before("updated_before", "updated_at", ("updated_to",)),
    since("last_message_since", "last_message_at"),
    before("last_message_before", "last_message_at"),
    Filter(
        "never_messaged", rules.flag,
        {"type": "boolean", "description": "Whether the contact has no `last_message_at`."},
        never_messaged, column="last_message_at",
    ),
    Filter(
        "metadata", metadata,
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": MAX_KEYS,
            "additionalProperties": {
                "type": [*SCALARS, "array", "object"],
                "items": {"type": SCALARS},
            },
            "description": "For a key at the top level: its value, a list of values of which it"
            ' has one, or `{"exists": true}`, or `{"exists": false}`. The text "5" and the number 5'
            " differ.",
        },
        with_metadata, ("metadata_key", "metadata_value"), of_metadata_form,
        to_form=to_metadata_form,
    ),
)  # fmt: skip
TAG_FILTERS = ("tags_any", "tags_all", "tags_none")
# The filter object, in JSON Schema.
SCHEMA: dict[str, Any] = {
    "type": "object",
    "description": "Which contacts: all conditions hold. An unknown key is an error.",
    "properties": {one.name: one.schema for one in FILTERS},
    "additionalProperties": False,
}
