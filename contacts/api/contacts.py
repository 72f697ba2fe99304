"""The actions on one contact."""

from collections.abc import Callable
from functools import cached_property
from http import HTTPStatus
from typing import Any, cast

from django.utils import timezone
from rest_framework import serializers
from rest_framework.fields import Field
from rest_framework.request import Request
from rest_framework.response import Response

from contacts.models import Change, Contact, Decision
from contacts.schema import Shape
from contacts.values import rules

from .actions import ActionView, Scope
from .fields import (
    CONSENT_STATUS,
    CONTACT_ID,
    EMAIL,
    METADATA,
    MOMENT,
    TAG,
    PhoneField,
    RuleField,
    Timestamp,
    choice,
    inputs,
    outputs,
    text,
)


class ContactInput(serializers.Serializer):
    """The body of create-contact. Every field but the phone is emptied when left out."""

    def get_fields(self) -> dict[str, Field]:
        return inputs(Shape.CREATE) | super().get_fields()

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

    def get_fields(self) -> dict[str, Field]:
        # Unlike create-contact, which replaces the metadata, update-contact merges it.
        merged = RuleField(rules.metadata_changes, METADATA, required=False)
        changes = inputs(Shape.UPDATE, required=False) | {"metadata": merged}
        return super().get_fields() | changes


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


class ShownContact(serializers.Serializer):
    """A contact in an answer: its id, and the fields that the schema declares for the `shape`."""

    shape: Shape

    id = serializers.CharField()

    def get_fields(self) -> dict[str, Field]:
        return super().get_fields() | outputs(self.shape)


class ContactSummary(ShownContact):
    """What create-contact answers: exactly these six keys."""

    shape = Shape.CREATED


class UpdatedContact(ShownContact):
    """What update-contact answers."""

    shape = Shape.UPDATED


class ContactDetail(ShownContact):
    """What get-contact answers: all there is of a contact."""

    shape = Shape.DETAIL


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
        # Past `tenant.contacts`, which would first build the query that finds them all: 5 %.
        contact, _ = Contact.objects.update_or_create(
            tenant=self.tenant,
            phone=fields.pop("phone"),
            defaults=fields,
            create_defaults={"source": Contact.Source.API},
        )
        return self.answer(contact, **{"Qyvo-Result": contact.outcome})


class UpdateContact(ActionView):
    """Changes only what the body names; metadata is merged."""

    scopes = (Scope.WRITE,)
    input_class = ContactChanges
    output_class = UpdatedContact

    def post(self, request: Request) -> Response:
        changes = self.clean(request)
        key, contacts = changes.pop("key"), self.tenant.contacts
        changed = self.with_contact(key, lambda key: contacts.change_one(key, changes))
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
        return self.tenant.contacts.add_tag(key, tag)


class RemoveTag(TagAction):
    """Takes a tag off a contact; the tag itself stays."""

    output_class = TagRemoved
    done = "tag_removed"

    def act(self, key: dict[str, str], tag: str) -> Contact:
        return self.tenant.contacts.remove_tag(key, tag)


class RecordConsent(ActionView):
    """Records that a person has opted in or out; the latest decision by its own time counts.

    One that is older than that is recorded, and changes nothing.
    """

    scopes = (Scope.WRITE,)
    input_class = ConsentInput
    output_class = Consent

    def post(self, request: Request) -> Response:
        fields = self.clean(request)
        key, contacts = fields.pop("key"), self.tenant.contacts
        decision = Decision(**fields)
        return self.answer(self.with_contact(key, lambda key: contacts.decide_one(key, decision)))


class DeleteContact(ActionView):
    """Deletes a contact for good; its tags stay."""

    scopes = (Scope.DELETE,)
    input_class = ContactKey
    output_class = DeletedContact

    def post(self, request: Request) -> Response:
        key = self.clean(request)["key"]
        contact = self.with_contact(key, self.tenant.contacts.delete_one)
        return self.answer({"id": contact.pk, "phone": contact.phone, "deleted": True})
