"""Entries of the change log as text for people: what changed, who changed it, and when.

The history of a contact, its consent, the merge preview and the list of bulk actions use it.
"""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from heapq import nlargest
from itertools import islice
from operator import attrgetter
from typing import Any, NamedTuple

from django.contrib.humanize.templatetags.humanize import intcomma
from django.db.models import Q
from django.urls import reverse
from django.utils.formats import localize
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString
from django.utils.timezone import localtime
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from contacts import schema
from contacts.change_log.cause import actor_of_user
from contacts.change_log.difference import (
    CONSENT,
    FORMER_PHONES,
    LOGGED_FIELDS,
    MOMENTS,
    Fields,
)
from contacts.models import EARLIER_OPT_OUT, Change, Contact, Import
from contacts.values import rules
from tenants.fields import number_of, parse_ulid
from tenants.models import ApiToken, Tenant, User

PAGE_SIZE = 50  # changes
MAX_CHARACTERS = 500  # of a value; a stored value may have 65,536
MAX_LINES = 100  # of a change; it may contain thousands of metadata keys
NOTHING = "-"
ARROW = " → "  # between an old and a new value


def local_time(at: datetime) -> str:
    """As everywhere in the admin, see `qyvo/formats/en/formats.py`."""
    return str(localize(localtime(at)))


# Who


class Who(NamedTuple):
    """An actor as text. `url`: the actor's page in the admin; empty if there is none."""

    text: str
    url: str = ""

    @property
    def html(self) -> str:
        return format_html('<a href="{}">{}</a>', self.url, self.text) if self.url else self.text


class Actors:
    """Names for the actors of changes of `tenants`. Looks all of them up with three statements,
    instead of one statement for each row of a page."""

    def __init__(self, actors: Iterable[str], tenants: Sequence[Tenant | str]) -> None:
        self.named: dict[str, set[str]] = {}
        for actor in actors:
            kind, _, name = actor.partition(":")
            self.named.setdefault(kind, set()).add(name)
        self.known = self.users(tenants) | self.tokens(tenants) | self.imports(tenants)

    def who(self, actor: str) -> Who:
        return self.known.get(actor) or Who(actor or NOTHING)

    def users(self, tenants: Sequence[Tenant | str]) -> dict[str, Who]:
        """Users of the tenants, and superusers, who may change every tenant."""
        named = map(number_of, self.named.get("user", ()))
        ids = [pk for pk in named if pk is not None]
        found = User.objects.filter(Q(tenant__in=tenants) | Q(is_superuser=True), pk__in=ids)
        return {actor_of_user(pk): Who(email) for pk, email in found.values_list("pk", "email")}

    def tokens(self, tenants: Sequence[Tenant | str]) -> dict[str, Who]:
        found = ApiToken.objects.filter(user__tenant__in=tenants)
        found = found.filter(prefix__in=self.named.get("token", ()))
        return {token.actor: Who(f"{token.actor} ({token.name})") for token in found}

    def imports(self, tenants: Sequence[Tenant | str]) -> dict[str, Who]:
        ids = set()
        for name in self.named.get("import", ()):
            with suppress(ValueError):
                ids.add(parse_ulid(name))
        found = Import.objects.filter(tenant__in=tenants, pk__in=ids)
        return {
            f"import:{pk}": Who(
                _("import of %(file)s") % {"file": name},
                reverse("admin:contacts_import_change", args=[pk]),
            )
            for pk, name in found.values_list("pk", "file_name")
        }


# What

# What pages of history, undo and imports show beside the fields of a contact, in words.
OTHER_FIELDS = {
    "former_phones": gettext_noop("former phones"),
    "first_name": gettext_noop("first name"),
    "middle_name": gettext_noop("middle name"),
    "last_name": gettext_noop("last name"),
    "consent": gettext_noop("consent"),
}
LABELS = {field.name: field.label for field in schema.FIELDS}
TAG_CHANGES = {"removed": gettext_noop("tags removed"), "added": gettext_noop("tags added")}
FORMER_PHONE_CHANGES = {
    "removed": gettext_noop("former phones removed"),
    "added": gettext_noop("former phones added"),
}
# The details of a recorded decision: where it was made, and what proves it.
DETAILS = {"source": gettext_noop("source"), "proof": gettext_noop("proof")}


