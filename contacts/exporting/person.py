"""All that is known of a person, as one file for that person: the right of access (GDPR, article
15).

`SECTIONS` has a section for each table with data about people; `LEFT_OUT` says why the other tables
are not in the file. A test fails for a table that is in neither.

The file says that staff, the API or an import made a change, but not who of the staff: the right of
access covers no names of employees who act for the controller (Court of Justice of the European
Union, C-579/21, 22 June 2023). It names no other contact by more than its id, and only those that
were merged into this one or had its phone before they were deleted.
"""

import json
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.utils import timezone
from django.utils.translation import override

from contacts import models, schema
from contacts.change_log.difference import CONSENT, FORMER_PHONES, LOGGED_FIELDS
from contacts.models import ENDS, Change, Contact, Delivery, StoredAnswer
from contacts.models.erasure import in_utc
from contacts.models.stored_answer import KEPT
from contacts.schema import Kind
from contacts.values import rules
from contacts.values.numbering_plans import forms
from contacts.writing import former_phones
from contacts.writing.erase import names
from tenants.fields import parse_ulid
from tenants.models import Tenant

Json = dict[str, Any]
ACTORS = {"user": "staff", "token": "API", "command": "command of an operator", "": "unknown"}


class Person(NamedTuple):
    """`former`: phones. `phones`: current and former ones, in each form of their numbers.
    `merged`: ids of contacts that were merged into this one. `earlier`: ids of contacts that had
    one of the phones when they were deleted. `changes`: of all these contacts, oldest first.
    `makers`: who made them, see `makers`."""

    contact: Contact
    former: list[str]
    phones: list[str]
    merged: set[str]
    earlier: set[str]
    changes: list[Change]
    makers: dict[str, str]

    @property
    def tenant(self) -> Tenant:
        return self.contact.tenant

    @property
    def ids(self) -> list[str]:
        return sorted({self.contact.pk, *self.merged, *self.earlier})


def known_of(contact: Contact) -> Json:
    """All that the tenant stores about the person of this contact, by labels, as JSON has it. The
    number of statements does not grow with the history. All in English, as the labels are, whatever
    the language of the page that asks for the file."""
    with override(None):
        return all_sections(person_of(contact))


def all_sections(person: Person) -> Json:
    about = {
        "What": "All personal data about one person (right of access, GDPR, article 15)",
        "Stored by": person.tenant.name,
        "Made at": moment(timezone.now()),
        "Times": "In UTC",
        "Not in this file": [*dict.fromkeys(LEFT_OUT.values())],
    }
    return {"About this file": about} | {
        label: read(person) for sections in SECTIONS.values() for label, read in sections.items()
    }


def file_of(contact: Contact) -> str:
    """`known_of` as text that people can read."""
    return json.dumps(known_of(contact), ensure_ascii=False, indent=2) + "\n"


# Who the person is


def person_of(contact: Contact) -> Person:
    log = contact.tenant.changes
    former = former_phones.of([contact])[contact.pk]
    phones = sorted(forms([contact.phone, *former]))
    merged = log.gone_into(contact.pk)
    earlier = ended_with(contact, phones) - merged
    changes = [*log.filter(contact_id__in={contact.pk, *merged, *earlier}).order_by("pk")]
    by = makers(contact.tenant, changes)
    return Person(contact, former, phones, merged, earlier, changes, by)


def ended_with(contact: Contact, phones: list[str]) -> set[str]:
    """The contacts that had one of these phones at their end. Not those that got another phone
    before, and not those that an undo has brought back: their values may be another person's."""
    log = contact.tenant.changes
    had = log.of_phones(phones) - {contact.pk}
    lives = log.filter(contact_id__in=had, kind__in=[Change.Kind.CREATED, *ENDS]).order_by("pk")
    last = {change.contact_id: change for change in lives}
    return {pk for pk, change in last.items() if old_phone(change) in phones}


def old_phone(change: Change) -> str | None:
    """The phone that the contact had at its end; None for another kind of change."""
    return change.fields.get("phone", {}).get("old") if change.kind in ENDS else None


# Words


