"""The actions on one contact."""

from collections.abc import Callable
from functools import cached_property
from http import HTTPStatus
from typing import Any, cast

from django.utils import timezone
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from contacts.models import Change, Contact
from contacts.values import rules
from contacts.writing import consent, delete, edit, tags, upsert
from contacts.writing.consent import Decision
from tenants.serializers import OrNull

from .actions import ActionView, Scope
from .fields import (
    CONSENT_STATUS,
    CONTACT_ID,
    EMAIL,
    METADATA,
    MOMENT,
    TAG,
    TAGS,
    PhoneField,
    RuleField,
    Timestamp,
    choice,
    text,
)


class ContactInput(serializers.Serializer):
    """The body of create-contact. Every field but the phone is emptied when left out."""

    phone = PhoneField()
    name = RuleField(rules.name, text(rules.MAX_NAME))
    email = RuleField(rules.email, EMAIL)
    tags = RuleField(rules.tags, TAGS)
    metadata = RuleField(rules.metadata, METADATA)

    @cached_property
    def cleaners(self) -> dict[str, Callable[[Any], Any]]:
        fields = cast("dict[str, RuleField]", self.fields)
        return {name: field.rule for name, field in fields.items()}

    def run_validation(self, data: Any = serializers.empty) -> dict[str, Any]:
        """What DRF's own loop comes to for fields that are rules, which take what is left out as
        None. In a fraction of the time: that also asks each for its source, validators and
        instance."""
        values, errors = {}, {}
        for name, clean in self.cleaners.items():
            try:
                values[name] = clean(data.get(name))
            except ValueError as error:
                errors[name] = [str(error)]
        if errors:
            raise serializers.ValidationError(errors)
        return values


class ContactKey(serializers.Serializer):
    """Which contact is meant."""

    # The first of them that has a value says it, as `validated_data["key"]`; the other ones
    # are not looked at.
    keys = ["contact_id", "phone"]

    contact_id = RuleField(rules.contact_id, CONTACT_ID, required=False)
    phone = PhoneField(required=False)

    def to_internal_value(self, data: dict[str, Any]) -> dict[str, Any]:
        deciding = next((name for name in self.keys if data.get(name) not in (None, "")), None)
        if deciding is None:
            sentence = f"Send {' or '.join(self.keys)}: it says which contact is meant."
            raise serializers.ValidationError({self.keys[0]: [sentence]})
        others = {*self.keys} - {deciding}
        values = super().to_internal_value({k: v for k, v in data.items() if k not in others})
        if not values[deciding]:  # blanks only
            raise serializers.ValidationError({deciding: [f"The {deciding} is empty."]})
        return values | {"key": {deciding: values.pop(deciding)}}


class ContactLookup(ContactKey):
    """The body of get-contact."""

    keys = ["contact_id", "phone", "email"]

    email = RuleField(rules.email, EMAIL, required=False)


class ContactChanges(ContactKey):
    """The body of update-contact: what is left out stays as it is."""

    name = RuleField(rules.name, text(rules.MAX_NAME), required=False)
    email = RuleField(rules.email, EMAIL, required=False)
    tags = RuleField(rules.tags, TAGS, required=False)
    metadata = RuleField(rules.metadata_changes, METADATA, required=False)


class TagOfContact(ContactKey):
    """The body of add-tag and remove-tag."""

    tag = RuleField(
        rules.required_tag,
        TAG | {"minLength": 1, "description": "One tag; an unknown one is created."},
        required=True,
        error_messages={"required": "The tag is required."},
    )


class Consented(serializers.Serializer):
    """A decision to be recorded."""

    status = RuleField(
        lambda raw: Change.Kind(choice(raw, CONSENT_STATUS)),
        {"type": "string", "enum": CONSENT_STATUS},
        required=True,
        error_messages={"required": "The status is required."},
    )
    at = RuleField(
        lambda raw: rules.decided(raw) or timezone.now(),
        MOMENT,
        help_text="When it was decided; not in the future. Default: now.",
    )
    source = RuleField(  # type: ignore[assignment]
        lambda raw: rules.limited("source", raw, rules.MAX_CONSENT_SOURCE),
        text(rules.MAX_CONSENT_SOURCE),
        help_text="By which way: a form, a campaign.",
    )
    proof = RuleField(
        lambda raw: rules.limited("proof", raw, rules.MAX_PROOF), text(rules.MAX_PROOF)
    )


class ConsentInput(ContactKey, Consented):
    """The body of record-consent."""


class ContactHead(serializers.Serializer):
    """What every answer about one contact begins with."""

    id = serializers.CharField()
    phone = serializers.CharField()
    name = OrNull()
    email = OrNull()
    tags = serializers.ListField(child=serializers.CharField())


class ContactSummary(ContactHead):
    """What create-contact answers: exactly these six keys."""

    created_at = Timestamp()


class UpdatedContact(ContactHead):
    """What update-contact answers."""

    updated_at = Timestamp()


