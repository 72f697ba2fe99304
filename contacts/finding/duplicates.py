"""Finds contacts that are likely one person, and stores the pairs for the staff.

`values.likeness` has the rule. The index of phones finds the other spellings of a phone, and the
index of e-mail addresses finds equal ones. Contacts with the same name and near phones are found by
`NearKey`, a table that only the search writes. Writing a contact costs nothing more than before.

A reason that more than `MAX_GROUP` contacts share says little: an address such as info@ of a
company, or the name of a company that has many phones. Such a group would also make a pair of each
two of its members. So this reason does not count for a contact that shares it with so many. When a
group grows beyond this number, or shrinks, the pairs of its other contacts are corrected, too.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from itertools import combinations
from typing import Any, NamedTuple

from django.db.models import Count, OuterRef, QuerySet, Subquery
from django.utils.translation import gettext as _

from contacts.db.expressions import IsAnyOf
from contacts.models import Change, Contact, ContactQuerySet, Duplicate, NearKey
from contacts.values.likeness import NearKeys, Person, Reason
from tenants.fields import hex_id
from tenants.models import Tenant

MAX_GROUP = 5  # contacts that may share a reason
# Contacts that may share a key: of more, the name is a placeholder, such as “Shop Customer”.
MAX_SHARED_KEY = 50
MAX_CORRECTED = 1000  # contacts with one e-mail address, when more have it than may share a reason
LIMITED = {Reason.NEAR_PHONE, Reason.PHONE_SERIES}  # beside the e-mail; see `crowded_emails`

Pair = tuple[str, str]  # the ids of two contacts, the less one first
Pairs = dict[Pair, set[Reason]]
Alike = dict[str, dict[str, set[Reason]]]  # for each contact: others and the reasons


def person_of(contact: Contact, region: str) -> Person:
    return Person(contact.phone, contact.name, contact.email_folded, region)


def people(tenant: Tenant, contacts: ContactQuerySet) -> dict[str, Person]:
    """What is compared of `contacts`, by id."""
    rows = contacts.values_list("pk", "phone", "name", "email_folded")
    region = tenant.default_region
    return {pk: Person(phone, name, email, region) for pk, phone, name, email in rows}


def people_of(tenant: Tenant, contact_ids: Iterable[str]) -> dict[str, Person]:
    return people(tenant, tenant.contacts.filter(IsAnyOf("pk", map(hex_id, contact_ids))))


# Finding


def find(tenant: Tenant, contact_ids: Collection[str]) -> tuple[set[str], Pairs]:
    """The pairs of one of these contacts and another contact of the tenant that are likely one
    person, with the reasons. If these contacts make a group too large, the pairs of the other
    contacts in the group are found again, because some of them no longer count. Returns all
    contacts that were compared, and their pairs. More contacts do not need more statements.

    `store_keys` has stored the keys of these contacts, and of all others that are to be found.
    """
    found = alike(tenant, contact_ids)
    # Whether a group is too large is a question about both contacts of a pair.
    found |= alike(tenant, limited(found) - found.keys())
    grown = {pk for pk in found.keys() - {*contact_ids} if too_common(found[pk])}
    found |= alike(tenant, limited({pk: found[pk] for pk in grown}) - found.keys())
    compared = grown | {*contact_ids}
    return compared, pairs_among(found, compared)


def limited(found: Alike) -> set[str]:
    """The others that share a reason which only few contacts may share."""
    return {pk for others in found.values() for pk, reasons in others.items() if reasons & LIMITED}


def pairs_among(found: Alike, contact_ids: Iterable[str]) -> Pairs:
    """The pairs with one of these contacts. `found` also has the others that `limited` returns."""
    shared = {pk: too_common(others) for pk, others in found.items()}
    pairs: Pairs = {}
    for pk in contact_ids:
        for other, reasons in found.get(pk, {}).items():
            left = reasons - shared[pk] - shared.get(other, set())
            if left - {Reason.NAME}:
                pairs[ordered(pk, other)] = left
    return pairs


def alike(tenant: Tenant, contact_ids: Collection[str]) -> Alike:
    """For each of these contacts: the contacts that may be the same person, with the reasons."""
    if not contact_ids:
        return {}
    asked = people_of(tenant, contact_ids)
    crowded = crowded_emails(tenant, contact_ids)
    candidates = defaultdict[str, set[str]](set)
    others: dict[str, Person] = {}
    for found in (by_phone(tenant, asked), by_email(tenant, asked, crowded), by_key(tenant, asked)):
        for pk, likely in found:
            candidates[pk] |= likely.keys() - {pk}
            others |= likely
    return {
        pk: {
            other: reasons - ({Reason.EMAIL} if person.email in crowded else set())
            for other in candidates[pk]
            if (reasons := person.reasons_with(others[other]))
        }
        for pk, person in asked.items()
    }


Candidates = Iterator[tuple[str, dict[str, Person]]]


def by_phone(tenant: Tenant, asked: dict[str, Person]) -> Candidates:
    """The contacts that have a phone of each of `asked` in another spelling."""
    wanted = {pk: person.variants for pk, person in asked.items()}
    phones = {phone for some in wanted.values() for phone in some}
    found = people(tenant, tenant.contacts.filter(IsAnyOf("phone", sorted(phones), "varchar")))
    having = {person.phone: pk for pk, person in found.items()}
    for pk, some in wanted.items():
        likely = (having[phone] for phone in some & having.keys())
        yield pk, {other: found[other] for other in likely}


def by_email(tenant: Tenant, asked: dict[str, Person], crowded: set[str]) -> Candidates:
    """The contacts with the e-mail address of each of `asked`. `crowded`: addresses that too many
    contacts share."""
    emails = {person.email for person in asked.values()} - {""} - crowded
    found = defaultdict[str, dict[str, Person]](dict)
    for pk, person in people(tenant, tenant.contacts.filter(email_folded__in=emails)).items():
        found[person.email][pk] = person
    for pk, person in asked.items():
        yield pk, found.get(person.email, {})


def by_key(tenant: Tenant, asked: dict[str, Person]) -> Candidates:
    """The contacts that share a key of `NearKey` with each of `asked`."""
    keys = {pk: person.near_keys for pk, person in asked.items() if person.near_keys}
    sharing = {pk: set(others) for pk, others in sharing_a_key(tenant, keys).items()}
    found = people_of(tenant, {other for others in sharing.values() for other in others})
    for pk, others in sharing.items():
        yield pk, {other: found[other] for other in others & found.keys()}


def sharing_a_key(tenant: Tenant, keys: dict[str, NearKeys]) -> dict[str, list[str]]:
    """For each of these contacts, which are stored with these keys: those that share a key."""
    stored = NearKey.objects.filter(tenant=tenant)
    found = defaultdict[str, list[str]](list)
    for number, column in enumerate(NearKeys._fields):
        wanted = {pair[number] for pair in keys.values()}
        wanted -= crowded(stored, keys, column, MAX_SHARED_KEY)
        having = defaultdict[int, list[str]](list)
        rows = stored.filter(IsAnyOf(column, map(str, wanted), "bigint"))
        for key, pk in rows.values_list(column, "pk"):
            having[key].append(pk)
        for pk, pair in keys.items():
            found[pk] += having[pair[number]]
    return found


def too_common(others: dict[str, set[Reason]]) -> set[Reason]:
    """The reasons that a contact shares with so many `others` that they say little."""
    counted = Counter(reason for reasons in others.values() for reason in reasons)
    return {reason for reason in LIMITED if counted[reason] >= MAX_GROUP}


def crowded_emails(tenant: Tenant, contact_ids: Iterable[str]) -> set[str]:
    """The e-mail addresses of these contacts that more than `MAX_GROUP` contacts have."""
    return crowded(tenant.contacts.all(), contact_ids, "email_folded", MAX_GROUP) - {""}


def crowded(rows: QuerySet, pks: Iterable[str], column: str, most: int) -> set[Any]:
    """The values that the rows with these keys have in `column`, and more than `most` of all `rows`
    have. Reads no more than `most` rows for each of them, however many have the value."""
    same = rows.filter(**{column: OuterRef(column)}).order_by().values("pk")
    asked = rows.filter(IsAnyOf("pk", map(hex_id, pks)))
    if column == "email_folded":
        asked = asked.exclude(email_folded="")
    next_one = asked.annotate(next_one=Subquery(same[most : most + 1]))
    return {*next_one.filter(next_one__isnull=False).values_list(column, flat=True)}


def ordered(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


def problem_of(tenant: Tenant, group: Sequence[Contact], dismissed: Collection[Pair]) -> str:
    """Why this group, from `groups`, must not become one contact unseen; empty if it may.

    `dismissed`: the dismissed pairs of the tenant with these contacts. If A is like B, and B like
    C, then A and C may still be two people, and somebody may have said that they are.
    """
    two = [*combinations(group, 2)]
    if any(ordered(one.pk, other.pk) in dismissed for one, other in two):
        return _("somebody has said that two of these contacts are not duplicates")
    persons = {one.pk: person_of(one, tenant.default_region) for one in group}
    if all(persons[one.pk].reasons_with(persons[other.pk]) for one, other in two):
        return ""
    return _("not all of these contacts are alike: merge them one by one")


def groups(contacts: dict[str, Contact], pairs: Iterable[Pair], region: str) -> list[list[Contact]]:
    """The groups of contacts that these pairs make together, each by the ids of its contacts.

    `contacts`: by id. A pair makes no group if its contacts are no longer alike, or if one of them
    no longer exists. Not all contacts of a group need to be alike, see `problem_of`.
    """
    group_of: dict[str, set[str]] = {}
    for first, second in pairs:
        if first in contacts and second in contacts:
            one, other = (person_of(contacts[pk], region) for pk in (first, second))
            if one.reasons_with(other):
                both = group_of.get(first, {first}) | group_of.get(second, {second})
                group_of |= dict.fromkeys(both, both)
    distinct = {id(group): group for group in group_of.values()}
    return [[contacts[pk] for pk in sorted(group)] for group in distinct.values()]


# Storing


def affected(tenant: Tenant, contact_ids: Collection[str], left: Collection[str]) -> set[str]:
    """These contacts, which have changed, and others with an e-mail address that only now too many
    contacts have, or no longer. `left`: addresses that contacts have had, folded."""
    return {*contact_ids} | with_few(tenant, left) | with_crowded(tenant, contact_ids)


KeyChanges = dict[str, NearKeys | None]  # by contact; None: the contact has no keys any more


def key_changes(tenant: Tenant, contact_ids: Iterable[str]) -> tuple[KeyChanges, set[str]]:
    """What `store_keys` has to write for these contacts, and the contacts of groups that a contact
    leaves, which may have been too large before. Writes nothing."""
    mine = NearKey.objects.filter(IsAnyOf("pk", map(hex_id, contact_ids)), tenant=tenant)
    had = {row.pk: row.keys for row in mine}
    have = {pk: person.near_keys for pk, person in people_of(tenant, contact_ids).items()}
    changed = {pk for pk in had.keys() | have.keys() if had.get(pk) != have.get(pk)}
    others = sharing_a_key(tenant, {pk: had[pk] for pk in changed & had.keys()})
    left = {pk for group in others.values() if len(group) > MAX_GROUP for pk in group}
    return {pk: have.get(pk) for pk in sorted(changed)}, left


def store_keys(tenant: Tenant, changes: KeyChanges) -> None:
    """Deletes and inserts: an upsert would have to name the primary key of the table, which has the
    tenant where the database is sharded."""
    NearKey.objects.filter(IsAnyOf("pk", map(hex_id, changes)), tenant=tenant).delete()
    NearKey.objects.bulk_create(
        NearKey(pk=pk, tenant=tenant, **keys._asdict())
        for pk, keys in changes.items()
        if keys is not None
    )


def with_few(tenant: Tenant, emails: Collection[str]) -> set[str]:
    """The contacts with one of these e-mail addresses that not too many contacts have: more of them
    may have had it before."""
    if not emails:
        return set()
    same = tenant.contacts.filter(email_folded__in=emails).order_by().values("email_folded")
    few = same.annotate(number=Count("pk")).filter(number__gt=1, number__lte=MAX_GROUP)
    addresses = [*few.values_list("email_folded", flat=True)]
    found = tenant.contacts.filter(email_folded__in=addresses)
    return {*found.values_list("pk", flat=True)}


def with_crowded(tenant: Tenant, contact_ids: Iterable[str]) -> set[str]:
    """The contacts of pairs that share an e-mail address with one of these contacts, if too many
    have it now. The pairs were found when fewer had it."""
    emails = crowded_emails(tenant, contact_ids)
    if not emails:
        return set()
    having = tenant.contacts.filter(email_folded__in=emails).order_by().values("pk")
    pairs = tenant.duplicates.open().because_of(Reason.EMAIL)
    stale = pairs.filter(first_id__in=having[:MAX_CORRECTED])
    return {pk for pair in stale for pk in pair.ids}


class PairChanges(NamedTuple):
    """What `store_pairs` has to write. `vanished`: the ids of pairs to delete, because the contacts
    are no longer alike, or one of them was deleted. `other`: the changed reasons of pairs, by the
    id of the pair."""

    vanished: list[str]
    other: dict[str, set[Reason]]
    new: Pairs


def pair_changes(tenant: Tenant, contact_ids: Collection[str]) -> PairChanges:
    """Finds the pairs of these contacts, and compares them with the stored ones. Writes nothing."""
    compared, found = find(tenant, contact_ids)
    stored = {pair.ids: pair for pair in tenant.duplicates.of(compared)}
    vanished = [stored[ids].pk for ids in stored.keys() - found.keys()]
    both = {stored[ids]: found[ids] for ids in found.keys() & stored.keys()}
    other = {
        pair.pk: reasons
        for pair, reasons in both.items()
        if Duplicate.stored(reasons)["reasons"] != pair.reasons
    }
    return PairChanges(
        vanished, other, {ids: found[ids] for ids in sorted(found.keys() - stored.keys())}
    )


def store_pairs(tenant: Tenant, changes: PairChanges) -> None:
    """A dismissed pair stays dismissed, whatever was found."""
    if changes.vanished:
        # The state is part of the statement: somebody may have dismissed the pair meanwhile.
        tenant.duplicates.open().filter(pk__in=changes.vanished).delete()
    for pk, reasons in changes.other.items():
        tenant.duplicates.filter(pk=pk).update(**Duplicate.stored(reasons))
    Duplicate.objects.bulk_create(
        (
            Duplicate(tenant=tenant, first_id=first, second_id=second, **Duplicate.stored(reasons))
            for (first, second), reasons in changes.new.items()
        ),
        ignore_conflicts=True,
    )


def pass_on_dismissals(tenant: Tenant, merged: Iterable[Change]) -> None:
    """Dismisses the pairs of contacts that others were `merged` into, as far as the pairs of the
    others were dismissed. Otherwise a merge would bring the same question back."""
    into = {change.contact_id: change.into for change in merged if change.into}
    dismissed = tenant.duplicates.dismissed().of(into)
    for pair in dismissed:
        first, second = (into.get(pk, pk) for pk in pair.ids)
        if first == second:
            continue
        first, second = ordered(first, second)
        values = {"reasons": pair.reasons, "likelihood": pair.likelihood}
        _, is_new = tenant.duplicates.get_or_create(
            first_id=first, second_id=second, defaults=values | {"state": Duplicate.State.DISMISSED}
        )
        if not is_new:
            tenant.duplicates.filter(first_id=first, second_id=second).update(
                state=Duplicate.State.DISMISSED
            )