def label(name: str) -> str:
    return name.replace("_", " ").capitalize()


def moment(at: datetime | None) -> str | None:
    return in_utc(at) if at else None


def ordered(value: Any) -> Any:
    """JSON with its keys in order: databases return them in different orders."""
    return json.loads(rules.spelled(value), object_pairs_hook=lambda pairs: dict(sorted(pairs)))


def makers(tenant: Tenant, changes: Iterable[Change]) -> dict[str, str]:
    """Who made the changes, by actor: the kind of the actor, or the file of an import, which is the
    source of the data (GDPR, article 15, paragraph 1, g)."""
    kinds = {change.actor: change.actor.partition(":")[0] for change in changes}
    jobs = valid(actor.partition(":")[2] for actor, kind in kinds.items() if kind == "import")
    found = tenant.imports.filter(pk__in=[*jobs]).values_list("pk", "file_name")
    files = {f"import:{pk}": f"import of {name}" for pk, name in found}
    return {actor: ACTORS.get(kind, kind) for actor, kind in kinds.items()} | files


def valid(ids: Iterable[str]) -> Iterator[str]:
    for each in ids:
        with suppress(ValueError):
            yield parse_ulid(each)


# The sections


def contact_json(person: Person) -> Json:
    """Its fields, also empty ones, and its id."""
    values = {field.name: getattr(person.contact, field.name) for field in schema.FIELDS}
    moments = [field.name for field in schema.FIELDS if field.kind is Kind.MOMENT]
    values |= {name: moment(values[name]) for name in moments}
    return {"Id": person.contact.pk} | {label(name): ordered(v) for name, v in values.items()}


def other_contacts(person: Person) -> list[Json]:
    why = dict.fromkeys(person.merged, "It was merged into this contact.") | dict.fromkeys(
        person.earlier, "It had the same phone when it was deleted or merged."
    )
    return [{"Id": pk, "Why": why[pk]} for pk in sorted(why)]


def decisions(person: Person) -> list[Json]:
    """What the person decided about being contacted, and other changes of it."""
    found = (change for change in person.changes if change.fields.keys() & {*CONSENT, "consent"})
    return [
        {
            "Contact": change.contact_id,
            "What": change.get_kind_display(),
            "Decided at": change.fields.get("consent", {}).get("at"),
            "How it was given": change.fields.get("consent", {}).get("source"),
            "Proof": change.fields.get("consent", {}).get("proof"),
            "Recorded at": moment(change.at),
            "Recorded by": person.makers[change.actor],
        }
        for change in found
    ]


def history(person: Person) -> list[Json]:
    return [
        {
            "At": moment(change.at),
            "Contact": change.contact_id,
            "What": change.get_kind_display(),
            "Changes": {
                label(name): ordered(change.fields[name])
                for name in (*LOGGED_FIELDS, FORMER_PHONES, "consent")
                if name in change.fields
            },
            "Merged into": change.into,
            "By": person.makers[change.actor],
        }
        for change in person.changes
    ]


def notes(person: Person) -> list[Json]:
    """Also those of contacts that were merged into this one, which follow them, and of deleted ones
    with the same phone."""
    found = models.Note.objects.filter(tenant=person.tenant, contact_id__in=person.ids)
    return [
        {
            "At": moment(note.created_at),
            "Text": note.text,
            "By": ACTORS.get(note.author.partition(":")[0], "unknown"),
        }
        for note in found.order_by("created_at", "pk")
    ]


def recipients(person: Person) -> list[Json]:
    """Who received changes of the person by webhook (GDPR, article 15, paragraph 1, c). Without the
    path of the address, which may be a secret."""
    webhooks = person.tenant.webhooks.values_list("pk", "url")
    hosts = {pk: urlsplit(url).hostname for pk, url in webhooks}
    changes = [change.pk for change in person.changes]
    sent = Delivery.objects.filter(tenant=person.tenant, webhook__in=[*hosts], change__in=changes)
    return [
        {
            "Recipient": hosts[delivery.webhook_id],
            "Event": delivery.event,
            "State": delivery.state,
            "At": moment(delivery.finished_at or delivery.created_at),
        }
        for delivery in sent.order_by("pk")
    ]


