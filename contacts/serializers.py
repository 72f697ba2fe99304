"""Shapes in and out. Whatever comes from outside passes one of these."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, cached_property
from typing import Any, cast

from django.core.exceptions import ValidationError
from django.core.files.uploadedfile import UploadedFile
from django.utils import timezone
from rest_framework import serializers

from tenants.models import validate_region
from tenants.serializers import OrNull

from . import columns, rules, tabular, webhooks
from .changes import MOMENTS, Change, Tombstone
from .models import Import, Outcome

Schema = dict[str, Any]  # JSON Schema, as OpenAPI 3.1 has it


def or_empty(schema: Schema) -> Schema:
    """What `schema` admits, and both ways to send nothing."""
    return {"anyOf": [schema, {"enum": ["", None]}]}


def trimmed(most: int, of: str = r"[\s\S]") -> Schema:
    """A string of at most `most` characters `of` a class, blanks around it not counted."""
    return {"type": "string", "pattern": rf"^\s*{of}{{0,{most}}}\s*$"}


def text(most: int) -> Schema:
    description = f"At most {most} characters after trimming."
    return trimmed(most) | {"type": ["string", "null"], "description": description}


@cache
def shared(kind: type[serializers.Serializer], region: str = "") -> serializers.Serializer:
    """The one serializer of this kind for all callers with this default `region`: it keeps nothing
    of what it reads or shows, and to make one costs as much as to read a body."""
    return kind(context={"region": region})


ULID_OR_UUID = (
    "^([0-7][0-9A-HJKMNP-TV-Za-hjkmnp-tv-z]{25}"
    "|[0-9A-Fa-f]{8}-?([0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}|)$"
)
CONTACT_ID = {
    "type": ["string", "null"],
    "pattern": ULID_OR_UUID,
    "description": "A ULID, in either case, or the same as a UUID. Decides when both are sent.",
}
PHONE = {
    "type": "string",
    "minLength": 1,
    "maxLength": rules.MAX_PHONE,
    "description": "In any spelling, with `+` or `00` and the country code, unless your tenant has "
    "a default region.",
}
EMAIL = or_empty({"type": "string", "format": "email", "maxLength": rules.MAX_EMAIL})
TAG = trimmed(rules.MAX_TAG, of="[^,]")
TAGS = {
    "anyOf": [{"type": "array", "items": TAG}, {"type": ["string", "null"]}],
    "description": f"Comma-separated or a list; at most {rules.MAX_TAGS}. Order is kept, "
    "repetitions are dropped, unknown tags are created.",
}
METADATA = or_empty({"type": "object", "additionalProperties": True}) | {
    "description": f"At most {rules.MAX_METADATA_BYTES:,} bytes as compact JSON and "
    f"{rules.MAX_METADATA_DEPTH} levels deep."
}
MOMENT = or_empty({"type": "string", "format": "date-time"})
CONSENT_STATUS = [Change.Kind.OPTED_IN.value, Change.Kind.OPTED_OUT.value]
FLAG = or_empty({"type": "boolean"}) | {"default": False}
SWITCH = {"type": "boolean", "default": False}
CURSOR = {
    "type": ["string", "null"],
    "description": "Where the page begins: from the answer before; to be sent with its filters.",
}


def choice(raw: Any, values: list[str], default: str = "") -> str:
    """One of `values`; `default` where it is empty and there is one."""
    chosen = default if raw in ("", None) else raw
    if chosen not in values:
        raise ValueError(f"Send one of {', '.join(values)}.")
    return chosen


class RuleField(serializers.Field):
    """An input that one of `rules` cleans; `schema` tells a caller what may be sent.

    Left out, it is as empty as `null` or `""`; an error with `required=True`, and not there at
    all with `required=False`.
    """

    def __init__(self, rule: Callable[[Any], Any], schema: Schema, **options: Any) -> None:
        self.rule = rule
        self.schema = schema
        if "required" not in options:
            options["default"] = lambda: rule(None)
        super().__init__(**options)

    def run_validation(self, data: Any = serializers.empty) -> Any:
        if data is serializers.empty:
            return super().run_validation(data)
        return self.to_internal_value(data)

    def to_internal_value(self, data: Any) -> Any:
        try:
            return self.rule(data)
        except ValueError as error:
            raise serializers.ValidationError(str(error)) from error


class Sought(RuleField):
    """A text to look for; empty: everything."""

    def __init__(self, what: str) -> None:
        super().__init__(lambda raw: rules.limited(what, raw, rules.MAX_NAME), text(rules.MAX_NAME))


class LimitField(RuleField):
    """A page's length; without a `default` one page has all."""

    def __init__(self, most: int, default: int | None = None) -> None:
        schema = or_empty({"type": "integer", "minimum": 1, "maximum": most})
        if default:
            schema |= {"default": default}
        super().__init__(lambda raw: rules.limit(raw, most, default), schema)


