"""The action that lists the change log: the shapes of its body and answer, and the view."""

from datetime import datetime
from typing import Any

from rest_framework import serializers
from rest_framework.request import Request

from contacts.change_log.difference import MOMENTS, NOTES
from contacts.change_log.feed import FeedPosition
from contacts.finding import cursors
from contacts.models import Change, Contact
from contacts.values import rules
from tenants.answers import Answer
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
    """The differences of a change, with timestamps in whole seconds.

    The log stores timestamps with the fractions of their seconds. The API has no notes.
    """

    def to_representation(self, value: dict[str, Any]) -> dict[str, Any]:
        shown = value | {name: shortened(value[name]) for name in MOMENTS if name in value}
        shown.pop(NOTES, None)
        if consent := value.get("consent"):
            shown["consent"] = consent | shortened({"at": consent["at"]})
        return shown


def shortened(timestamps: dict[str, str | None]) -> dict[str, str | None]:
    """`timestamps` in ISO 8601, cut to whole seconds."""
    return {
        name: text and datetime.fromisoformat(text).isoformat(timespec="seconds")
        for name, text in timestamps.items()
    }


class ShownChange(serializers.Serializer):
    """A change of a contact.

    `changes` has the `old` and the `new` value of each field that changed; for `tags` and
    `former_phones` it has what was `added` and `removed`, for `metadata` one entry per key. A
    creation has no `changes`: the contact itself shows its values.
    """

    sequence = serializers.IntegerField(source="pk")
    contact_id = serializers.CharField()
    kind = serializers.ChoiceField(Change.Kind.values)
    merged_into = OrNull(
        source="into", help_text="The contact that a `merged` contact was merged into."
    )
    changes = ShownDifferences(source="fields")
    actor = OrNull(help_text="`token:…`, `user:…`, `import:…` or `command:…`.")
    request_id = OrNull()
    change_set = OrNull(help_text="The same for all changes of one request, import or command.")
    at = Timestamp()


class ChangePage(serializers.Serializer):
    """The answer of list-changes."""

    data = ShownChange(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField()


class ListChanges(ActionView):
    """Lists the changes of one contact, or of all contacts.

    Send `next_cursor` to get the changes that follow, now or later: no change is missed. Without a
    contact, a change is listed as soon as all transactions that began before it have ended.
    """

    scopes = (Scope.READ,)
    input_class = ChangesInput
    output_class = ChangePage

    def post(self, request: Request) -> Answer:
        fields = self.clean(request)
        contact_ids = self.contact_ids(fields)
        scope = (self.tenant.pk, "changes", "".join(contact_ids[:1]))
        position = FeedPosition(*read_cursor(fields["cursor"], *scope) or ())
        if contact_ids:
            found = self.tenant.changes.of(contact_ids, position.id)
        else:
            found, position = self.tenant.changes.after(position)
        page = list(found[: fields["limit"]])
        if contact_ids and not page and not fields["cursor"] and not self.knows(contact_ids[-1]):
            raise Contact.DoesNotExist
        if page:
            position = position._replace(xid=page[-1].xid, id=page[-1].pk)
        return self.answer({"data": page, "next_cursor": cursors.write(position, *scope)})

    def contact_ids(self, fields: dict[str, Any]) -> list[str]:
        """The ids of the contact that the caller means; an empty list means all contacts.

        If the contact was merged into another contact, the list goes on with the id of that
        contact, because the history goes on there.
        """
        contact_id = fields["contact_id"]
        if not contact_id:
            phone = fields["phone"]
            return [self.tenant.contacts.find(phone=phone).pk] if phone else []
        found = [contact_id]
        while not self.knows(found[-1]):
            survivor = self.tenant.changes.merged_into(found[-1])
            if not survivor:
                break
            self.headers[MERGED_INTO] = survivor
            found.append(survivor)
        return found

    def knows(self, contact_id: str) -> bool:
        """Whether the contact exists. A contact that is older than the log may have no changes."""
        return self.tenant.contacts.filter(pk=contact_id).exists()
