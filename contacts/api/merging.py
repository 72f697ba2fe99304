"""The actions that merge contacts and take changes back: shapes of bodies and answers, views."""

from http import HTTPStatus
from typing import Any, cast

from django.urls import reverse
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request

from contacts.change_log import cause
from contacts.jobs import bulk_actions
from contacts.models import BulkAction
from contacts.values import rules
from contacts.writing import merge, undo
from contacts.writing.merged_values import CHOSEN
from tenants.answers import Answer
from tenants.models import ApiToken, Tenant
from tenants.serializers import OrNull

from . import fields
from .actions import MERGED_INTO, ActionView, Scope
from .bulk_actions import refuse_too_many
from .contacts import ContactDetail
from .examples import ROMAIN
from .fields import CONTACT_ID, FLAG, ID, RuleField


class MergeInput(serializers.Serializer):
    """The body of merge-contacts."""

    contact_id = RuleField(
        rules.required_contact_id,
        CONTACT_ID | {"type": "string", "minLength": 1, "description": "The contact that stays."},
        required=True,
        error_messages={"required": "The contact_id is required."},
    )
    merge_ids = RuleField(
        rules.merge_ids,
        {
            "type": "array",
            "items": ID,
            "minItems": 1,
            "maxItems": rules.MAX_MERGED,
            "uniqueItems": True,
            "description": "The contacts that are merged into it, and are then gone.",
        },
        required=True,
        error_messages={"required": "The merge_ids are required."},
    )
    choose = RuleField(
        lambda raw: rules.choose(raw, CHOSEN),
        {
            "type": ["object", "null"],
            "properties": dict.fromkeys(CHOSEN, ID),
            "additionalProperties": False,
            "description": "For a field, the id of the contact whose value stays. Without a "
            "choice: the newest name, e-mail and locale that is not empty, all tags, and all keys "
            "of metadata, each with its newest value.",
        },
    )
    dry_run = RuleField(
        rules.flag,
        FLAG | {"description": "Answer with the contact as it would be, and write nothing."},
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        contact_id, merge_ids = attrs["contact_id"], attrs["merge_ids"]
        if contact_id in merge_ids:
            sentence = "The contact_id cannot be one of the merge_ids."
            raise serializers.ValidationError({"merge_ids": [sentence]})
        for name, pk in attrs["choose"].items():
            if pk not in (contact_id, *merge_ids):
                sentence = f"Choose the {name} of one of the merged contacts, not of {pk}."
                raise serializers.ValidationError({"choose": [sentence]})
        return attrs


class MergedContact(ContactDetail):
    """The answer of merge-contacts: the contact that stays, as it is then."""

    merged = serializers.ListField(
        child=serializers.CharField(),
        help_text="The ids of the contacts that this request has merged into it.",
    )
    change_set = OrNull(help_text="What `undo` takes; null if nothing was written.")


class MergeContacts(ActionView):
    """Merges contacts of one person into the contact `contact_id`.

    Requests for the merged contacts are then answered by this contact. An id that was merged into
    another contact stands for that contact, so sending a request again changes nothing. Consent is
    not chosen: the stricter stays.
    """

    scopes = (Scope.WRITE,)
    input_class = MergeInput
    output_class = MergedContact
    missing = str(merge.ContactMissing(ROMAIN["id"]))

    def post(self, request: Request) -> Answer:
        body = self.clean(request)
        try:
            contact, others = merge.merge_into(self.tenant, **body)
        except merge.ContactMissing as error:
            raise NotFound(str(error)) from error
        if contact.pk != body["contact_id"]:
            self.headers[MERGED_INTO] = contact.pk
        is_written = others and not body["dry_run"]
        shown = fields.shared(ContactDetail).to_representation(contact)
        return Answer(shown | {
            "merged": [other.pk for other in others],
            "change_set": cause.current.get().change_set() if is_written else None,
        })  # fmt: skip


class UndoInput(serializers.Serializer):
    """The body of undo."""

    change_set = RuleField(
        rules.change_set,
        ID | {"description": "As list-changes, merge-contacts and undo tell it; or of an import."},
        required=True,
        error_messages={"required": "The change_set is required."},
    )
    dry_run = RuleField(
        rules.flag, FLAG | {"description": "Answer what would be undone, and write nothing."}
    )


class KeptAsItIs(serializers.Serializer):
    """Something that undo did not take back."""

    contact_id = serializers.CharField()
    phone = OrNull()
    field = OrNull(
        help_text="The field, `metadata.KEY` for a key of metadata; null for the whole contact."
    )
    reason = serializers.ChoiceField(undo.Reason.values)
    message = serializers.CharField(help_text="The reason as a sentence for people.")


class Undone(serializers.Serializer):
    """The answer of undo. With the status 202, `restored` and `kept` are null: a worker takes the
    change set back, or counts what it would take back."""

    restored = serializers.IntegerField(
        allow_null=True, help_text="How many contacts were changed back, deleted or restored."
    )
    kept = KeptAsItIs(many=True, allow_null=True)
    change_set = OrNull(
        help_text="The change set of the undo itself: `undo` takes it, too. Null if nothing was "
        "changed back. With the status 202, the id of the bulk action."
    )


class ChangeSetIsRunning(APIException):
    status_code = HTTPStatus.CONFLICT
    default_detail = "The import or bulk action is still running; undo it when it is finished."


class Undo(ActionView):
    """Takes back what one request, import or command has changed.

    A field is taken back only if nobody has changed it since; `kept` lists what stays, and why.
    Consent always stays. A change set of more than 1,000 contacts is taken back, or counted for a
    dry run, by a worker: the status is then 202, and the header `Location` has the address that
    shows the progress and the result.
    """

    scopes = (Scope.WRITE, Scope.DELETE)
    input_class = UndoInput
    output_class = Undone
    also = (HTTPStatus.ACCEPTED,)
    answer_headers = {"Location": "With 202 only: the address that shows the progress."}
    missing = "Change set not found"
    conflict = ChangeSetIsRunning

    def post(self, request: Request) -> Answer:
        mine = Tenant.objects.filter(pk=self.tenant.pk)
        body = self.clean(request)
        found, dry_run = undo.ChangeSet(body["change_set"], mine), body["dry_run"]
        if found.is_running(self.tenant):
            raise ChangeSetIsRunning
        if not found.tenants:
            raise NotFound(self.missing)
        if found.summary().contacts > undo.AT_ONCE:
            return self.undo_later(request, found, dry_run=dry_run)
        done = found.rehearse(undo.AT_ONCE) if dry_run else found.take_back()
        results = [undone for _, undone in done]
        restored = sum(bool(undone.taken_back) for undone in results)
        return self.answer({
            "restored": restored,
            "kept": [kept for undone in results for kept in kept_of(undone)],
            "change_set": cause.current.get().change_set() if restored and not dry_run else "",
        })  # fmt: skip

    def undo_later(self, request: Request, found: undo.ChangeSet, *, dry_run: bool) -> Answer:
        refuse_too_many(self.tenant)
        actor, kind = cast("ApiToken", request.auth).actor, BulkAction.Kind.UNDO
        ids = found.ids(self.tenant)
        action = bulk_actions.plan(self.tenant, actor, kind, found.id, ids, dry_run=dry_run)
        bulk_actions.start(action)
        self.headers["Location"] = reverse("get-bulk", args=[action.pk])
        answer = {"restored": None, "kept": None, "change_set": action.pk}
        return Answer(answer, status=HTTPStatus.ACCEPTED)


def kept_of(undone: undo.Undone) -> list[dict[str, Any]]:
    head = {"contact_id": undone.contact.pk, "phone": undone.contact.phone}
    return [
        head | {"field": kept.field, "reason": kept.reason, "message": str(kept)}
        for kept in undone.kept
    ]