def field_in_words(name: str) -> str:
    """A field of a contact, or one of `OTHER_FIELDS`, in the language of the user. Keys of
    metadata, such as `metadata.city`, are the same in each language."""
    if name in LABELS:
        return str(LABELS[name])
    return _(OTHER_FIELDS[name]) if name in OTHER_FIELDS else name


class Line(NamedTuple):
    """One line of a change: the name of a field, and what happened to it."""

    what: str
    text: str

    @property
    def html(self) -> SafeString:
        """Each value stands apart from its surroundings: between two Arabic values, a browser would
        otherwise show the new one first, and the arrow would point to the old one."""
        values = format_html_join(ARROW, "<bdi>{}</bdi>", ([v] for v in self.text.split(ARROW)))
        return format_html(_("<bdi>{what}:</bdi> {values}"), what=self.what, values=values)


class ChangeText(NamedTuple):
    """A change as text. `omitted`: the number of lines above `MAX_LINES`, which are not shown."""

    change: Change
    at: str
    lines: list[Line]
    omitted: int
    who: Who


def changes_of(contact: Contact, before: int | None) -> list[ChangeText]:
    """The newest changes of the contact, and merges into it, newest first. `before`: only changes
    with a lower id.

    Returns one change more than `PAGE_SIZE` if there is another page.
    """
    log = Change.objects.filter(tenant=contact.tenant_id).order_by("-pk")
    log = log if before is None else log.filter(pk__lt=before)
    # Two statements: with OR, a planner may read the whole log.
    own, merges = (log.filter(contact_id=contact.pk), log.filter(into=contact.pk))
    found = [*own[: PAGE_SIZE + 1], *merges[: PAGE_SIZE + 1]]
    changes = nlargest(PAGE_SIZE + 1, found, key=attrgetter("pk"))
    actors = Actors((change.actor for change in changes), [contact.tenant_id])
    return [text_of(change, actors, contact.pk) for change in changes]


def text_of(change: Change, actors: Actors, contact_id: str) -> ChangeText:
    """`contact_id`: of the contact with this history. For a contact that was merged
    into it, the text says who that was."""
    lines = lines_of(change) if change.contact_id == contact_id else merged_lines(change)
    shown = list(islice(lines, MAX_LINES))
    omitted = sum(1 for _ in lines)
    return ChangeText(change, local_time(change.at), shown, omitted, actors.who(change.actor))


def merged_lines(merge: Change) -> Iterator[Line]:
    """What the history of the contact that stayed says about a contact that was merged into it."""
    gone = Contact.ended(merge)
    held = filter(None, [gone.name, gone.phone, gone.email])
    yield Line(_("merged into this contact"), " · ".join(held) or merge.contact_id)


def lines_of(change: Change) -> Iterator[Line]:
    # In a fixed order: databases return the keys of JSON in different orders.
    decided = change.fields.get("consent") or {}
    for name in (*LOGGED_FIELDS, FORMER_PHONES, "consent"):
        logged = change.fields.get(name)
        if logged and not (name in CONSENT and says_decided(logged, decided)):
            yield from LINES.get(name, value_lines)(name, logged)
    if change.into:
        yield Line(_("merged into"), change.into)


def says_decided(sides: Fields, decided: Fields) -> bool:
    """Whether a time of consent only repeats the time of the decision, which has its own line."""
    return "at" in decided and sides == {"old": None, "new": decided["at"]}


def value_lines(name: str, sides: Fields) -> Iterator[Line]:
    old, new = (value_text(name, sides.get(side)) for side in ("old", "new"))
    yield Line(field_in_words(name), f"{old}{ARROW}{new}")


def tag_lines(name: str, logged: Fields) -> Iterator[Line]:
    for side, what in TAG_CHANGES.items():
        if names := logged.get(side):
            yield Line(_(what), ", ".join(names))
    if order := logged.get("order"):
        yield Line(_("order of tags"), ARROW.join(map(", ".join, (order["old"], order["new"]))))


def former_phone_lines(name: str, logged: Fields) -> Iterator[Line]:
    for side, what in FORMER_PHONE_CHANGES.items():
        if logged[side]:
            yield Line(_(what), ", ".join(logged[side]))


def metadata_lines(name: str, logged: Fields) -> Iterator[Line]:
    """Values as JSON, so that "" and null differ from a missing key."""
    for key, sides in sorted(logged.items()):
        old, new = (
            shortened(rules.spelled(sides[side])) if side in sides else NOTHING
            for side in ("old", "new")
        )
        yield Line(f"{field_in_words(name)}.{shortened(key)}", f"{old}{ARROW}{new}")