class ContactDetail(serializers.Serializer):
    """What get-contact answers: all there is of a contact."""

    id = serializers.CharField()
    phone = serializers.CharField()
    name = OrNull()
    email = OrNull()
    source = serializers.CharField()  # type: ignore[assignment]
    locale = OrNull()
    metadata = serializers.DictField()
    tags = serializers.ListField(child=serializers.CharField())
    opted_in_at = Timestamp(allow_null=True)
    opted_out_at = Timestamp(allow_null=True)
    last_message_at = Timestamp(allow_null=True)
    total_messages = serializers.IntegerField()
    created_at = Timestamp()


class TagAdded(serializers.Serializer):
    """What add-tag answers."""

    id = serializers.CharField()
    phone = serializers.CharField()
    tag_added = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())


class TagRemoved(serializers.Serializer):
    """What remove-tag answers."""

    id = serializers.CharField()
    phone = serializers.CharField()
    tag_removed = serializers.CharField()
    tags = serializers.ListField(child=serializers.CharField())


class DeletedContact(serializers.Serializer):
    """What delete-contact answers."""

    id = serializers.CharField()
    phone = serializers.CharField()
    deleted = serializers.BooleanField()


class Consent(serializers.Serializer):
    """What record-consent answers: what is in force."""

    id = serializers.CharField()
    phone = serializers.CharField()
    opted_in_at = Timestamp(allow_null=True)
    opted_out_at = Timestamp(allow_null=True)


class CreateContact(ActionView):
    """Upserts a contact by phone: 201 either way, and a header that tells which it was."""

    scopes = (Scope.WRITE,)
    input_class = ContactInput
    output_class = ContactSummary
    success = HTTPStatus.CREATED
    answer_headers = {"Qyvo-Result": "`created`, `updated` or `unchanged`."}

    def post(self, request: Request) -> Response:
        fields = self.clean(request)
        phone = fields.pop("phone")
        source = {"source": Contact.Source.API}
        contact = upsert.update_or_create(self.tenant, phone, fields, only_if_new=source)
        return self.answer(contact, **{"Qyvo-Result": contact.outcome})


class UpdateContact(ActionView):
    """Changes only what the body names; metadata is merged."""

    scopes = (Scope.WRITE,)
    input_class = ContactChanges
    output_class = UpdatedContact

    def post(self, request: Request) -> Response:
        changes = self.clean(request)
        key = changes.pop("key")
        changed = self.with_contact(key, lambda key: edit.change_one(self.tenant, key, changes))
        return self.answer(changed)


class GetContact(ActionView):
    """All there is of one contact."""

    scopes = (Scope.READ,)
    input_class = ContactLookup
    output_class = ContactDetail

    def post(self, request: Request) -> Response:
        key, contacts = self.clean(request)["key"], self.tenant.contacts
        return self.answer(self.with_contact(key, lambda key: contacts.find(**key)))


class TagAction(ActionView):
    """What adding and removing a tag have in common; `done` is the answer's word for it."""

    scopes = (Scope.WRITE,)
    input_class = TagOfContact
    done: str

    def post(self, request: Request) -> Response:
        fields = self.clean(request)
        contact = self.with_contact(fields["key"], lambda key: self.act(key, fields["tag"]))
        head = {"id": contact.pk, "phone": contact.phone, "tags": contact.tags}
        return self.answer(head | {self.done: fields["tag"]})

    def act(self, key: dict[str, str], tag: str) -> Contact:
        raise NotImplementedError


class AddTag(TagAction):
    """Puts a tag on a contact; twice is once."""

    output_class = TagAdded
    done = "tag_added"

    def act(self, key: dict[str, str], tag: str) -> Contact:
        return tags.add_tag(self.tenant, key, tag)


class RemoveTag(TagAction):
    """Takes a tag off a contact; the tag itself stays."""

    output_class = TagRemoved
    done = "tag_removed"

    def act(self, key: dict[str, str], tag: str) -> Contact:
        return tags.remove_tag(self.tenant, key, tag)


class RecordConsent(ActionView):
    """Records that a person has opted in or out; the latest decision by its own time counts.

    One that is older than that is recorded, and changes nothing.
    """

    scopes = (Scope.WRITE,)
    input_class = ConsentInput
    output_class = Consent

    def post(self, request: Request) -> Response:
        fields = self.clean(request)
        key, decision = fields.pop("key"), Decision(**fields)
        decided = self.with_contact(key, lambda key: consent.decide_one(self.tenant, key, decision))
        return self.answer(decided)


class DeleteContact(ActionView):
    """Deletes a contact for good; its tags stay."""

    scopes = (Scope.DELETE,)
    input_class = ContactKey
    output_class = DeletedContact

    def post(self, request: Request) -> Response:
        key = self.clean(request)["key"]
        contact = self.with_contact(key, lambda key: delete.delete_one(self.tenant, key))
        return self.answer({"id": contact.pk, "phone": contact.phone, "deleted": True})
