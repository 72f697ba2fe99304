"""Decisions about being written to: the rule for which decision is in force, recording decisions,
and the opt-out that outlives its contact.

Imports apply the same rule inside their statement, see `contacts.db.statements`.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Any, NamedTuple

from contacts.change_log.difference import CONSENT
from contacts.db.transactions import transactional
from contacts.models import EARLIER_OPT_OUT, Change, Contact, Entry, OptOut
from contacts.models.erasure import in_utc
from contacts.values.digests import phone_digest
from contacts.values.numbering_plans import forms
from tenants.models import Tenant

from . import rows


class Decision(NamedTuple):
    """What a person decides about being written to. `at`: when; `source`: where the decision comes
    from, such as a form; `proof`: what proves it, such as a letter."""

    status: Change.Kind  # OPTED_IN or OPTED_OUT
    at: datetime
    source: str = ""
    proof: str = ""

    @property
    def logged(self) -> dict[str, str]:
        return {"at": in_utc(self.at), "source": self.source, "proof": self.proof}

    def entry(self, entry: Entry) -> Entry:
        """The log entry of the decision; `entry` says what the decision has changed."""
        return entry._replace(kind=self.status, fields=entry.fields | {"consent": self.logged})


# The rule


def decide(contact: Contact, decision: Decision) -> bool:
    """Puts the decision in force in the unsaved `contact`, unless a later one is in force; returns
    whether it did. If two decisions have the same time, the opt-out wins."""
    in_force = contact.opted_out_at or contact.opted_in_at
    is_out = decision.status == Change.Kind.OPTED_OUT
    if in_force and (decision.at, is_out) <= (in_force, bool(contact.opted_out_at)):
        return False
    if is_out:
        contact.opted_out_at = decision.at
    else:
        contact.opted_in_at, contact.opted_out_at = decision.at, None
    return True


def opt_out_earlier(contact: Contact, at: datetime) -> bool:
    """Opts the unsaved `contact` out because the owner of its phone opted out at this time, when
    this contact did not exist or had another phone. An opt-in of the contact does not count against
    that, not even a later one: whoever created the contact did not know of the opt-out. Returns
    whether this changes the contact."""
    before = (contact.opted_in_at, contact.opted_out_at)
    contact.opted_out_at = max(at, contact.opted_out_at or at)
    if contact.opted_in_at and contact.opted_in_at > contact.opted_out_at:
        contact.opted_in_at = None
    return (contact.opted_in_at, contact.opted_out_at) != before


# Recording decisions


@transactional
def decide_one(tenant: Tenant, key: dict[str, str], decision: Decision) -> Contact:
    """Records the decision of the contact that `key` finds. Raises `Contact.DoesNotExist`."""
    contact = tenant.contacts.find(lock=True, **key)
    decide_many([contact], decision)
    return contact


@transactional
def decide_now(tenant: Tenant, key: dict[str, str], decision: Decision) -> Contact:
    """`decide_many_now` for the contact that `key` finds. Raises `Contact.DoesNotExist`."""
    contact = tenant.contacts.find(lock=True, **key)
    decide_many_now([contact], decision)
    return contact


@transactional
def decide_many(contacts: Sequence[Contact], decision: Decision) -> list[Contact]:
    """Records the same decision of several contacts of one tenant, which are locked.

    Where a later decision is in force, the decision is only logged. Returns the contacts whose
    decision was not recorded before.
    """
    if not contacts:
        return []
    changed, late = list[Contact](), list[Contact]()
    for contact in contacts:
        (changed if decide(contact, decision) else late).append(contact)
    if changed:
        rows.update(changed, rows.lock(changed, CONSENT), CONSENT, decision.entry)
    if decision.status == Change.Kind.OPTED_IN:
        former = Contact.all_phones.former_phones(changed)
        phones = ([contact.phone, *former[contact.pk]] for contact in changed)
        forget(contacts[0].tenant_id, chain.from_iterable(phones))
    new = not_recorded(late, decision)
    Change.objects.log(
        decision.entry(Entry(contact.tenant_id, contact.pk, decision.status, {})) for contact in new
    )
    return [*changed, *new]


@transactional
def decide_many_now(contacts: Sequence[Contact], decision: Decision) -> list[Contact]:
    """`decide_many` for a decision that the caller has given no time of its own, so that it is made
    now. Where the decision in force is the same, nothing is written: a request or a command that is
    sent again must not become a second decision."""
    return decide_many(not_in_force(contacts, decision), decision)


def not_in_force(contacts: Sequence[Contact], decision: Decision) -> list[Contact]:
    """The contacts, all of one tenant, in which this decision, whatever its time, is not in force,
    or was not recorded as such."""
    is_out = decision.status == Change.Kind.OPTED_OUT
    times = {
        contact.pk: at
        for contact in contacts
        if (at := contact.opted_out_at or contact.opted_in_at)
        and bool(contact.opted_out_at) == is_out
    }
    history = recorded([contact for contact in contacts if contact.pk in times], decision.status)
    in_force = {pk for pk, at in times.items() if decision._replace(at=at).logged in history[pk]}
    return [contact for contact in contacts if contact.pk not in in_force]


def not_recorded(contacts: Sequence[Contact], decision: Decision) -> list[Contact]:
    """The contacts, all of one tenant, whose history does not have exactly this decision."""
    history = recorded(contacts, decision.status)
    return [contact for contact in contacts if decision.logged not in history[contact.pk]]


def recorded(contacts: Sequence[Contact], status: Change.Kind) -> dict[str, list[Any]]:
    """The logged decisions of this kind of each of the contacts, which are all of one tenant."""
    found: dict[str, list[Any]] = {contact.pk: [] for contact in contacts}
    if contacts:
        logged = Change.objects.filter(
            tenant_id=contacts[0].tenant_id, contact_id__in=[*found], kind=status
        )
        for pk, fields in logged.values_list("contact_id", "fields"):
            found[pk].append(fields.get("consent"))
    return found


def decisions_of(entry: Entry, source: str) -> Iterator[Entry]:
    """`entry` without the consent that it gives or withdraws, then one entry for each decision.
    `source`: where the decisions come from."""
    taken = [name for name in CONSENT if entry.fields.get(name, {}).get("new")]
    rest = {name: value for name, value in entry.fields.items() if name not in taken}
    yield entry._replace(fields=rest)
    for name in taken:
        decided = {"at": entry.fields[name]["new"], "source": source, "proof": ""}
        fields = {name: entry.fields[name], "consent": decided}
        yield entry._replace(kind=CONSENT[name], fields=fields)


# The opt-out that outlives its contact


def remember(opt_outs: Iterable[OptOut | None]) -> None:
    """Stores these opt-outs, leaving out each None. A phone has one: the one stored last."""
    by_digest = sorted(filter(None, opt_outs), key=lambda opt_out: opt_out.digest)
    OptOut.objects.bulk_create(
        by_digest,
        update_conflicts=True,
        unique_fields=["tenant", "digest"],
        update_fields=["opted_out_at"],
    )


def forget(tenant_id: str, phones: Iterable[str]) -> None:
    """Deletes the stored opt-outs of people who have opted in again."""
    digests = [*map(phone_digest, forms(phones))]
    OptOut.objects.filter(tenant=tenant_id, digest__in=digests).delete()


def keep_out(tenant_id: str, phones: Iterable[str]) -> bool:
    """Opts out the contacts that have just got these `phones`, where the owner of the phone opted
    out earlier. Returns whether there are any such contacts.

    Every verb that gives a contact a phone calls this function inside its transaction, after it has
    written the contact: its statement may have waited for somebody who deleted a contact with the
    same phone, and stored the opt-out of that contact.
    """
    opted_out = OptOut.objects.of(tenant_id, phones)
    keep_known_out(tenant_id, opted_out)
    return bool(opted_out)


def keep_known_out(tenant_id: str, opted_out: dict[str, datetime]) -> None:
    """`keep_out`, where it is known when each phone opted out."""
    if not opted_out:
        return
    found = Contact.objects.filter(tenant=tenant_id, phone__in=opted_out).order_by("phone")
    contacts = [c for c in found.select_for_update() if opt_out_earlier(c, opted_out[c.phone])]
    decisions = {
        contact.pk: Decision(Change.Kind.OPTED_OUT, opted_out[contact.phone], EARLIER_OPT_OUT)
        for contact in contacts
    }
    if contacts:
        before = rows.lock(contacts, CONSENT)
        rows.update(contacts, before, CONSENT, lambda e: decisions[e.contact_id].entry(e))