def duplicates(person: Person) -> list[Json]:
    """Without the other contact, which may be another person."""
    return [
        {
            "Found at": moment(pair.found_at),
            "Reasons": [reason.value for reason in pair.codes],
            "Likelihood": pair.likelihood,
            "State": pair.get_state_display(),
        }
        for pair in person.tenant.duplicates.of([person.contact.pk]).order_by("pk")
    ]


def opt_outs(person: Person) -> list[Json]:
    found = models.OptOut.objects.of(person.tenant.pk, person.phones)
    return [{"Phone": phone, "Opted out at": moment(at)} for phone, at in sorted(found.items())]


def erasures(person: Person) -> list[Json]:
    found = person.tenant.erasures.of(person.phones)
    return [{"Phone": phone, "Erased at": moment(at)} for phone, at in sorted(found.items())]


def answers(person: Person) -> list[Json]:
    """Without their text: it repeats values of the contact, and may name other people."""
    found = StoredAnswer.objects.filter(tenant=person.tenant).naming([*person.phones, *person.ids])
    times = found.order_by("created_at", "token", "key").values_list("created_at", flat=True)
    return [{"Stored at": moment(at), "Deleted after": moment(at + KEPT)} for at in times]


def refusals(person: Person) -> list[Json]:
    """Changes that bulk actions could not make."""
    actions = person.tenant.bulk_actions.filter(refused__gt=0).order_by("pk")
    lines = ((action, line) for action in actions for line in action.refusals)
    return [
        {"At": moment(action.started_at), "What": action.get_kind_display(), "Why": " ".join(line)}
        for action, line in lines
        if names(line, person.phones)
    ]


def staff_actions(person: Person) -> list[Json]:
    """What the admin's own log says about these contacts."""
    kind = ContentType.objects.get_for_model(Contact)
    found = LogEntry.objects.filter(content_type=kind, object_id__in=person.ids).order_by("pk")
    return [
        {
            "At": moment(entry.action_time),
            "What": entry.get_action_flag_display(),
            "Details": entry.get_change_message(),
            "By": "staff",
        }
        for entry in found
    ]


Read = Callable[[Person], Any]

SECTIONS: dict[type[Model], dict[str, Read]] = {
    Contact: {
        "Contact": contact_json,
        "Former phones": lambda person: person.former,
        "Other contacts of the person": other_contacts,
    },
    models.Note: {"Notes": notes},
    Change: {"Consent": decisions, "History": history},
    Delivery: {"Recipients": recipients},
    models.Duplicate: {"Possible duplicates": duplicates},
    models.OptOut: {"Stored opt-outs": opt_outs},
    models.Erasure: {"Erased before": erasures},
    StoredAnswer: {"Stored answers of the API": answers},
    models.BulkAction: {"Refused changes": refusals},
    LogEntry: {"Actions of staff": staff_actions},
}
TAGS = "Links to tags: the tags are listed with the contact"
FILES = (
    "Files that were imported or exported and are still stored, such as uploads that wait and error"
    " files: the person has to be looked for in them"
)
PROGRESS = "Counts, positions and locks of background work, which say nothing about single people"
LEFT_OUT: dict[type[Model], str] = {
    models.Tag: TAGS,
    models.ContactTag: TAGS,
    models.MetadataField: "Definitions of fields, which say nothing about single people",
    models.NearKey: "Keys for finding duplicates, computed from the name and the phone",
    models.Import: FILES,
    models.ImportBatch: FILES,
    models.ImportFailure: FILES,
    models.Export: FILES,
    models.BulkBatch: "Lists of contacts that a running bulk action has yet to change",
    models.SavedView: "Filters that staff have saved, which choose contacts by their properties",
    models.Webhook: "Addresses of recipients: their hosts are listed with the recipients",
    models.TagCounts: PROGRESS,
    models.ContactCounts: PROGRESS,
    models.NameFolding: PROGRESS,
    models.DuplicateSearch: PROGRESS,
    models.TenantLock: PROGRESS,
}
