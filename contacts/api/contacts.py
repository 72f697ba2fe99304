"""The actions on one contact: the shapes of their bodies, of their answers, and the views. One
module, because the actions share the shapes of a key and of a contact."""

from collections.abc import Callable
from functools import cached_property
from http import HTTPStatus
from typing import Any, cast

from django.utils import timezone
from rest_framework import serializers
from rest_framework.exceptions import APIException
from rest_framework.fields import Field
from rest_framework.request import Request

from contacts import schema
from contacts.models import Change, Contact, look_up
from contacts.schema import Shape
from contacts.values import rules
from contacts.writing import (
    change_phone,
    consent,
    delete,
    edit,
    former_phones,
    messages,
    tags,
    upsert,
)
from contacts.writing.consent import Decision
from tenants.answers import Answer

from .actions import ActionView, Scope
from .consistency import STRONG
from .examples import ROMAIN
from .fields import (
    CONSENT_STATUS,
    CONTACT_ID,
    EMAIL,
    FLAG,
    METADATA,
    MOMENT,
    TAG,
    TAGS,
    PhoneField,
    RuleField,
    TagNames,
    Timestamp,
    inputs,
    outputs,
    text,
)

FORMER_PHONE = "Qyvo-Former-Phone"
MISSING = object()
KEPT = {field.name for field in schema.FIELDS if field.is_kept}


class ContactInput(serializers.Serializer):
    """The body of create-contact. A field that is left out is emptied, but for the locale, which
    stays; the phone is required."""

    def get_fields(self) -> dict[str, Field]:
        return inputs(Shape.CREATE) | super().get_fields()

    @cached_property
    def checks(self) -> dict[str, Callable[[Any], Any]]:
        fields = cast("dict[str, RuleField]", self.fields)
        return {name: field.rule for name, field in fields.items()}

    def run_validation(self, data: Any = serializers.empty) -> dict[str, Any]:
        """Checks the body with the rules of the fields; a missing field counts as None.

        Returns the same as `run_validation` of DRF, in a fraction of its time: DRF looks up the
        source, the validators and the instance for each field. create-contact is called more often
        than any other action.
        """
        values, errors = {}, {}
        for name, check in self.checks.items():
            if name in KEPT and name not in data:
                continue
            try:
                values[name] = check(data.get(name))
            except ValueError as error:
                errors[name] = [str(error)]
        if errors:
            raise serializers.ValidationError(errors)
        return values


class ContactKey(serializers.Serializer):
    """Which contact is meant."""

    # The first of these fields that has a value decides: it becomes `validated_data["key"]`, and
    # the others are ignored.
    keys = ["contact_id", "phone"]

    contact_id = RuleField(rules.contact_id, CONTACT_ID, required=False)
    phone = PhoneField(required=False)

    def to_internal_value(self, data: dict[str, Any]) -> dict[str, Any]:
        deciding = next((name for name in self.keys if data.get(name) not in (None, "")), None)
        if deciding is None:
            sentence = f"Send {' or '.join(self.keys)}: it says which contact is meant."
            raise serializers.ValidationError({self.keys[0]: [sentence]})
        ignored = {*self.keys} - {deciding}
        values = super().to_internal_value({k: v for k, v in data.items() if k not in ignored})
        if not values[deciding]:  # only whitespace was sent
            raise serializers.ValidationError({deciding: [f"The {deciding} is empty."]})
        return values | {"key": {deciding: values.pop(deciding)}}


class ContactLookup(ContactKey):
    """The body of get-contact."""

    keys = ["contact_id", "phone", "email"]
    parts = ["former_phones"]

    email = RuleField(rules.email, EMAIL, required=False)
    include = RuleField(
        lambda raw: rules.choices(raw, ContactLookup.parts),
        {
            "type": ["array", "null"],
            "items": {"type": "string", "enum": parts},
            "description": "What the answer has besides.",
        },
    )


