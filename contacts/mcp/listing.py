"""The tool list_contacts: the hosted service's inputs and answer, which no action has."""

from collections.abc import Mapping
from math import ceil
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from contacts.api.actions import ActionView, Scope, read_cursor
from contacts.api.fields import CURSOR, FLAG, RuleField, Sought, or_null, shared
from contacts.api.finding import ListedContact
from contacts.db import keyset
from contacts.finding import cursors
from contacts.models import Contact, ContactQuerySet
from contacts.values import rules
from tenants.answers import Answer

from .schemas import Schema, of_output, page_of

MOST, DEFAULT = 100, 25  # records of an answer
UNBOUNDED = 1_000_000_000  # more is no number of records or pages
NEWEST = keyset.Order("pk", is_descending=True)
SMALL_RESULT = 1000  # contacts that the database sorts faster than it reads the list in its order
ON_REQUEST = ["metadata", "former_phones"]
META = ("current_page", "last_page", "per_page", "total")


class ContactListInput(serializers.Serializer):
    """The inputs of list_contacts."""

    search = Sought("search")
    tag = Sought("tag")
    opted_in_only = RuleField(
        lambda raw: True if raw in (None, "") else rules.flag(raw),
        FLAG | {"default": True, "description": "Leave out contacts that have opted out."},
    )
    page = RuleField(
        lambda raw: rules.limit(raw, UNBOUNDED, 1),
        or_null({"type": "integer", "minimum": 1, "default": 1}),
    )
    # The hosted service does not refuse more than it gives.
    per_page = RuleField(
        lambda raw: min(rules.limit(raw, UNBOUNDED, DEFAULT) or DEFAULT, MOST),
        or_null({"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT}),
    )
    cursor = RuleField(
        rules.cursor,
        CURSOR | {"description": "The next_cursor of the answer before, instead of a page."},
    )
    include = RuleField(
        lambda raw: rules.choices(raw, ON_REQUEST),
        {
            "type": ["array", "null"],
            "items": {"type": "string", "enum": ON_REQUEST},
            "description": "What each contact has besides.",
        },
    )


class ListContacts(ActionView):
    """Lists or searches contacts, the newest first."""

    scopes = (Scope.READ,)
    input_class = ContactListInput
    output_class = ListedContact

    def post(self, request: Request) -> Answer:
        fields = self.clean(request)
        page = Page(self.found(fields), fields, (self.tenant.pk, "mcp", self.filters(fields)))
        if "former_phones" in fields["include"]:
            Contact.all_phones.add_former_phones(page.contacts)
        show = shared(ListedContact).to_representation
        hidden = {*ON_REQUEST} - {*fields["include"]}
        data = [
            {name: value for name, value in show(contact).items() if name not in hidden}
            for contact in page.contacts
        ]
        return Answer({"data": data, "meta": page.meta, "next_cursor": page.next_cursor})

    @staticmethod
    def answer_schema(document: Mapping[str, Any]) -> Schema:
        contact = of_output(ListedContact, document, is_list=False)
        always = [name for name in contact["required"] if name not in ON_REQUEST]
        number = {"type": ["integer", "null"]}
        meta = {"type": "object", "properties": dict.fromkeys(META, number), "required": [*META]}
        return page_of(contact | {"required": always}, meta=meta)

    def filters(self, fields: dict[str, Any]) -> dict[str, Any]:
        return {name: fields[name] for name in ("search", "tag", "opted_in_only")}

    def found(self, fields: dict[str, Any]) -> ContactQuerySet:
        """The contacts that the inputs ask for, on all pages."""
        contacts = self.tenant.contacts.all()
        if fields["opted_in_only"]:
            contacts = contacts.filter(opted_out_at=None)
        if fields["tag"]:
            contacts = contacts.with_tag(fields["tag"])
        return contacts.matching(fields["search"], self.tenant.default_region)


class Page:
    """One page of `found`: the page with a number, or the one that begins at a cursor. `scope`:
    what a cursor is valid for, see `cursors.write`."""

    def __init__(self, found: ContactQuerySet, fields: dict[str, Any], scope: Any) -> None:
        self.found, self.scope, self.size = found, scope, fields["per_page"]
        self.after = read_cursor(fields["cursor"], *scope)
        self.number = None if self.after else fields["page"]
        # Counting takes longer than reading: who follows the cursor does not wait for it.
        self.total = found.count() if self.number else None
        rows = self.read()
        self.contacts = rows[: self.size]
        self.is_last = len(rows) <= self.size

    def read(self) -> list[Contact]:
        """The contacts of the page, and the first of the next page."""
        after = self.after
        if self.number and self.number > 1:
            after = self.end_of((self.number - 1) * self.size)
            if after is None:
                return []
        is_few = self.total is not None and self.total <= SMALL_RESULT
        read = keyset.gathered if is_few else keyset.page
        return read(self.found, NEWEST, after, self.size + 1)

    def end_of(self, count: int) -> cursors.Position | None:
        """The position of the contact with this number; None if there are no more contacts. By an
        OFFSET inside the index: a page with a number is what clients of the hosted service know."""
        return self.found.order_by("-pk").values_list("pk")[count - 1 : count].first()

    @property
    def next_cursor(self) -> str | None:
        return None if self.is_last else cursors.write((self.contacts[-1].pk,), *self.scope)

    @property
    def meta(self) -> dict[str, int | None]:
        last = None if self.total is None else max(1, ceil(self.total / self.size))
        return dict(zip(META, (self.number, last, self.size, self.total), strict=True))
