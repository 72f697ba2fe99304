"""get-contacts and list-fields: the shapes of bodies and answers, and the views."""

from collections.abc import Callable
from typing import Any

from rest_framework import serializers
from rest_framework.fields import Field
from rest_framework.request import Request

from contacts.finding import lookup, metadata_keys
from contacts.models import Contact
from contacts.schema import Shape
from contacts.values import rules
from tenants.answers import Answer

from .actions import ActionView, Scope
from .contacts import ShownContact
from .fields import EMAIL, ID, PHONE, RuleField, Sought

MAX_KEYS = 500  # contacts that get-contacts finds at once
WANTED = ("contact_ids", "phones", "emails")

Asked = dict[str, str]  # what is looked for -> how the caller has spelled it


class Keys(RuleField):
    """A list of keys of contacts. `of_one`: the rule for one of them, and the region."""

    def __init__(self, of_one: Callable[[Any, str], str], schema: dict[str, Any]) -> None:
        listed = {"type": ["array", "null"], "items": schema, "maxItems": MAX_KEYS}
        super().__init__(lambda raw: self.read(raw, of_one), listed)

    def read(self, raw: Any, of_one: Callable[[Any, str], str]) -> Asked:
        """Names the place of the first bad key: the others are of no use without it."""
        keys = [] if raw in (None, "") else raw
        if not isinstance(keys, list):
            raise ValueError("Send a list.")  # noqa: TRY004
        if len(keys) > MAX_KEYS:
            raise ValueError(f"At most {MAX_KEYS} are looked up at once; {len(keys)} were sent.")
        asked: Asked = {}
        for number, key in enumerate(keys):
            try:
                asked.setdefault(of_one(key, self.context.get("region", "")), key)
            except ValueError as error:
                raise ValueError(f"[{number}]: {error}") from error
        return asked


def required_email(raw: Any, region: str) -> str:
    if not (email := rules.email(raw)):
        raise ValueError("The email is empty.")
    return email


class ManyKeys(serializers.Serializer):
    """The body of get-contacts."""

    contact_ids = Keys(lambda raw, region: rules.required_contact_id(raw), ID)
    phones = Keys(rules.phone, PHONE)
    emails = Keys(required_email, EMAIL | {"type": "string", "minLength": 1})

    def validate(self, attrs: dict[str, Asked]) -> dict[str, Asked]:
        number = sum(len(attrs[name]) for name in WANTED)
        if not number:
            sentence = f"Send at least one of {', '.join(WANTED)}."
            raise serializers.ValidationError({"contact_ids": [sentence]})
        if number > MAX_KEYS:
            sentence = f"At most {MAX_KEYS} contacts are looked up at once; {number} were asked."
            name = max(WANTED, key=lambda name: len(attrs[name]))
            raise serializers.ValidationError({name: [sentence]})
        return attrs


class FoundByKey(ShownContact):
    """One contact of get-contacts."""

    shape = Shape.DETAIL

    def get_fields(self) -> dict[str, Field]:
        former = serializers.ListField(child=serializers.CharField())
        return super().get_fields() | {"former_phones": former}


class FoundContacts(serializers.Serializer):
    """The answer of get-contacts."""

    data = FoundByKey(many=True)  # type: ignore[assignment]
    not_found = serializers.ListField(
        child=serializers.CharField(),
        help_text="The keys that no contact has, as the request spelled them.",
    )


class GetContacts(ActionView):
    """Looks up to 500 contacts up by ids, phones and e-mails, in this order.

    A contact comes once, at the first place where it was asked for. Each key finds what get-contact
    finds with it.
    """

    scopes = (Scope.READ,)
    max_body_bytes = 2 * 1024 * 1024  # 500 of the longest keys: links with a phone in them
    input_class = ManyKeys
    output_class = FoundContacts

    def post(self, request: Request) -> Answer:
        asked = self.clean(request)
        found, not_found = dict[str, Contact](), list[str]()
        for name, look_up in zip(
            WANTED, (lookup.by_ids, lookup.by_phones, lookup.by_emails), strict=True
        ):
            contacts = look_up(self.tenant, asked[name])
            for key, spelled in asked[name].items():
                if key in contacts:
                    found.setdefault(contacts[key].pk, contacts[key])
                else:
                    not_found.append(str(spelled))
        Contact.all_phones.add_former_phones([*found.values()])
        return self.answer({"data": [*found.values()], "not_found": not_found})


class FieldsInput(serializers.Serializer):
    """The body of list-fields and list-views."""

    name = Sought("name")


class MetadataKey(serializers.Serializer):
    """A key of metadata."""

    key = serializers.CharField()
    count = serializers.IntegerField(
        source="number", help_text="How many contacts of the sample have it."
    )
    type = serializers.ChoiceField([*metadata_keys.TYPES.values()], help_text="Of a recent value.")
    example = serializers.JSONField(
        help_text="This value; null if it is long, a list or an object."
    )


class FieldList(serializers.Serializer):
    """The answer of list-fields."""

    data = MetadataKey(many=True)  # type: ignore[assignment]
    contacts = serializers.IntegerField(help_text="The size of the sample.")
    is_complete = serializers.BooleanField(
        help_text="Whether the sample has all contacts, and `data` all their keys."
    )


class ListFields(ActionView):
    """Lists the keys of metadata that are in use, the most frequent first, at most 500.

    They come from a sample of at most 2,000 contacts: the 1,000 that changed last, and the 1,000
    that have not changed for longest. A key that only other contacts have is missing. `name`: a
    part of the key; upper and lower case are equal.
    """

    scopes = (Scope.READ,)
    input_class = FieldsInput
    output_class = FieldList

    def post(self, request: Request) -> Answer:
        sample = metadata_keys.read(self.tenant, self.clean(request)["name"])
        return self.answer(
            {"data": sample.keys, "contacts": sample.contacts, "is_complete": sample.is_complete}
        )
