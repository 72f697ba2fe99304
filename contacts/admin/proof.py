"""What staff hand out about a person: all that is known as a file (GDPR, article 15), and a page to
print that proves consent (article 7, paragraph 1)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple

from django.contrib.admin.utils import unquote
from django.core.exceptions import PermissionDenied
from django.db.models import Q
from django.http import HttpRequest, HttpResponse
from django.urls import path
from django.utils import timezone
from django.utils.translation import gettext as _

from contacts.change_log.difference import CONSENT, FORMER_PHONES
from contacts.exporting.person import file_of
from contacts.models import ENDS, Change, Contact
from contacts.values import phones
from contacts.writing import former_phones

from .confirm import log
from .describe import Actors, ChangeText, Who, consent_of, is_same_time, local_time, text_of
from .history import HistoryAdmin

# What the page shows of a change: a proof of consent has no use for the other fields.
SHOWN = (*CONSENT, "consent", "phone", FORMER_PHONES)
OPTED_IN = Change.Kind.OPTED_IN


class Consent(NamedTuple):
    """A recorded opt-in. `at`: when the person decided; `way` and `proof`: as they were sent."""

    at: str
    way: str
    proof: str
    recorded_at: str
    who: Who
    request_id: str


class Proof(NamedTuple):
    """What the page tells of the changes of a person, the oldest first. `consent`: the opt-in that
    is in force, or else the last one; None if none is recorded. `others`: the number of changes
    that have nothing to do with consent."""

    consent: Consent | None
    since: list[ChangeText]
    before: list[ChangeText]
    others: int


class ProofAdmin(HistoryAdmin):
    """Adds the file of all data of a person, and the proof of consent."""

    def get_urls(self) -> list[Any]:
        wrap = self.admin_site.admin_view
        known, proof = wrap(self.known_view), wrap(self.proof_view)
        return [
            path("<path:object_id>/known/", known, name="contacts_contact_known"),
            path("<path:object_id>/proof/", proof, name="contacts_contact_proof"),
            *super().get_urls(),
        ]

    def seen(self, request: HttpRequest, object_id: str) -> Contact | None:
        if not self.has_view_permission(request):
            raise PermissionDenied
        return self.get_object(request, unquote(object_id))

    def known_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        contact = self.seen(request, object_id)
        if contact is None:
            return self.no_contact(request, object_id)
        log(request, "All data of a person: 1 contact")
        # Not the phone: the names of files end up in histories of browsers and in backups.
        name = f"person-{contact.pk}-{timezone.localdate()}.json"
        return HttpResponse(
            file_of(contact),
            content_type="application/json",
            headers={"Content-Disposition": f'attachment; filename="{name}"'},
        )

    def proof_view(self, request: HttpRequest, object_id: str) -> HttpResponse:
        contact = self.seen(request, object_id)
        if contact is None:
            return self.no_contact(request, object_id)
        former = former_phones.of([contact])[contact.pk]
        context = {
            "original": contact,
            "readable": phones.readable(contact.phone),
            "former": [*map(phones.readable, former)],
            "in_force": consent_of(contact),
            "proof": proof_of(contact),
            "printed_at": local_time(timezone.now()),
            "printed_by": request.user,
        }
        return self.page(request, "proof", _("Proof of consent"), context)


def proof_of(contact: Contact) -> Proof:
    """Also with the decisions of contacts that were merged into this one, which may be where its
    consent comes from."""
    log = contact.tenant.changes
    own = log.filter(contact_id__in={contact.pk, *log.gone_into(contact.pk)})
    matters = Q(kind__in=[Change.Kind.CREATED, *CONSENT.values(), *ENDS])
    changes = list(own.filter(matters | Q(fields__has_any_keys=[*SHOWN])).order_by("pk"))
    actors = Actors((change.actor for change in changes), [contact.tenant_id])
    recorded = opt_in(changes, contact.opted_in_at)
    since = [change for change in changes if not recorded or change.pk > recorded.pk]
    before = [change for change in changes if recorded and change.pk < recorded.pk]
    return Proof(
        consent_in(recorded, actors) if recorded else None,
        [text_of(shown(change), actors, change.contact_id) for change in since],
        [text_of(shown(change), actors, change.contact_id) for change in before],
        own.count() - len(changes),
    )


def opt_in(changes: Iterable[Change], at: datetime | None) -> Change | None:
    """The opt-in that was decided at this time, or else the one that was decided last."""
    found = [change for change in changes if change.kind == OPTED_IN and decided_at(change)]
    in_force = [change for change in found if at and is_same_time(decided_at(change), at)]
    return max(in_force or found, key=moment_of, default=None)


def moment_of(change: Change) -> tuple[datetime, int]:
    return datetime.fromisoformat(decided_at(change)), change.pk


def decided_at(change: Change) -> str:
    """When the person decided; empty if the values of the entry were pruned or erased."""
    return change.fields.get("consent", {}).get("at", "")


def consent_in(change: Change, actors: Actors) -> Consent:
    given = change.fields["consent"]
    return Consent(
        local_time(datetime.fromisoformat(given["at"])),
        given["source"],
        given["proof"],
        local_time(change.at),
        actors.who(change.actor),
        change.request_id,
    )


def shown(change: Change) -> Change:
    """The change without the fields that the page does not show."""
    change.fields = {name: value for name, value in change.fields.items() if name in SHOWN}
    return change
