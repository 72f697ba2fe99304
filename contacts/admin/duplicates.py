"""The list of possible duplicates: pairs of contacts side by side, to merge or to dismiss.

Whoever may merge contacts may merge and dismiss pairs; whoever may see contacts sees the list. One
module, because the actions work on the rows that the list has marked.
"""

from collections.abc import Iterable
from copy import copy
from typing import Any, NamedTuple, cast
from urllib.parse import urlencode

from django.contrib import admin, messages
from django.contrib.admin.options import csrf_protect_m
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse, HttpResponseBase, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils.text import capfirst
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop, override

from contacts.db import keyset
from contacts.finding import duplicates
from contacts.models import (
    BY_LIKELIHOOD,
    BulkAction,
    Contact,
    Duplicate,
    DuplicateQuerySet,
    DuplicateSearch,
)
from contacts.values import phones
from contacts.values.likeness import Reason
from contacts.writing.merge import absorb
from contacts.writing.taken_over import Taken, values_taken_over
from contacts.writing.taken_over import in_words as value_in_words
from tenants.admin import TenantOwnedAdmin, user_of
from tenants.fields import is_ulid, parse_ulid
from tenants.models import Tenant

from . import describe
from .confirm import log, start
from .forms import quoted

LIST = "admin:contacts_duplicate_changelist"
PAGE_SIZE = 20  # pairs
MAX_COUNTED = 100  # a greater number is shown as 100+
MAX_BADGE = 99
MAX_AT_ONCE = 50_000  # pairs that one bulk action handles
SAMPLE = 20  # pairs, of which the page before a merge shows what it keeps
MAX_SHOWN = 5  # other contacts on the page of a contact
REASONS = {
    Reason.PHONE: gettext_noop("Same phone, other spelling"),
    Reason.EMAIL: gettext_noop("Same e-mail"),
    Reason.NAME: gettext_noop("Same name"),
    Reason.NEAR_PHONE: gettext_noop("Phones differ by a typing error"),
    Reason.PHONE_SERIES: gettext_noop("Phones differ in the last two digits"),
}
# The same inside a sentence.
REASONS_INSIDE = {
    Reason.PHONE: gettext_noop("same phone, other spelling"),
    Reason.EMAIL: gettext_noop("same e-mail"),
    Reason.NAME: gettext_noop("same name"),
    Reason.NEAR_PHONE: gettext_noop("phones differ by a typing error"),
    Reason.PHONE_SERIES: gettext_noop("phones differ in the last two digits"),
}
# The name alone makes no pair, so it is no kind of pairs.
KINDS = {reason: text for reason, text in REASONS.items() if reason != Reason.NAME}
LIKELIHOODS = [  # from this number on
    (85, gettext_noop("Very likely")),
    (60, gettext_noop("Likely")),
    (0, gettext_noop("Possible")),
]
ALL = gettext_noop("All")
State = Duplicate.State
LIMITS = gettext_noop(
    "Not listed: pairs by a reason that more than %(group)s contacts share, such as the e-mail of"
    " an office. Of a name that more than %(key)s contacts with similar phones have, only some"
    " pairs are listed."
)
PAIR_GONE = gettext_noop(
    "Nothing was changed: this pair is no longer in the list. Somebody has merged, deleted or"
    " dismissed it."
)
NUMBER_HAS_CHANGED = gettext_noop(
    "The number of pairs has changed. Check the number and confirm again."
)


# The pairs as text


class Row(NamedTuple):
    """A row of a pair. `is_same`: both contacts have this value."""

    label: str
    values: list[str]
    is_same: bool


class Shown(NamedTuple):
    """A pair as the page shows it."""

    pair: Duplicate
    contacts: list[Contact]
    reasons: list[str]
    likelihood: str
    rows: list[Row]


def shown(pairs: Iterable[Duplicate]) -> list[Shown]:
    """The pairs with their contacts, which one statement reads."""
    pairs = list(pairs)
    tenants = {pair.tenant_id for pair in pairs}
    ids = {pk for pair in pairs for pk in pair.ids}
    found = Contact.objects.filter(tenant__in=tenants).in_bulk(ids)
    return [
        text_of(pair, [found[pk] for pk in pair.ids])
        for pair in pairs
        if all(pk in found for pk in pair.ids)
    ]