class FormerPhoneInput(serializers.Serializer):
    """The body of remove-former-phone."""

    contact_id = RuleField(
        rules.required_contact_id,
        CONTACT_ID | {"type": "string", "minLength": 1},
        required=True,
        error_messages={"required": "The contact_id is required."},
    )
    phone = PhoneField()


class NewPhone(PhoneField):
    """The phone that a contact gets instead of its own."""

    def to_internal_value(self, data: Any) -> Any:
        if data in (None, ""):
            sentence = "The new_phone is empty. Leave it out if the phone stays."
            raise serializers.ValidationError(sentence)
        return super().to_internal_value(data)


class ContactChanges(ContactKey):
    """The body of update-contact. A field that is left out stays unchanged."""

    new_phone = NewPhone(required=False)
    keep_former = RuleField(
        rules.flag,
        FLAG | {"description": "With `new_phone`: the contact is also found by the old phone."},
    )

    def get_fields(self) -> dict[str, Field]:
        # Unlike create-contact, which replaces the metadata, update-contact merges it.
        merged = RuleField(rules.metadata_changes, METADATA, required=False)
        changes = inputs(Shape.UPDATE, required=False) | {"metadata": merged}
        return super().get_fields() | changes


class TagOfContact(ContactKey):
    """The body of add-tag and remove-tag: one tag, or several at once."""

    tag = RuleField(lambda raw: "" if raw is None else rules.tag(raw), TAG, required=False)
    tags = RuleField(rules.tags, TAGS, required=False)

    def to_internal_value(self, data: dict[str, Any]) -> dict[str, Any]:
        """The names are in `tags`. `tag` decides: who sends it may send a whole contact, and
        remove-tag would take all its tags away."""
        if data.get("tag") not in (None, ""):
            data = {name: value for name, value in data.items() if name != "tags"}
        values = super().to_internal_value(data)
        name = values.pop("tag", "")
        names = [name] if name else values.get("tags")
        if not names:
            raise serializers.ValidationError({"tag": ["The tag is required."]})
        return values | {"tags": names}


class Consented(serializers.Serializer):
    """A decision on consent that is to be recorded."""

    AT = "When the person decided; not in the future. Default: now."

    status = RuleField(
        lambda raw: Change.Kind(rules.choice(raw, CONSENT_STATUS)),
        {"type": "string", "enum": CONSENT_STATUS},
        required=True,
        error_messages={"required": "The status is required."},
    )
    at = RuleField(
        lambda raw: rules.decided(raw) or timezone.now(),
        MOMENT,
        help_text=AT,
    )
    source = RuleField(  # type: ignore[assignment]
        lambda raw: rules.limited("source", raw, rules.MAX_CONSENT_SOURCE),
        text(rules.MAX_CONSENT_SOURCE),
        help_text="Where the person decided: a form, a campaign.",
    )
    proof = RuleField(
        lambda raw: rules.limited("proof", raw, rules.MAX_PROOF), text(rules.MAX_PROOF)
    )


class ConsentInput(ContactKey, Consented):
    """The body of record-consent."""

    at = RuleField(rules.decided, MOMENT, help_text=Consented.AT)


class ContactReference(serializers.Serializer):
    """The first two keys of every answer about one contact."""

    id = serializers.CharField()
    phone = serializers.CharField()


class ShownContact(serializers.Serializer):
    """A contact in an answer: its id, and the fields that the schema declares for the `shape`."""

    shape: Shape

    id = serializers.CharField()

    def get_fields(self) -> dict[str, Field]:
        return super().get_fields() | outputs(self.shape)

    @cached_property
    def writers(self) -> dict[str, Callable[[Any], Any]]:
        return {name: field.to_representation for name, field in self.fields.items()}

    def to_representation(self, contact: Contact) -> dict[str, Any]:
        """The same as `to_representation` of DRF, in a fraction of its time: see `ContactInput`.
        A field that the contact does not have is left out."""
        values = {name: getattr(contact, name, MISSING) for name in self.writers}
        return {
            name: None if value is None else self.writers[name](value)
            for name, value in values.items()
            if value is not MISSING
        }


