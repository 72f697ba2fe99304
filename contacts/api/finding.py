"""The actions that find contacts and tags: the shapes of bodies and answers, and the views."""

from collections.abc import Iterator
from threading import Lock
from typing import Any

from django.http import HttpResponseBase, StreamingHttpResponse
from rest_framework import serializers
from rest_framework.fields import Field
from rest_framework.request import Request

from contacts.finding import cursors
from contacts.finding.filters import page_of, with_tags
from contacts.models import (
    BY_CHANGE,
    BY_MESSAGE,
    Contact,
    CountedTag,
    Tombstone,
    contact_is_there,
)
from contacts.schema import Shape
from contacts.values import rules
from tenants.answers import JSON, Answer
from tenants.isolation import tenant_context

from . import fields
from .actions import OF_A_FILTERED_PAGE, PagedAction, PagedArray, Scope
from .consistency import EVENTUAL
from .contacts import ShownContact
from .fields import (
    CURSOR,
    FLAG,
    MOMENT,
    FilterField,
    LimitField,
    RuleField,
    Sought,
    Timestamp,
    shared,
)


class TagSearch(serializers.Serializer):
    """The body of list-tags."""

    name = Sought("name")
    limit = LimitField(most=1000)
    cursor = RuleField(rules.cursor, CURSOR)


class SearchInput(serializers.Serializer):
    """The body of search-contacts."""

    query = Sought("query")
    tag = Sought("tag")
    email = Sought("email")
    filter = FilterField()
    limit = LimitField(most=50, default=50)
    cursor = RuleField(rules.cursor, CURSOR)


class ContactFilters(serializers.Serializer):
    """The filters that list-contacts and exports share."""

    updated_since = RuleField(rules.timestamp, MOMENT)
    tag = Sought("tag")
    filter = FilterField()


class ListInput(ContactFilters):
    """The body of list-contacts."""

    limit = LimitField(most=500, default=100)
    cursor = RuleField(rules.cursor, CURSOR)
    include_deleted = RuleField(rules.flag, FLAG)


class FoundContact(ShownContact):
    """One contact of search-contacts."""

    shape = Shape.FOUND


class ListedContact(ShownContact):
    """One contact of list-contacts."""

    shape = Shape.LISTED

    def get_fields(self) -> dict[str, Field]:
        former = serializers.ListField(child=serializers.CharField())
        return super().get_fields() | {"former_phones": former}


class GoneContact(serializers.Serializer):
    """A deleted, erased or merged contact in the answer of list-contacts."""

    id = serializers.CharField(source="pk")
    deleted_at = Timestamp(source="updated_at")
    merged_into = serializers.CharField(allow_null=True)


class ListEntry(serializers.BaseSerializer):
    """One entry in the answer of list-contacts: a contact, or a contact that was deleted."""

    def to_representation(self, instance: Any) -> Any:
        kind = GoneContact if isinstance(instance, Tombstone) else ListedContact
        return shared(kind).to_representation(instance)


class ContactPage(serializers.Serializer):
    """The answer of list-contacts."""

    data = ListEntry(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)


class TagSummary(serializers.Serializer):
    """One tag in the answer of list-tags."""

    id = serializers.CharField()
    name = serializers.CharField()
    contacts_count = serializers.IntegerField()

    def to_representation(self, instance: CountedTag) -> dict[str, Any]:
        """Not field by field: this took half of the time of an answer with 1,000 tags."""
        return instance._asdict()


class SearchContacts(PagedArray):
    """Finds contacts by a part of name, e-mail or phone, by tag and by e-mail.

    The contact with the latest message comes first. The answer is an array, so the cursor of the
    next page is in headers. For the next page, post the same body to the link. With a `filter`, a
    page before the last one can be empty.
    """

    scopes = (Scope.READ,)
    consistency = EVENTUAL
    input_class = SearchInput
    output_class = FoundContact
    answer_headers = PagedArray.answer_headers | OF_A_FILTERED_PAGE
    order = "last_message_at"

    def find(self, after: Any, limit: int, filters: dict[str, Any]) -> list[Contact]:
        given = with_tags(self.tenant, filters["filter"])
        found, self.edge = page_of(
            self.tenant, BY_MESSAGE, after, limit, given,
            tag=self.tag(filters["tag"]), email=filters["email"], query=filters["query"],
            fields=tuple(fields.shared(FoundContact).fields),
        )  # fmt: skip
        return found


class ListContacts(PagedAction):
    """Lists all contacts page by page, for a sync. With a `filter`, a page before the last one can
    be empty: go on until `next_cursor` is null.
    """

    scopes = (Scope.READ,)
    consistency = EVENTUAL
    input_class = ListInput
    output_class = ContactPage
    answer_headers = OF_A_FILTERED_PAGE
    order = "updated_at"

    def post(self, request: Request) -> Answer:
        page, next_cursor = self.page(self.clean(request))
        Contact.all_phones.add_former_phones([row for row in page if isinstance(row, Contact)])
        return Answer(self.shown({"data": page, "next_cursor": next_cursor}))

    def find(self, after: Any, limit: int, filters: dict[str, Any]) -> list[Contact]:
        since, given = filters["updated_since"], with_tags(self.tenant, filters["filter"])
        found, self.edge = page_of(
            self.tenant, BY_CHANGE, after, limit, given, since=since, tag=self.tag(filters["tag"])
        )
        if filters["include_deleted"]:
            changes = self.tenant.changes.exclude(contact_is_there())
            gone = changes.tombstones(after, limit, since)
            found = sorted([*found, *gone], key=BY_CHANGE.position)[:limit]
            if self.edge:  # contacts after it are not read yet
                found = [entry for entry in found if BY_CHANGE.position(entry) <= self.edge]
        return found


class ListTags(PagedArray):
    """Lists the tenant's tags by name, each with the number of its contacts.

    Without `limit` the answer has all tags. With `limit`, the cursor of the next page is in
    headers, as in search-contacts."""

    # An answer with 50,000 tags takes a third of a second of a thread. Sixteen such answers at once
    # would make all other requests wait for seconds. So a long answer is made page by page, and
    # each process makes one page at a time.
    longest_page = 1000
    making_a_page = Lock()

    scopes = (Scope.READ,)
    consistency = EVENTUAL
    input_class = TagSearch
    output_class = TagSummary
    order = "name"

    def post(self, request: Request) -> HttpResponseBase:
        fields = self.clean(request)
        if fields["limit"]:
            return super().post(request)
        part = fields["name"]
        page, next_cursor = self.page(fields | {"limit": self.longest_page})
        if next_cursor is None:
            return Answer(self.shown(page))
        return StreamingHttpResponse(self.array(page, part), content_type="application/json")

    def array(self, page: list[CountedTag], part: str) -> Iterator[bytes]:
        """The parts of the JSON array of the tags in `page` and of all tags after them.

        `part`: as `name` in the body. A tag that is renamed while the answer is sent may be missing
        from the answer, or be in the answer under both names.
        """
        show, start = fields.shared(self.output_class).to_representation, b"["
        while page:
            yield start + JSON().render([*map(show, page)])[1:-1]
            start = b","
            with self.making_a_page, tenant_context(self.tenant.pk):
                page = self.tenant.tags.page(page[-1].name, self.longest_page, part)
        yield b"]"

    def find(
        self, after: cursors.Position | None, limit: int, filters: dict[str, Any]
    ) -> list[CountedTag]:
        return self.tenant.tags.page(after[0] if after else "", limit, filters["name"])

    def position(self, row: CountedTag) -> cursors.Position:
        return (row.name,)
