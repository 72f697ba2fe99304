"""Changes of many contacts, which a worker makes: by a filter, and of tags."""

import json
import logging
from http import HTTPStatus
from typing import Any, cast

from django.urls import reverse
from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import APIException, NotFound
from rest_framework.request import Request

from contacts import erasing
from contacts.db.expressions import packed_ids
from contacts.finding import filters
from contacts.jobs import bulk_actions
from contacts.jobs.bulk_actions import MAX_REFUSALS
from contacts.models import BulkAction, Contact, ContactQuerySet, Tag
from contacts.values import rules
from tenants.answers import Answer
from tenants.models import ApiToken, Tenant
from tenants.serializers import OrNull

from .actions import ActionView, Scope, found_or_404
from .contacts import ContactKey
from .fields import FLAG, TAG, TAGS, FilterField, RuleField, Timestamp, text
from .idempotency import RepeatableView

logger = logging.getLogger(__name__)

Kind = BulkAction.Kind
CHANGES = ("add_tags", "remove_tags", "locale", "opt_out")
NO_CONDITION = (
    "The filter has no condition, so all contacts would match. To choose all of them, send"
    ' {"created_since": "1970-01-01T00:00:00Z"}.'
)


def narrowing(raw: Any) -> filters.Given:
    """The rule for the filter of a change: a variable that was left empty must not change all."""
    if not (given := filters.check(raw)):
        raise ValueError(NO_CONDITION)
    return given


class Chosen(serializers.Serializer):
    """The body of bulk-delete."""

    filter = FilterField(
        narrowing, required=True, error_messages={"required": "The filter is required."}
    )
    dry_run = RuleField(
        rules.flag, FLAG | {"description": "Only count the contacts, and change none."}
    )


class BulkChanges(Chosen):
    """The body of bulk-update: which contacts, and what changes."""

    add_tags = RuleField(rules.tags, TAGS)
    remove_tags = RuleField(rules.tags, TAGS)
    locale = RuleField(
        rules.locale, text(rules.MAX_LOCALE), required=False, help_text="Null empties it."
    )
    opt_out = RuleField(rules.flag, FLAG | {"description": "Record that they have opted out."})

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        changes = changes_in(attrs)
        if not changes:
            sentence = f"Send at least one of {', '.join(CHANGES)}."
            raise serializers.ValidationError({CHANGES[0]: [sentence]})
        if both := {*attrs["add_tags"]} & {*attrs["remove_tags"]}:
            sentence = f"The tag “{min(both)}” cannot be both added and removed."
            raise serializers.ValidationError({"remove_tags": [sentence]})
        return attrs


def changes_in(attrs: dict[str, Any]) -> dict[str, Any]:
    """What a checked body changes. An empty locale is a change, other empty values are none."""
    return {
        name: attrs[name]
        for name in CHANGES
        if attrs.get(name) or (name in attrs and name == "locale")
    }


class Refusal(serializers.Serializer):
    """A contact that a bulk action could not change."""

    phone = serializers.CharField()
    reason = serializers.CharField(help_text="A sentence for people.")

    def to_representation(self, instance: Any) -> Any:
        phone, reason = instance
        return {"phone": phone, "reason": reason}


class BulkJob(serializers.Serializer):
    """A bulk action, while it runs and afterwards."""

    id = OrNull(
        source="pk",
        help_text="Null for a dry run of a filter, which is counted at once.",
    )
    kind = serializers.ChoiceField(Kind.values)
    state = serializers.ChoiceField(BulkAction.State.values)
    dry_run = serializers.BooleanField()
    total = serializers.IntegerField(
        help_text="How many contacts it handles; pairs for merge_pairs and dismiss_pairs."
    )
    done = serializers.IntegerField(help_text="How many it has handled so far.")
    changed = serializers.IntegerField()
    unchanged = serializers.IntegerField(
        help_text="Those that were already as they should be, or that are deleted."
    )
    refused = serializers.IntegerField(help_text="Those that could not be changed, or not whole.")
    refusals = Refusal(many=True, help_text=f"The first {MAX_REFUSALS} reasons.")
    change_set = OrNull(
        source="own_change_set",
        help_text="What `undo` takes; null as long as nothing was changed.",
    )
    problem = OrNull(help_text="Why it does not go on.")
    started_at = Timestamp()
    finished_at = Timestamp(allow_null=True)


class TooManyActions(APIException):
    status_code = HTTPStatus.CONFLICT
    default_detail = str(bulk_actions.TooManyActions())