class ContactSummary(ShownContact):
    """What create-contact answers: exactly these six keys."""

    shape = Shape.CREATED


class UpdatedContact(ShownContact):
    """What update-contact answers."""

    shape = Shape.UPDATED


class ContactDetail(ShownContact):
    """What get-contact answers: all there is of a contact; `former_phones` only if the body asks
    for them."""

    shape = Shape.DETAIL

    def get_fields(self) -> dict[str, Field]:
        former = serializers.ListField(child=serializers.CharField(), required=False)
        return super().get_fields() | {"former_phones": former}


class RemovedFormerPhone(ContactReference):
    """The answer of remove-former-phone: the former phones that are left."""

    former_phones = serializers.ListField(child=serializers.CharField())


class TagAdded(ContactReference):
    """The answer of add-tag."""

    tag_added = serializers.CharField()
    tags = TagNames()


class TagRemoved(ContactReference):
    """The answer of remove-tag."""

    tag_removed = serializers.CharField()
    tags = TagNames()


class MessageInput(ContactKey):
    """The body of record-message."""

    at = RuleField(
        rules.decided,
        MOMENT,
        help_text="When the message was sent; not in the future. Default: now.",
    )


class Messages(serializers.Serializer):
    """The answer of record-message."""

    last_message_at = Timestamp()
    total_messages = serializers.IntegerField()


class DeletedContact(ContactReference):
    """The answer of delete-contact."""

    deleted = serializers.BooleanField()


class Consent(ContactReference):
    """The answer of record-consent: the decisions that count now."""

    opted_in_at = Timestamp(allow_null=True)
    opted_out_at = Timestamp(allow_null=True)


class CreateContact(ActionView):
    """Upserts a contact by phone.

    The status is 201 for a new and for an existing contact; a header says which of them it was.
    """

    scopes = (Scope.WRITE,)
    input_class = ContactInput
    output_class = ContactSummary
    success = HTTPStatus.CREATED
    answer_headers = {
        "Qyvo-Result": "`created`, `updated` or `unchanged`.",
        FORMER_PHONE: "The phone that was sent, in E.164, if the contact had it before; `phone` in "
        "the answer is the current one.",
    }

    def post(self, request: Request) -> Answer:
        fields = self.clean(request)
        phone = fields.pop("phone")
        source = {"source": Contact.Source.API}
        contact = upsert.update_or_create(self.tenant, phone, fields, only_if_new=source)
        if contact.phone != phone:
            self.headers[FORMER_PHONE] = phone
        return Answer(self.shown(contact), self.success, {"Qyvo-Result": contact.outcome})


class PhoneIsTaken(APIException):
    status_code = HTTPStatus.CONFLICT
    contract_code = "conflict"
    default_detail = change_phone.TAKEN.format(
        phone=ROMAIN["phone"], how="", contact_id=ROMAIN["id"]
    )


class UpdateContact(ActionView):
    """Changes the fields that the body contains; merges metadata."""

    scopes = (Scope.WRITE,)
    input_class = ContactChanges
    output_class = UpdatedContact
    conflict = PhoneIsTaken

    def post(self, request: Request) -> Answer:
        changes = self.clean(request)
        key = changes.pop("key")
        try:
            return self.answer(self.with_contact(key, lambda key: self.change(key, **changes)))
        except change_phone.PhoneTaken as error:
            raise PhoneIsTaken(str(error)) from error

    def change(
        self, key: dict[str, str], keep_former: bool, new_phone: str = "", **changes: Any
    ) -> Contact:
        if not new_phone:
            return edit.change_one(self.tenant, key, changes)
        return change_phone.change_one(
            self.tenant, key, new_phone, changes, keep_former=keep_former
        )


