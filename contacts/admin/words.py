"""The change log as people read it: what happened in words, and who did it."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from typing import Any, NamedTuple

from django.db.models import Q
from django.urls import reverse
from django.utils.timezone import localtime

from contacts.change_log.difference import CONSENT, MOMENTS, TOLD, Fields
from contacts.models import Change, Contact, Import
from contacts.values import rules
from tenants.fields import parse_ulid
from tenants.models import ApiToken, Tenant, User

PAGE = 50  # changes
LONGEST = 500  # characters of a value, which may have 65,536
MOST = 100  # lines of a change, which may tell of thousands of metadata keys
NOTHING = "-"


def when(at: datetime) -> str:
    """To the second: things that happen to a contact come close together."""
    return f"{localtime(at):%Y-%m-%d %H:%M:%S %Z}"


# Who


class Who(NamedTuple):
    """`url`: their page in the admin, where there is one."""

    text: str
    url: str = ""


class Actors:
    """Those who have made some changes of these tenants: three statements, however many."""

    def __init__(self, actors: Iterable[str], tenants: Sequence[Tenant | str]) -> None:
        self.named: dict[str, set[str]] = {}
        for actor in actors:
            kind, _, name = actor.partition(":")
            self.named.setdefault(kind, set()).add(name)
        self.known = self.users(tenants) | self.tokens(tenants) | self.imports(tenants)

    def who(self, actor: str) -> Who:
        return self.known.get(actor) or Who(actor or NOTHING)

    def users(self, tenants: Sequence[Tenant | str]) -> dict[str, Who]:
        """Of the tenants; and superusers, who may do things in every one."""
        ids = [name for name in self.named.get("user", ()) if name.isdecimal() and len(name) < 19]
        there = User.objects.filter(Q(tenant__in=tenants) | Q(is_superuser=True), pk__in=ids)
        return {f"user:{pk}": Who(email) for pk, email in there.values_list("pk", "email")}

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
                f"import of {name}", reverse("admin:contacts_import_change", args=[pk])
            )
            for pk, name in found.values_list("pk", "file_name")
        }


# What


class Line(NamedTuple):
    what: str
    text: str


class Told(NamedTuple):
    """A change, for a page. `more`: how many lines are left out."""

    change: Change
    at: str
    lines: list[Line]
    more: int
    who: Who


def page(contact: Contact, before: int | None) -> list[Told]:
    """The `PAGE` changes before the one with the id `before`, the newest first; and one more,
    where there is another page."""
    told = Change.objects.filter(tenant=contact.tenant_id, contact_id=contact.pk).order_by("-pk")
    changes = list((told if before is None else told.filter(pk__lt=before))[: PAGE + 1])
    actors = Actors((change.actor for change in changes), [contact.tenant_id])
    return [tell(change, actors) for change in changes]


def tell(change: Change, actors: Actors) -> Told:
    every = lines_of(change)
    shown = list(islice(every, MOST))
    more = sum(1 for _ in every)
    return Told(change, when(change.at), shown, more, actors.who(change.actor))


def lines_of(change: Change) -> Iterator[Line]:
    for name in (*TOLD, "consent"):  # databases differ in the order in which they keep them
        if told := change.fields.get(name):
            yield from TOLD_AS.get(name, of_values)(name, told)
    if change.into:
        yield Line("merged into", change.into)


def of_values(name: str, sides: Fields) -> Iterator[Line]:
    old, new = (shown(name, sides.get(side)) for side in ("old", "new"))
    yield Line(name, f"{old} → {new}")


def of_tags(name: str, told: Fields) -> Iterator[Line]:
    for side in ("removed", "added"):
        if names := told.get(side):
            yield Line(f"tags {side}", ", ".join(names))
    if order := told.get("order"):
        yield Line("order of tags", f"{', '.join(order['old'])} → {', '.join(order['new'])}")


def of_metadata(name: str, told: Fields) -> Iterator[Line]:
    """As JSON, where "" and null are not nothing."""
    for key, sides in sorted(told.items()):
        old, new = (
            short(rules.spelled(sides[side])) if side in sides else NOTHING
            for side in ("old", "new")
        )
        yield Line(f"{name}.{short(key)}", f"{old} → {new}")


def of_consent(name: str, told: Fields) -> Iterator[Line]:
    yield Line("decided", when(datetime.fromisoformat(told["at"])))
    for part in ("source", "proof"):
        if told[part]:
            yield Line(part, told[part])


TOLD_AS = {"tags": of_tags, "metadata": of_metadata, "consent": of_consent}


def shown(name: str, value: Any) -> str:
    if value is None:
        return NOTHING
    if name in MOMENTS:
        return when(datetime.fromisoformat(value))
    return short(value if isinstance(value, str) else rules.spelled(value))


def short(text: str) -> str:
    """Else a page of values as long as they may be would have megabytes."""
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}… ({len(text):,} characters)"


# Consent


def consent_of(contact: Contact) -> str:
    """Whether the person may be written to, and why."""
    column = "opted_out_at" if contact.opted_out_at else "opted_in_at"
    at = getattr(contact, column)
    if at is None:
        return "Nobody has recorded a decision."
    may = "may" if column == "opted_in_at" else "must not"
    decided = f"This person {may} be written to: {words(CONSENT[column])} on {when(at)}"
    return f"{decided}{reason(contact, column, at)}."


def words(status: str) -> str:
    return Change.Kind(status).label.lower()


def reason(contact: Contact, column: str, at: datetime) -> str:
    """What the log tells of the decision in force: itself, or the change that brought it, such as
    a merge; nothing, where that was pruned. Of several for the same moment the first counts."""
    told = list(Change.objects.filter(tenant=contact.tenant_id).decisions(contact.pk))
    for change in told:
        consent = change.fields.get("consent", {})
        if change.kind == CONSENT[column] and is_moment(consent.get("at"), at):
            said = (part for part in ("source", "proof") if consent[part])
            return "".join(f", {part} “{consent[part]}”" for part in said)
    for change in reversed(told):
        if is_moment(change.fields.get(column, {}).get("new"), at):
            return f", as a change by {named(change)} on {when(change.at)} tells"
    return ", of which the history tells no more"


def named(change: Change) -> str:
    """Who made it."""
    if not change.actor:
        return "nobody known"
    return Actors([change.actor], [change.tenant_id]).who(change.actor).text


def is_moment(text: str | None, at: datetime) -> bool:
    return bool(text) and datetime.fromisoformat(str(text)) == at