def refuse_too_many(tenant: Tenant) -> None:
    try:
        bulk_actions.refuse_too_many(tenant)
    except bulk_actions.TooManyActions as error:
        raise TooManyActions from error


class BulkView(ActionView):
    """What the actions share that change many contacts: a bulk action, as the admin starts it.

    A small one is done when the answer comes; a worker does the others.
    """

    scopes: tuple[str, ...] = (Scope.WRITE,)
    output_class = BulkJob
    success = HTTPStatus.ACCEPTED
    answer_headers = {"Location": "The address of the change, which shows its progress."}
    conflict: type[APIException] = TooManyActions

    def start(self, kind: Kind, value: str, contacts: ContactQuerySet) -> Answer:
        """Starts an action of `contacts`. `value`: see `BulkAction.value`."""
        actor = cast("ApiToken", self.request.auth).actor
        refuse_too_many(self.tenant)
        ids = packed_ids(contacts, "phone", "pk")
        action = bulk_actions.plan_packed(self.tenant, actor, kind, value, ids)
        bulk_actions.start(action)
        action.refresh_from_db()
        return self.answer(action, Location=reverse("get-bulk", args=[action.pk]))

    def rehearse(self, kind: Kind, contacts: ContactQuerySet) -> Answer:
        total, now = contacts.order_by().count(), timezone.now()
        action = BulkAction(pk="", kind=kind, dry_run=True, total=total, finished_at=now)
        return self.answer(action)

    def tag(self, name: str) -> Tag:
        """The stored tag of this name. Raises `NotFound`."""
        if not (tag := self.tenant.tags.filter(name=name).first()):
            raise NotFound(NO_TAG.format(name))
        return tag

    def carriers(self, tags: list[Tag]) -> ContactQuerySet:
        return filters.choose(self.tenant.contacts.all(), {"tags_any": tags})


class GetBulk(RepeatableView):
    """The progress of a bulk action, and its result: of the actions here, of a large undo, and of
    what the staff do to many contacts at once."""

    http_method_names = ["get", "head"]
    scopes = (Scope.READ,)
    output_class = BulkJob
    answer_headers: dict[str, str] = {}

    def get(self, request: Request, id: str) -> Answer:  # noqa: A002
        action = found_or_404(self.tenant.bulk_actions.all(), id, "Bulk action")
        return Answer(self.output_class(action).data)


class BulkUpdate(BulkView):
    """Changes all contacts that match a filter: adds and removes tags, sets the locale, opts out.

    The contacts are chosen now, and changed in the background. `undo` takes the change back, but
    for opt-outs.
    """

    input_class = BulkChanges

    def post(self, request: Request) -> Answer:
        body = self.clean(request)
        contacts = filters.chosen(self.tenant, body["filter"])
        if body["dry_run"]:
            return self.rehearse(Kind.UPDATE, contacts)
        return self.start(Kind.UPDATE, json.dumps(changes_in(body)), contacts)


class BulkDelete(BulkView):
    """Deletes all contacts that match a filter.

    The contacts are chosen now, and deleted in the background. `undo` brings them back.
    """

    scopes = (Scope.DELETE,)
    input_class = Chosen

    def post(self, request: Request) -> Answer:
        body = self.clean(request)
        contacts = filters.chosen(self.tenant, body["filter"])
        if body["dry_run"]:
            return self.rehearse(Kind.DELETE, contacts)
        return self.start(Kind.DELETE, "", contacts)


# Tags

NO_TAG = "There is no tag “{}”."


def tag_field(description: str, name: str = "tag") -> RuleField:
    return RuleField(
        rules.required_tag,
        TAG | {"minLength": 1, "description": description},
        required=True,
        error_messages={"required": f"The {name} is required."},
    )


class OneTag(serializers.Serializer):
    """The body of delete-tag."""

    tag = tag_field("The tag that is deleted.")


class NewTagName(serializers.Serializer):
    """The body of rename-tag."""

    tag = tag_field("The tag as it is called now.")
    new_tag = tag_field("Its new name.", "new_tag")

    def validate(self, attrs: dict[str, str]) -> dict[str, str]:
        if attrs["tag"] == attrs["new_tag"]:
            raise serializers.ValidationError({"new_tag": ["The new_tag is the tag itself."]})
        return attrs