def text_of(pair: Duplicate, contacts: list[Contact]) -> Shown:
    texts = [_(REASONS[reason]) for reason in pair.codes]
    likelihood = next(text for least, text in LIKELIHOODS if pair.likelihood >= least)
    values = [
        (_("Name"), [contact.name for contact in contacts]),
        (_("Phone"), [phones.readable(contact.phone) for contact in contacts]),
        (_("E-mail"), [contact.email for contact in contacts]),
        (_("Tags"), [", ".join(contact.tags) for contact in contacts]),
    ]
    rows = [Row(label, both, both[0] == both[1]) for label, both in values if any(both)]
    changed = [describe.local_time(contact.updated_at) for contact in contacts]
    rows.append(Row(_("Changed"), changed, is_same=False))  # the same time says nothing
    return Shown(pair, contacts, texts, _(likelihood), rows)


class Preview(NamedTuple):
    """What a merge would make of some contacts: `kept` stays, and takes over what `taken` says."""

    kept: Contact
    others: list[Contact]
    taken: list[str]
    problem: str


def previews(tenant: Tenant, pairs: Iterable[Duplicate]) -> list[Preview]:
    """What a merge of these pairs would do, without writing anything."""
    pairs = list(pairs)
    ids = {pk for pair in pairs for pk in pair.ids}
    contacts = tenant.contacts.in_bulk(ids)
    dismissed = {pair.ids for pair in tenant.duplicates.dismissed().of(ids)}
    found = duplicates.groups(contacts, (pair.ids for pair in pairs), tenant.default_region)
    return [preview(group, duplicates.problem_of(tenant, group, dismissed)) for group in found]


def preview(group: list[Contact], problem: str) -> Preview:
    kept = copy(group[0])
    try:
        absorb(kept, group[1:])
    except ValueError as error:
        problem = problem or str(error)
    taken = [in_words(one) for one in values_taken_over(kept, group)]
    return Preview(kept, group[1:], taken, problem)


# What the preview calls the decisions on consent. Other fields have the names of their columns.
DECISIONS = {"opted_in_at": gettext_noop("Opted in"), "opted_out_at": gettext_noop("Opted out")}


def in_words(taken: Taken) -> str:
    column: Any = Contact._meta.get_field(taken.field)
    value = taken.value
    name = DECISIONS.get(taken.field)
    values = {
        "field": _(name) if name else str(capfirst(column.verbose_name)),
        "value": quoted(value) if isinstance(value, str) else value_in_words(value),
        "phone": taken.phone,
    }
    if not value:
        return _("%(field)s: emptied") % values
    if taken.phone:
        return _("%(field)s: %(value)s from %(phone)s") % values
    return _("%(field)s: %(value)s of all") % values


class Alike(NamedTuple):
    """A contact that may be the same person as the contact of the page."""

    contact: Contact
    reasons: str


def alike(contact: Contact) -> list[Alike]:
    """The contacts that may be the same person as `contact`, the most likely first."""
    pairs = Duplicate.objects.filter(tenant=contact.tenant_id).of([contact.pk]).open()
    likely = shown(pairs.order_by("-likelihood", "-pk")[:MAX_SHOWN])
    return [
        Alike(other, ", ".join(_(REASONS_INSIDE[reason]) for reason in each.pair.codes))
        for each in likely
        for other in each.contacts
        if other.pk != contact.pk
    ]


def limits() -> str:
    """Which pairs the list leaves out."""
    numbers = {"group": duplicates.MAX_GROUP, "key": duplicates.MAX_SHARED_KEY}
    return _(LIMITS) % numbers


def capped(pairs: DuplicateQuerySet, most: int) -> str:
    """The number of pairs, as text. Reads at most one more than `most`."""
    number = len(pairs.order_by().values_list("pk")[: most + 1])
    return f"{most:,}+" if number > most else f"{number:,}"


# Which pairs


