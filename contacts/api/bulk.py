"""Many contacts in one request: the shapes of create-contacts, and its view."""

from collections import Counter
from typing import Any, cast

from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.serializers import Serializer

from contacts.models import Contact, Outcome
from contacts.values import rules
from contacts.writing import upsert
from tenants.answers import Answer

from . import fields
from .actions import ActionView, Scope
from .contacts import ContactInput
from .fields import RuleField


class BatchInput(serializers.Serializer):
    """The body of create-contacts. Each contact is checked by itself; a bad contact fails alone."""

    # The schema allows any item: a bad contact fails alone, and the status of the answer is 200.
    contacts = RuleField(rules.batch, {"type": "array", "maxItems": rules.MAX_BATCH}, required=True)


class BatchRow(ContactInput):
    """One contact of a batch: the body of create-contact, and `ref`, the caller's own mark."""

    ref = RuleField(rules.ref, {"type": ["string", "integer", "null"], "maxLength": rules.MAX_REF})

    def run_validation(self, data: Any = serializers.empty) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError({"body": ["The contact must be a JSON object."]})
        return super().run_validation(data)


class BatchResult(serializers.Serializer):
    """The result for one contact of a batch."""

    index = serializers.IntegerField()
    ref = serializers.JSONField(required=False)
    status = serializers.ChoiceField([*Outcome.values, "failed", "superseded"])
    id = serializers.CharField(required=False)
    phone = serializers.CharField(required=False)
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()), required=False
    )


class BatchAnswer(serializers.Serializer):
    """The answer of create-contacts."""

    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    superseded = serializers.IntegerField()
    failed = serializers.IntegerField()
    results = BatchResult(many=True)


def last_rows(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """The last row of each phone, in the order of these rows."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        if "fields" in row:
            phone = row["fields"]["phone"]
            found.pop(phone, None)
            found[phone] = row
    return found


class CreateContacts(ActionView):
    """Upserts up to 1,000 contacts. A bad contact fails alone.

    If several contacts have the same phone, or phones of one stored contact, current and former,
    the last of them is stored; the status of the others is `superseded`.
    """

    scopes = (Scope.WRITE,)
    input_class = BatchInput
    output_class = BatchAnswer
    max_body_bytes = 8 * 1024 * 1024

    def post(self, request: Request) -> Answer:
        rows = self.read_rows(self.clean(request)["contacts"])
        winners = last_rows(rows)
        written = [row["fields"] for row in winners.values()]
        stored = upsert.replace_many(self.tenant, written, Contact.Source.API)
        for row in rows:
            if fields := row.pop("fields", None):
                phone = fields["phone"]
                outcome, pk, current = stored[phone]
                is_last = outcome is not None and winners[phone] is row
                row["status"] = outcome if is_last else "superseded"
                row |= {"id": pk, "phone": current}
        counts = Counter(row["status"] for row in rows)
        counted = {status: counts[status] for status in [*Outcome.values, "superseded", "failed"]}
        return Answer(counted | {"results": rows})

    def read_rows(self, raw_rows: list[Any]) -> list[dict[str, Any]]:
        """A result for each row: with its checked `fields`, or with the status failed and
        `errors`."""
        reader = fields.shared(BatchRow, self.tenant.default_region)
        return [self.read_row(reader, index, raw) for index, raw in enumerate(raw_rows)]

    def read_row(self, reader: Serializer, index: int, raw: Any) -> dict[str, Any]:
        """The result for the row `raw` at `index`; see `read_rows`."""
        try:
            fields = reader.run_validation(raw)
        except ValidationError as error:
            errors = cast("dict[str, Any]", error.detail)
            ref = raw.get("ref") if isinstance(raw, dict) and "ref" not in errors else None
            result = {"status": "failed", "errors": errors}
        else:
            ref = fields.pop("ref")
            result = {"fields": fields}
        return {"index": index} | ({} if ref in (None, "") else {"ref": ref}) | result
