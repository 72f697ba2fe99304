"""Finds contacts that are likely one person, and stores the pairs for the staff.

`values.likeness` has the rule. A look-up needs no table of its own. All phones that are like a
given phone are few enough to list them, so the index of phones finds them; the index of e-mail
addresses finds the others. Writing a contact costs nothing more than before.

A reason that more than `MAX_GROUP` contacts share says little: an address such as info@ of a
company, or the name of a company that has many phones. Such a group would also make a pair of each
two of its members. So this reason does not count for a contact that shares it with so many. When a
group grows or shrinks, the pairs of its other contacts are corrected only when these change.
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable

from django.db.models import OuterRef, Subquery

from contacts.db.expressions import IsAnyOf
from contacts.models import Change, Contact, ContactQuerySet, Duplicate
from contacts.values.likeness import Person, Reason
from tenants.models import Tenant

MAX_GROUP = 5  # contacts that may share a reason
LIMITED = {Reason.NEAR_PHONE, Reason.PHONE_SERIES}  # beside the e-mail; see `crowded_emails`

Pair = tuple[str, str]  # the ids of two contacts, the less one first
Pairs = dict[Pair, set[Reason]]


def person_of(contact: Contact, region: str) -> Person:
    return Person(contact.phone, contact.name, contact.email_folded, region)


def people(tenant: Tenant, contacts: ContactQuerySet) -> dict[str, Person]:
    """What is compared of `contacts`, by id."""
    rows = contacts.values_list("pk", "phone", "name", "email_folded")
    region = tenant.default_region
    return {pk: Person(phone, name, email, region) for pk, phone, name, email in rows}


# Finding


def find(tenant: Tenant, contact_ids: Collection[str]) -> Pairs:
    """The pairs of one of these contacts and another contact of the tenant that are likely one
    person, with the reasons. The number of statements does not grow with the number of contacts."""
    asked = alike(tenant, contact_ids)
    # Whether a group is too large is a question about both contacts of a pair.
    more = {pk for others in asked.values() for pk in others if others[pk] & LIMITED} - asked.keys()
    shared = {pk: too_common(others) for pk, others in (asked | alike(tenant, more)).items()}
    pairs: Pairs = {}
    for pk, others in asked.items():
        for other, reasons in others.items():
            found = reasons - shared[pk] - shared.get(other, set())
            if found - {Reason.NAME}:
                pairs[ordered(pk, other)] = found
    return pairs


def alike(tenant: Tenant, contact_ids: Collection[str]) -> dict[str, dict[str, set[Reason]]]:
    """For each of these contacts: the contacts that may be the same person, with the reasons."""
    if not contact_ids:
        return {}
    asked = people(tenant, tenant.contacts.filter(pk__in=contact_ids))
    wanted = {pk: person.phones_to_look_up() for pk, person in asked.items()}
    phones = {phone for some in wanted.values() for phone in some}
    near = people(tenant, tenant.contacts.filter(IsAnyOf("phone", sorted(phones), "varchar")))
    by_phone = {person.phone: pk for pk, person in near.items()}
    emails = {person.email for person in asked.values()} - {""}
    crowded = crowded_emails(tenant, contact_ids)
    same_email = people(tenant, tenant.contacts.filter(email_folded__in=emails - crowded))
    by_email = defaultdict[str, set[str]](set)
    for pk, person in same_email.items():
        by_email[person.email].add(pk)
    others = near | same_email
    found = {}
    for pk, person in asked.items():
        likely = {by_phone[phone] for phone in wanted[pk] & by_phone.keys()}
        likely |= by_email.get(person.email, set()) - {pk}
        dropped = {Reason.EMAIL} if person.email in crowded else set()
        found[pk] = {other: person.reasons_with(others[other]) - dropped for other in likely}
    return found


def too_common(others: dict[str, set[Reason]]) -> set[Reason]:
    """The reasons that a contact shares with so many `others` that they say little."""
    counted = Counter(reason for reasons in others.values() for reason in reasons)
    return {reason for reason in LIMITED if counted[reason] >= MAX_GROUP}


def crowded_emails(tenant: Tenant, contact_ids: Collection[str]) -> set[str]:
    """The e-mail addresses of these contacts that more than `MAX_GROUP` contacts have. Reads no
    more than `MAX_GROUP` rows for each contact, however many have the address."""
    same = tenant.contacts.filter(email_folded=OuterRef("email_folded")).values("pk")
    asked = tenant.contacts.filter(pk__in=contact_ids).exclude(email_folded="")
    crowded = asked.annotate(next=Subquery(same[MAX_GROUP : MAX_GROUP + 1]))
    return {*crowded.filter(next__isnull=False).values_list("email_folded", flat=True)}


def ordered(one: str, other: str) -> Pair:
    return (one, other) if one < other else (other, one)


def groups(contacts: dict[str, Contact], pairs: Iterable[Pair], region: str) -> list[list[Contact]]:
    """The groups of contacts, each of one person, that these pairs make together.

    `contacts`: by id. Pairs that are not alike, or whose contact is not there, make no group.
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


def check(tenant: Tenant, contact_ids: Collection[str]) -> None:
    """Finds the duplicates of these contacts again and stores them; call it in a transaction.

    Pairs that are no longer alike, or whose contact is gone, are deleted. A dismissed pair stays
    dismissed, whatever is found.
    """
    found = find(tenant, contact_ids)
    stored = {pair.ids: pair for pair in tenant.duplicates.of(contact_ids)}
    vanished = [stored[ids].pk for ids in stored.keys() - found.keys()]
    # The state is part of the statement: somebody may dismiss the pair at this moment.
    tenant.duplicates.open().filter(pk__in=vanished).delete()
    for ids in found.keys() & stored.keys():
        values = Duplicate.stored(found[ids])
        if values["reasons"] != stored[ids].reasons:
            tenant.duplicates.filter(pk=stored[ids].pk).update(**values)
    Duplicate.objects.bulk_create(
        (
            Duplicate(tenant=tenant, first_id=first, second_id=second, **Duplicate.stored(reasons))
            for (first, second), reasons in sorted(found.items())
            if (first, second) not in stored
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