class TagsToMerge(serializers.Serializer):
    """The body of merge-tags."""

    tags = RuleField(
        rules.tags, TAGS, required=True, error_messages={"required": "The tags are required."}
    )
    into = tag_field("The tag that replaces them; an unknown tag is created.", "into")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not (old := [name for name in attrs["tags"] if name != attrs["into"]]):
            raise serializers.ValidationError({"tags": ["Send at least one tag other than into."]})
        return attrs | {"tags": old}


class TagIsTaken(APIException):
    status_code = HTTPStatus.CONFLICT
    contract_code = "conflict"
    default_detail = "The tag “customers” exists already. To merge the two, use merge-tags."


class RenameTag(BulkView):
    """Gives a tag another name, on all its contacts. If a tag has the new name already, nothing is
    changed, and the answer is 409: see merge-tags."""

    input_class = NewTagName
    missing = NO_TAG.format("beta")
    conflict = TagIsTaken

    def post(self, request: Request) -> Answer:
        body = self.clean(request)
        tag, name = self.tag(body["tag"]), body["new_tag"]
        if self.tenant.tags.filter(name=name).exists():
            raise TagIsTaken(TagIsTaken.default_detail.replace("customers", name))
        return self.start(Kind.RENAME_TAG, f"{tag.name},{name}", self.carriers([tag]))


class MergeTags(BulkView):
    """Puts one tag in the place of others on all their contacts, and deletes the others."""

    input_class = TagsToMerge
    missing = NO_TAG.format("beta")

    def post(self, request: Request) -> Answer:
        body = self.clean(request)
        tags = [self.tag(name) for name in body["tags"]]
        value = ",".join([*body["tags"], body["into"]])
        return self.start(Kind.MERGE_TAGS, value, self.carriers(tags))


class DeleteTag(BulkView):
    """Removes a tag from all its contacts, and deletes it. The contacts stay."""

    input_class = OneTag
    missing = NO_TAG.format("beta")

    def post(self, request: Request) -> Answer:
        tag = self.tag(self.clean(request)["tag"])
        return self.start(Kind.DELETE_TAGS, tag.name, self.carriers([tag]))


# Erasing a person


class ErasedPerson(serializers.Serializer):
    """The answer of erase-contact. It has no phone, because it is stored where a request can be
    sent again."""

    id = OrNull(help_text="The contact that was erased; null if only files and logs were left.")
    erased = serializers.BooleanField()
    merged_into = serializers.ListField(
        child=serializers.CharField(),
        help_text="Contacts that the person was merged into: erase them too, if they are theirs.",
    )
    waiting_imports = serializers.ListField(
        child=serializers.CharField(),
        help_text="Imports that have not run yet. Their files may still have the person.",
    )
    unreadable_files = serializers.IntegerField(
        help_text="Error files of imports that could not be searched; the log has their names."
    )


class EraseContact(ActionView):
    """Erases a person: the contact, and what the logs, imports, exports and stored answers say.

    No undo brings the person back, and no import creates a contact with one of the phones again.
    A contact that was deleted before is not found; the admin and the command `erase_contact` erase
    what is left of it.
    """

    scopes = (Scope.DELETE,)
    rights = ("contacts.add_erasure",)
    input_class = ContactKey
    output_class = ErasedPerson

    def post(self, request: Request) -> Answer:
        key = self.clean(request)["key"]
        contact, phone = self.person(key)
        erased = erasing.erase(self.tenant, phone)
        if erased.unreadable:
            logger.error("Delete these files, which could not be searched: %s", erased.unreadable)
        others = self.tenant.contacts.filter(phone__in=erased.merged_into).order_by("pk")
        return self.answer({
            "id": contact.pk if contact else "",
            "erased": True,
            "merged_into": [*others.values_list("pk", flat=True)],
            "waiting_imports": [job.pk for job in erased.waiting],
            "unreadable_files": len(erased.unreadable),
        })  # fmt: skip

    def person(self, key: dict[str, str]) -> tuple[Contact | None, str]:
        """The contact that `key` names, and its phone. If a phone was erased before, there is no
        contact: its files are searched again, for a server that was killed meanwhile.

        Raises `Contact.DoesNotExist`: with a mistyped phone, imports would leave out a stranger.
        """
        try:
            contact = self.with_contact(key, lambda key: self.tenant.contacts.find(**key))
        except Contact.DoesNotExist:
            if (phone := key.get("phone")) and self.tenant.erasures.of([phone]):
                return None, phone
            raise
        return contact, contact.phone