class Chosen(NamedTuple):
    """What the query of the address chooses. `tenant`: None if there is none to show."""

    tenant: Tenant | None
    reason: str
    state: str
    after: keyset.Position | None

    @property
    def in_state(self) -> DuplicateQuerySet:
        """The pairs of the state, for every reason."""
        if self.tenant is None:
            return Duplicate.objects.none()
        return Duplicate.objects.filter(tenant=self.tenant, state=self.state)

    @property
    def pairs(self) -> DuplicateQuerySet:
        return self.in_state.because_of(self.reason).with_contacts()

    def page(self) -> list[Duplicate]:
        """The pairs of the page, and one more if there is a next page."""
        among = self.in_state if self.reason else None
        return keyset.page(self.pairs, BY_LIKELIHOOD, self.after, PAGE_SIZE + 1, among)

    def query(self, **changes: str) -> str:
        """The query of an address that chooses the same, but for `changes`."""
        given = {"tenant": self.tenant.slug if self.tenant else "", "reason": self.reason,
                 "state": "" if self.state == State.OPEN else self.state}  # fmt: skip
        return urlencode({name: value for name, value in (given | changes).items() if value})


def position(text: str) -> keyset.Position | None:
    """The position after which a page begins; None if the text is none: people edit addresses."""
    likelihood, _, pk = text.partition("~")
    if likelihood.isdecimal() and len(likelihood) <= 3 and is_ulid(pk):
        return int(likelihood), parse_ulid(pk)
    return None