class GetContact(ActionView):
    """Everything about one contact."""

    scopes = (Scope.READ,)
    consistency = STRONG
    input_class = ContactLookup
    output_class = ContactDetail

    def post(self, request: Request) -> Answer:
        fields = self.clean(request)
        contact = self.with_contact(fields["key"], lambda key: look_up(self.tenant, key))
        if fields["include"]:
            Contact.all_phones.add_former_phones([contact])
        return Answer(self.shown(contact))


class RemoveFormerPhone(ActionView):
    """Releases a former phone of a contact: numbers are given to new people. From then on the phone
    finds nobody, and create-contact with it makes a new contact."""

    scopes = (Scope.WRITE,)
    input_class = FormerPhoneInput
    output_class = RemovedFormerPhone

    def post(self, request: Request) -> Answer:
        fields = self.clean(request)
        contact = self.with_contact(
            {"contact_id": fields["contact_id"]},
            lambda key: former_phones.release(self.tenant, key, fields["phone"]),
        )
        Contact.all_phones.add_former_phones([contact])
        return self.answer(contact)


class TagAction(ActionView):
    """What add-tag and remove-tag have in common.

    `done`: the key of the answer that has the tag.
    """

    scopes = (Scope.WRITE,)
    input_class = TagOfContact
    done: str

    def post(self, request: Request) -> Answer:
        fields = self.clean(request)
        names = fields["tags"]
        contact = self.with_contact(fields["key"], lambda key: self.act(key, names))
        head = {"id": contact.pk, "phone": contact.phone, "tags": contact.tags}
        return self.answer(head | {self.done: ", ".join(names)})

    def act(self, key: dict[str, str], names: list[str]) -> Contact:
        """Adds or removes the tags; returns the contact that `key` names."""
        raise NotImplementedError


class AddTag(TagAction):
    """Adds a tag to a contact. Adding a tag that the contact has changes nothing."""

    output_class = TagAdded
    done = "tag_added"

    def act(self, key: dict[str, str], names: list[str]) -> Contact:
        return tags.add_tags(self.tenant, key, *names)


class RemoveTag(TagAction):
    """Removes a tag from a contact. The tag itself stays."""

    output_class = TagRemoved
    done = "tag_removed"

    def act(self, key: dict[str, str], names: list[str]) -> Contact:
        return tags.remove_tags(self.tenant, key, *names)


class RecordConsent(ActionView):
    """Records that a person has opted in or out. The decision with the latest `at` counts.

    A decision that is older than the one that counts is recorded and changes nothing. Without `at`,
    the decision that counts is not recorded again.
    """

    scopes = (Scope.WRITE,)
    input_class = ConsentInput
    output_class = Consent

    def post(self, request: Request) -> Answer:
        fields = self.clean(request)
        key, at = fields.pop("key"), fields.pop("at")
        decision = Decision(at=at or timezone.now(), **fields)
        record = consent.decide_one if at else consent.decide_now
        decided = self.with_contact(key, lambda key: record(self.tenant, key, decision))
        return self.answer(decided)


class RecordMessage(ActionView):
    """Records that a message was exchanged with a contact. The later time becomes its
    `last_message_at`, and `total_messages` grows by one.

    Nothing is written to the change log: webhooks, list-changes and undo do not know of messages.
    `updated_at` changes, so list-contacts shows the contact again.
    """

    scopes = (Scope.WRITE,)
    input_class = MessageInput
    output_class = Messages

    def post(self, request: Request) -> Answer:
        fields = self.clean(request)
        at = fields["at"] or timezone.now()
        key = fields["key"]
        return self.answer(
            self.with_contact(key, lambda key: messages.record(self.tenant, key, at))
        )


class DeleteContact(ActionView):
    """Deletes a contact permanently. Its tags stay."""

    scopes = (Scope.DELETE,)
    input_class = ContactKey
    output_class = DeletedContact

    def post(self, request: Request) -> Answer:
        key = self.clean(request)["key"]
        contact = self.with_contact(key, lambda key: delete.delete_one(self.tenant, key))
        return self.answer({"id": contact.pk, "phone": contact.phone, "deleted": True})
