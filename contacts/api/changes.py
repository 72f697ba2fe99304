"""The change log."""

from datetime import datetime
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from contacts.change_log.difference import MOMENTS
from contacts.finding import cursors
from contacts.models import Change, Contact, Place
from contacts.values import rules
from tenants.serializers import OrNull

from .actions import MERGED_INTO, ActionView, Scope, read_cursor
from .fields import CONTACT_ID, CURSOR, LimitField, PhoneField, RuleField, Timestamp


class ChangesInput(serializers.Serializer):
    """The body of list-changes."""

    contact_id = RuleField(rules.contact_id, CONTACT_ID, required=False)
    phone = PhoneField(required=False)
    limit = LimitField(most=500, default=100)
    cursor = RuleField(rules.cursor, CURSOR)

    def to_internal_value(self, data: dict[str, Any]) -> dict[str, Any]:
        keys = {"contact_id": "", "phone": ""}
        given = {k: v for k, v in data.items() if k not in keys or v not in ("", None)}
        return keys | super().to_internal_value(given)


class ShownDifferences(serializers.DictField):
    """Moments are stored with the parts of their seconds."""

    def to_representation(self, value: dict[str, Any]) -> dict[str, Any]:
        shown = value | {name: shortened(value[name]) for name in MOMENTS if name in value}
        if consent := value.get("consent"):
            shown["consent"] = consent | shortened({"at": consent["at"]})
        return shown


def shortened(moments: dict[str, str | None]) -> dict[str, str | None]:
    return {
        name: text and datetime.fromisoformat(text).isoformat(timespec="seconds")
        for name, text in moments.items()
    }


class ShownChange(serializers.Serializer):
    """A change of a contact. `changes` has the `old` and `new` value of each field; of `tags` those
    `added` and `removed`, of `metadata` each key. A creation has none: the contact shows them."""

    sequence = serializers.IntegerField(source="pk")
    contact_id = serializers.CharField()
    kind = serializers.ChoiceField(Change.Kind.values)
    merged_into = OrNull(source="into", help_text="Of one that was `merged`.")
    changes = ShownDifferences(source="fields")
    actor = OrNull(help_text="`token:…`, `user:…`, `import:…` or `command:…`.")
    request_id = OrNull()
    change_set = OrNull(help_text="The same for all that one request, import or command did.")
    at = Timestamp()


class ChangePage(serializers.Serializer):
    """What list-changes answers."""

    data = ShownChange(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField()


class ListChanges(ActionView):
    """What has happened: to one contact, or to all of them since a cursor.

    `next_cursor` is where to go on, also when there is nothing more yet: ask again with it, and
    no change is missed. A change shows when every transaction that began before it has ended.
    """

    scopes = (Scope.READ,)
    input_class = ChangesInput
    output_class = ChangePage

    def post(self, request: Request) -> Response:
        fields = self.clean(request)
        contact_ids = self.contact_ids(fields)
        scope = (self.tenant.pk, "changes", "".join(contact_ids[:1]))
        place = Place(*read_cursor(fields["cursor"], *scope) or ())
        if contact_ids:
            found = self.tenant.changes.of(contact_ids, place.id)
        else:
            found, place = self.tenant.changes.behind(place)
        page = list(found[: fields["limit"]])
        if contact_ids and not page and not fields["cursor"] and not self.knows(contact_ids[-1]):
            raise Contact.DoesNotExist
        if page:
            place = place._replace(xid=page[-1].xid, id=page[-1].pk)
        return self.answer({"data": page, "next_cursor": cursors.write(place, *scope)})

    def contact_ids(self, fields: dict[str, Any]) -> list[str]:
        """None for all. A contact that is gone has its history still, and then that of the one it
        has been merged into."""
        contact_id = fields["contact_id"]
        if not contact_id:
            phone = fields["phone"]
            return [self.tenant.contacts.find(phone=phone).pk] if phone else []
        found = [contact_id]
        while not self.knows(found[-1]):
            into = self.tenant.changes.merged_into(found[-1])
            if not into:
                break
            self.headers[MERGED_INTO] = into
            found.append(into)
        return found

    def knows(self, contact_id: str) -> bool:
        """Also those that are older than the log."""
        return self.tenant.contacts.filter(pk=contact_id).exists()