@admin.register(Duplicate)
class DuplicateAdmin(TenantOwnedAdmin):
    """Pairs, the most likely first. Nobody adds or edits one."""

    def get_urls(self) -> list[Any]:
        """Only pages of its own: a pair has no form."""
        wrap = self.admin_site.admin_view
        return [
            path("", wrap(self.changelist_view), name="contacts_duplicate_changelist"),
            path("all/", wrap(self.all_view), name="contacts_duplicate_all"),
        ]

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return user_of(request).has_perm("contacts.view_contact")

    def has_module_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def may_merge(self, request: HttpRequest) -> bool:
        contact_admin: Any = self.admin_site.get_model_admin(Contact)
        return contact_admin.has_merge_permission(request)

    def badge(self, request: HttpRequest) -> str:
        """The number of open pairs for the menu; empty if there are none."""
        pairs = cast("DuplicateQuerySet", self.get_queryset(request))
        number = capped(pairs.open().with_contacts(), MAX_BADGE)
        return "" if number == "0" else number

    # Choosing

    def tenants(self, request: HttpRequest) -> list[Tenant]:
        """The tenants of which the user may see pairs."""
        user = user_of(request)
        if user.is_superuser:
            return list(Tenant.objects.order_by("slug"))
        return [user.tenant] if user.tenant else []

    def chosen(self, request: HttpRequest) -> Chosen:
        """Superusers choose a tenant, because the index of the list begins with the tenant. Without
        a choice it is their own tenant, or the first one."""
        own, tenants = user_of(request).tenant, self.tenants(request)
        wanted = request.GET.get("tenant", "") or (own.slug if own else "")
        tenant = next((one for one in tenants if one.slug == wanted), next(iter(tenants), None))
        reason, state = request.GET.get("reason", ""), request.GET.get("state", "")
        return Chosen(
            tenant,
            reason if reason in [*KINDS] else "",
            State.DISMISSED if state == State.DISMISSED else State.OPEN,
            position(request.GET.get("after", "")),
        )

    # The list

    @csrf_protect_m
    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if not self.has_view_permission(request):
            raise PermissionDenied
        chosen = self.chosen(request)
        if request.method == "POST":
            return self.move(request, chosen)
        found = chosen.page()
        here = found[:PAGE_SIZE]
        last = here[-1] if here else None
        search = DuplicateSearch.objects.filter(tenant=chosen.tenant).first()
        context = self.context(request, chosen, _("Possible duplicates")) | {
            "pairs": shown(here),
            "limits": limits() if chosen.state == State.OPEN else "",
            "count": capped(chosen.pairs, MAX_COUNTED),
            "search": search,
            "tenants": self.tenants(request) if user_of(request).is_superuser else [],
            "kinds": [
                (_(text), f"?{chosen.query(reason=reason)}", reason == chosen.reason)
                for reason, text in [("", ALL), *KINDS.items()]
            ],
            "states": [
                (state.label, f"?{chosen.query(state=state)}", state == chosen.state)
                for state in State
            ],
            "first": f"?{chosen.query()}" if chosen.after else "",
            "next": f"?{chosen.query(after=f'{last.likelihood}~{last.pk}')}"
            if last and len(found) > PAGE_SIZE
            else "",
            "back": request.GET.urlencode(),
        }
        return TemplateResponse(request, "admin/contacts/duplicate/list.html", context)

    def context(self, request: HttpRequest, chosen: Chosen, title: str) -> dict[str, Any]:
        return self.admin_site.each_context(request) | {
            "opts": self.opts, "title": title, "chosen": chosen, "query": chosen.query(),
            "may_merge": self.may_merge(request), "is_open": chosen.state == State.OPEN,
        }  # fmt: skip

    def move(self, request: HttpRequest, chosen: Chosen) -> HttpResponse:
        """Dismisses one pair, or puts a dismissed one back into the list."""
        if not self.may_merge(request):
            raise PermissionDenied
        pk, new = request.POST.get("pair", ""), request.POST.get("state", "")
        moved = 0
        if chosen.tenant and is_ulid(pk) and new in State.values:
            pairs = Duplicate.objects.filter(tenant=chosen.tenant, pk=parse_ulid(pk))
            moved = pairs.exclude(state=new).with_contacts().update(state=new)
        if moved:
            with override(None):  # English, see `log`
                log(request, f"Possible duplicate: {State(new).label.lower()}")
            is_gone = new == State.DISMISSED
            sentence = _("Not shown again.") if is_gone else _("Back in the list.")
            self.message_user(request, sentence, messages.SUCCESS)
        else:
            self.message_user(request, _(PAIR_GONE), messages.WARNING)
        return HttpResponseRedirect(request.get_full_path())

    # All of a kind

    @csrf_protect_m
    def all_view(self, request: HttpRequest) -> HttpResponseBase:
        """Asks, and then merges or dismisses all open pairs with one reason."""
        if not self.may_merge(request):
            raise PermissionDenied
        chosen = self.chosen(request)._replace(state=State.OPEN, after=None)
        is_merge = request.GET.get("do") == "merge"
        if chosen.tenant is None or not chosen.reason:
            return HttpResponseRedirect(reverse(LIST))
        # All of them, also those with a contact deleted a moment ago: to look for a hundred
        # thousand contacts takes longer than everything else here.
        found = chosen.in_state.because_of(chosen.reason)
        # Pairs of one person come together, so that one batch of the bulk action has them all.
        pairs = found.order_by("first_id", "second_id")
        number = found.order_by()[: MAX_AT_ONCE + 1].count()
        count = min(number, MAX_AT_ONCE)
        if request.method == "POST" and request.POST.get("count") == str(count):
            pks = list(pairs.values_list("pk", flat=True)[:count])
            kind = BulkAction.Kind.MERGE_PAIRS if is_merge else BulkAction.Kind.DISMISS_PAIRS
            return start(request, chosen.tenant, kind, REASONS[Reason(chosen.reason)], pks)
        if request.method == "POST":
            self.message_user(request, _(NUMBER_HAS_CHANGED), messages.WARNING)
        title = _("Merge all of a kind") if is_merge else _("Dismiss all of a kind")
        context = self.context(request, chosen, title) | {
            "count": count, "has_more": number > count, "is_merge": is_merge,
            "reason": _(REASONS_INSIDE[Reason(chosen.reason)]),
            "examples": [] if is_merge else shown(pairs[:MAX_SHOWN]),
            "previews": previews(chosen.tenant, pairs[:SAMPLE])[:MAX_SHOWN] if is_merge else [],
        }  # fmt: skip
        return TemplateResponse(request, "admin/contacts/duplicate/all.html", context)
