"""The tool list_contacts: the hosted service's inputs and answer, which no action has."""

from collections.abc import Mapping
from functools import cached_property
from math import ceil
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from contacts.api.actions import ActionView, Scope, read_cursor
from contacts.api.fields import CURSOR, FLAG, RuleField, Sought, or_null, shared
from contacts.api.finding import ListedContact
from contacts.db import keyset
from contacts.finding import cursors
from contacts.models import Contact, ContactQuerySet
from contacts.values import rules

from .schemas import Schema, of_output, page_of

MOST, DEFAULT = 100, 25  # records of an answer
NEWEST = keyset.Order("pk", is_descending=True)
FEW = 1000  # contacts that the database sorts faster than it reads the list in its order
METADATA = "metadata"
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
        lambda raw: rules.limit(raw, 1_000_000, 1),
        or_null({"type": "integer", "minimum": 1, "default": 1}),
    )
    # The hosted service does not refuse more than it gives.
    per_page = RuleField(
        lambda raw: min(rules.limit(raw, 1_000_000, DEFAULT) or DEFAULT, MOST),
        or_null({"type": "integer", "minimum": 1, "maximum": MOST, "default": DEFAULT}),
    )
    cursor = RuleField(
        rules.cursor,
        CURSOR | {"description": "The next_cursor of the answer before, instead of a page."},
    )
    include = RuleField(
        lambda raw: rules.choices(raw, [METADATA]),
        {
            "type": ["array", "null"],
            "items": {"type": "string", "enum": [METADATA]},
            "description": "What each contact has besides.",
        },
    )


class ListContacts(ActionView):
    """Lists or searches contacts, the newest first."""

    scopes = (Scope.READ,)
    input_class = ContactListInput
    output_class = ListedContact

    def post(self, request: Request) -> Response:
        fields = self.clean(request)
        page = Page(self.found(fields), fields, (self.tenant.pk, "mcp", self.filters(fields)))
        show = shared(ListedContact).to_representation
        hidden = {METADATA} - {*fields["include"]}
        data = [
            {name: value for name, value in show(contact).items() if name not in hidden}
            for contact in page.contacts
        ]
        return Response({"data": data, "meta": page.meta, "next_cursor": page.next_cursor})

    @staticmethod
    def answer_schema(document: Mapping[str, Any]) -> Schema:
        contact = of_output(ListedContact, document, is_list=False)
        always = [name for name in contact["required"] if name not in (METADATA, "former_phones")]
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
    """One page of `found`. `scope`: what a cursor is valid for, see `cursors.write`."""

    def __init__(self, found: ContactQuerySet, fields: dict[str, Any], scope: Any) -> None:
        self.found, self.scope = found, scope
        self.size, self.number = fields["per_page"], fields["page"]
        self.after = read_cursor(fields["cursor"], *scope)
        self.is_numbered = self.after is None

    @cached_property
    def total(self) -> int:
        return self.found.count()

    @cached_property
    def rows(self) -> list[Contact]:
        """The contacts of the page, and the first of the next page."""
        after = self.after
        if self.is_numbered and self.number > 1:
            number = (self.number - 1) * self.size
            if number >= self.total:
                return []
            # An OFFSET inside the index: the numbers of pages are a promise to old clients.
            after = self.found.order_by("-pk").values_list("pk")[number - 1 : number].first()
        read = keyset.gathered if self.total <= FEW else keyset.page
        return read(self.found, NEWEST, after, self.size + 1)

    @property
    def contacts(self) -> list[Contact]:
        return self.rows[: self.size]

    @property
    def next_cursor(self) -> str | None:
        if len(self.rows) <= self.size:
            return None
        return cursors.write((self.contacts[-1].pk,), *self.scope)

    @property
    def meta(self) -> dict[str, int | None]:
        current = self.number if self.is_numbered else None
        last = max(1, ceil(self.total / self.size))
        return dict(zip(META, (current, last, self.size, self.total), strict=True))