class PhoneField(RuleField):
    """A phone in any spelling; `region` in the serializer's context completes national ones."""

    def __init__(self, *, required: bool = True) -> None:
        super().__init__(
            lambda raw: rules.phone(raw, self.context.get("region")),
            PHONE if required else PHONE | {"type": ["string", "null"], "minLength": 0},
            required=required,
            error_messages={"required": "The phone is required."},
        )


class Timestamp(serializers.Field):
    """ISO 8601 in UTC, whole seconds, with the offset: 2026-05-07T08:14:23+00:00."""

    def to_representation(self, value: datetime) -> str:
        return value.astimezone(UTC).isoformat(timespec="seconds")


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


class BatchInput(serializers.Serializer):
    """The body of create-contacts; its rows are cleaned one by one, a bad one fails alone."""

    # A row may be anything: a bad one fails alone, in an answer of status 200.
    contacts = RuleField(rules.batch, {"type": "array", "maxItems": rules.MAX_BATCH}, required=True)


class BatchRow(ContactInput):
    """One contact of a batch: the body of create-contact, and a `ref` for the caller's own use."""

    ref = RuleField(rules.ref, {"type": ["string", "integer", "null"], "maxLength": rules.MAX_REF})

    def run_validation(self, data: Any = serializers.empty) -> dict[str, Any]:
        if not isinstance(data, dict):
            raise serializers.ValidationError({"body": ["The contact must be a JSON object."]})
        return super().run_validation(data)


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
    limit = LimitField(most=50, default=50)
    cursor = RuleField(rules.cursor, CURSOR)


class ListInput(serializers.Serializer):
    """The body of list-contacts."""

    limit = LimitField(most=500, default=100)
    cursor = RuleField(rules.cursor, CURSOR)
    updated_since = RuleField(rules.timestamp, MOMENT)
    tag = Sought("tag")
    include_deleted = RuleField(rules.flag, FLAG)


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


class FoundContact(serializers.Serializer):
    """One contact of search-contacts."""

    id = serializers.CharField()
    phone = serializers.CharField()
    name = OrNull()
    email = OrNull()
    source = serializers.CharField()  # type: ignore[assignment]
    tags = serializers.ListField(child=serializers.CharField())
    last_message_at = Timestamp(allow_null=True)
    created_at = Timestamp()


class ListedContact(ContactDetail):
    """One contact of list-contacts."""

    updated_at = Timestamp()


class GoneContact(serializers.Serializer):
    """One contact of list-contacts that is gone."""

    id = serializers.CharField(source="pk")
    deleted_at = Timestamp(source="updated_at")
    merged_into = serializers.CharField(allow_null=True)


class ListEntry(serializers.BaseSerializer):
    """What stands in list-contacts: a contact, or one that is gone."""

    def to_representation(self, instance: Any) -> Any:
        kind = GoneContact if isinstance(instance, Tombstone) else ListedContact
        return shared(kind).to_representation(instance)


class ContactPage(serializers.Serializer):
    """What list-contacts answers."""

    data = ListEntry(many=True)  # type: ignore[assignment]
    next_cursor = serializers.CharField(allow_null=True)


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


class TagSummary(serializers.Serializer):
    """One tag of list-tags."""

    id = serializers.CharField()
    name = serializers.CharField()
    contacts_count = serializers.IntegerField()


class BatchResult(serializers.Serializer):
    """What became of one contact of a batch."""

    index = serializers.IntegerField()
    ref = serializers.JSONField(required=False)
    status = serializers.ChoiceField([*Outcome.values, "failed", "superseded"])
    id = serializers.CharField(required=False)
    phone = serializers.CharField(required=False)
    errors = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()), required=False
    )


class BatchAnswer(serializers.Serializer):
    """What create-contacts answers."""

    created = serializers.IntegerField()
    updated = serializers.IntegerField()
    unchanged = serializers.IntegerField()
    failed = serializers.IntegerField()
    results = BatchResult(many=True)


# Imports


def region(raw: Any) -> str:
    try:
        if raw:
            validate_region(raw)
    except ValidationError as error:
        raise ValueError(error.messages[0]) from error
    return raw or ""


def word(name: str, raw: Any) -> str:
    return rules.storable(name, rules.string(name, raw))


def uploaded(raw: Any) -> UploadedFile:
    if not isinstance(raw, UploadedFile):
        raise ValueError("Send a CSV or NDJSON file.")  # noqa: TRY004 - a rule is broken
    if not raw.size:
        raise ValueError("The file is empty.")
    return raw