def consent_lines(name: str, logged: Fields) -> Iterator[Line]:
    yield Line(_("decided"), local_time(datetime.fromisoformat(logged["at"])))
    for part, what in DETAILS.items():
        if logged[part]:
            yield Line(_(what), detail(logged[part]))


def detail(text: str) -> str:
    """The source or the proof of a decision, for people. Texts that somebody has sent stay as they
    are; the source that this program writes is in the language of the user."""
    return _(EARLIER_OPT_OUT) if text == EARLIER_OPT_OUT else text


LINES = {
    "tags": tag_lines,
    "metadata": metadata_lines,
    FORMER_PHONES: former_phone_lines,
    "consent": consent_lines,
}


def value_text(name: str, value: Any) -> str:
    if value is None:
        return NOTHING
    if name in MOMENTS:
        return local_time(datetime.fromisoformat(value))
    return shortened(value if isinstance(value, str) else rules.spelled(value))


def shortened(text: str) -> str:
    """`text`, cut at `MAX_CHARACTERS`: a page of uncut values could have megabytes."""
    if len(text) <= MAX_CHARACTERS:
        return text
    cut = {"beginning": text[:MAX_CHARACTERS], "number": intcomma(len(text))}
    return _("%(beginning)s… (%(number)s characters)") % cut


# Consent

STATUS = {
    Change.Kind.OPTED_IN: gettext_noop("opted in"),
    Change.Kind.OPTED_OUT: gettext_noop("opted out"),
}


class Sentences(NamedTuple):
    """What the pages say about a decision: by the details that the log has."""

    plain: str
    with_details: str
    not_logged: str


DECISIONS = {
    "opted_in_at": Sentences(
        gettext_noop("May be contacted: opted in on %(at)s."),
        gettext_noop("May be contacted: opted in on %(at)s, %(details)s."),
        gettext_noop("May be contacted: opted in on %(at)s (no details in the history)."),
    ),
    "opted_out_at": Sentences(
        gettext_noop("Do not contact: opted out on %(at)s."),
        gettext_noop("Do not contact: opted out on %(at)s, %(details)s."),
        gettext_noop("Do not contact: opted out on %(at)s (no details in the history)."),
    ),
}
# Details of a decision inside its sentence.
QUOTED = {
    "source": gettext_noop("source “%(text)s”"),
    "proof": gettext_noop("proof “%(text)s”"),
}


def consent_of(contact: Contact) -> str:
    """Whether the person may be contacted, and the reason."""
    column = "opted_out_at" if contact.opted_out_at else "opted_in_at"
    at = getattr(contact, column)
    if at is None:
        return _("No consent recorded.")
    decision, details = DECISIONS[column], details_of(contact, column, at)
    if details is None:
        return _(decision.not_logged) % {"at": local_time(at)}
    if not details:
        return _(decision.plain) % {"at": local_time(at)}
    return _(decision.with_details) % {"at": local_time(at), "details": ", ".join(details)}


def status(kind: str) -> str:
    """A kind of change inside a sentence, such as “opted out”."""
    return _(STATUS[Change.Kind(kind)])


def details_of(contact: Contact, column: str, at: datetime) -> list[str] | None:
    """What the log says about the decision at the time `at`: its source and proof, or else the
    change that set it, such as a merge. If several entries have this time, the first one counts.
    None if it says nothing: pruning may have deleted all entries."""
    log = list(Change.objects.filter(tenant=contact.tenant_id).decisions(contact.pk))
    for change in log:
        consent = change.fields.get("consent", {})
        if change.kind == CONSENT[column] and is_same_time(consent.get("at"), at):
            return [
                _(text) % {"text": detail(consent[part])}
                for part, text in QUOTED.items()
                if consent[part]
            ]
    for change in reversed(log):
        if is_same_time(change.fields.get(column, {}).get("new"), at):
            return [set_by(change)]
    return None


def set_by(change: Change) -> str:
    at = local_time(change.at)
    if not change.actor:
        return _("set by an unknown user on %(at)s") % {"at": at}
    who = Actors([change.actor], [change.tenant_id]).who(change.actor).text
    return _("set by %(who)s on %(at)s") % {"who": who, "at": at}


def is_same_time(text: str | None, at: datetime) -> bool:
    return bool(text) and datetime.fromisoformat(str(text)) == at