class ImportOptions(serializers.Serializer):
    """How a file is brought in."""

    mode = RuleField(
        lambda raw: choice(raw, Import.Mode.values, Import.Mode.UPSERT),
        {"type": "string", "enum": Import.Mode.values, "default": Import.Mode.UPSERT.value},
        help_text="What becomes of contacts that exist, or do not.",
    )
    dry_run = RuleField(rules.switch, SWITCH, help_text="Count, and write no contact.")
    map = RuleField(
        lambda raw: dict(columns.pair(word("map", text)) for text in raw or []),
        {"type": "array", "items": {"type": "string", "pattern": "="}},
        help_text="`COLUMN=FIELD`, such as `Cell=phone` or `Town=metadata.city`, for columns that "
        "are not known by their names; an empty field leaves the column out.",
    )
    rest_to_metadata = RuleField(
        rules.switch, SWITCH, help_text="Columns that are no field become metadata."
    )
    region = RuleField(
        region,
        {"type": "string", "pattern": "^([A-Z]{2})?$"},
        help_text="The country of phones without `+`, such as `FR`; default: your tenant's.",
    )
    clear_marker = RuleField(
        lambda raw: "--" if raw is None else rules.limited("marker", raw, rules.MAX_NAME),
        {"type": "string", "default": "--"},
        help_text="A cell that empties its field; a blank one leaves it alone.",
    )
    encoding = RuleField(
        lambda raw: tabular.text_encoding(given) if (given := word("encoding", raw)) else "",
        {"type": "string"},
        help_text="Where the guess is wrong.",
    )
    delimiter = RuleField(
        lambda raw: tabular.one_character(given) if (given := word("delimiter", raw)) else "",
        {"type": "string"},
        help_text="Likewise.",
    )
    file_name = RuleField(
        lambda raw: rules.limited("name", raw, rules.MAX_NAME),
        text(rules.MAX_NAME),
        help_text="To tell imports apart; a form names its file itself.",
    )


class ImportForm(ImportOptions):
    """The form of an import."""

    file = RuleField(
        uploaded,
        {"type": "string", "format": "binary"},
        required=True,
        error_messages={"required": "The file is required."},
    )


class ImportJob(serializers.Serializer):
    """An import, while it runs and after."""

    id = serializers.CharField()
    state = serializers.ChoiceField(
        [state.value for state in Import.State if state != Import.State.DRAFT]
    )
    file_name = serializers.CharField()
    mode = serializers.CharField(source="options.mode")
    dry_run = serializers.BooleanField()
    columns = serializers.DictField(
        source="options.fields", default=None, allow_null=True, child=serializers.CharField(),
        help_text="The field of each column that has one, as soon as they are known.",
    )  # fmt: skip
    rows = serializers.IntegerField(
        allow_null=True, help_text="Records of the file, as far as it has been read."
    )
    created = serializers.IntegerField(source="created_so_far")
    updated = serializers.IntegerField(source="updated_so_far")
    unchanged = serializers.IntegerField(source="unchanged_so_far")
    superseded = serializers.IntegerField(
        source="superseded_so_far", help_text="A later row had the same phone."
    )
    failed = serializers.IntegerField(source="failed_so_far")
    problem = OrNull(help_text="Why the file was refused, or does not go on.")
    started_at = Timestamp()
    finished_at = Timestamp(allow_null=True)


# Webhooks


class WebhookInput(serializers.Serializer):
    """The body that makes a webhook."""

    url = RuleField(
        webhooks.endpoint,
        {"type": "string", "format": "uri", "pattern": "^https://", "maxLength": webhooks.MAX_URL},
        required=True,
        error_messages={"required": "The url is required."},
        help_text="HTTPS, at a public address.",
    )
    events = RuleField(
        webhooks.events,
        or_empty({"type": "array", "items": {"type": "string", "enum": webhooks.EVENTS}}),
        help_text="Which to send; default: all.",
    )
    import_rows = RuleField(
        rules.flag, FLAG, help_text="Also an event for each contact that an import writes."
    )


class ShownWebhook(serializers.Serializer):
    """A webhook."""

    id = serializers.CharField()
    url = serializers.CharField()
    events = serializers.ListField(child=serializers.ChoiceField(webhooks.EVENTS))
    import_rows = serializers.BooleanField()
    created_at = Timestamp()
    last_success_at = Timestamp(allow_null=True)
    failing_since = Timestamp(allow_null=True)
    paused_at = Timestamp(
        allow_null=True, help_text="After three days of failures; nothing is sent any more."
    )


class NewWebhook(ShownWebhook):
    """A webhook, and what its deliveries are signed with: shown this once."""

    secret = serializers.CharField()
