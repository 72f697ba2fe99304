"""The rules for the values of fields: one function per field.

The API, the imports, the admin and the commands all use these functions, so that every way into the
database accepts the same values. Each function takes the value that a caller sent, of any type, and
returns the value to store. `None` and `""` both give the empty value of the field. Each function
raises `ValueError` with a sentence for the caller if the value breaks the rule. One module, so that
a rule is found, and has its limit, in one place.
"""

import json
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from json.encoder import c_make_encoder, encode_basestring  # type: ignore[attr-defined]
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator

from tenants.fields import parse_ulid

from . import dates, phones, strict_json
from .strict_json import UNSTORABLE
from .translation import gettext as _
from .translation import gettext_noop, grouped

MAX_MERGED = 9  # contacts that are merged into another contact
MAX_PHONE = phones.MAX_LINK_LENGTH  # characters, links to a phone included
MAX_NAME = 255  # characters
MAX_EMAIL = 254  # characters (RFC 5321, section 4.5.3.1.3)
MAX_LOCALE = 35  # characters (RFC 5646, section 4.4.1)
MAX_TAG = 100  # characters
MAX_TAGS = 100
MAX_REF = 255  # characters
MAX_BATCH = 1000
MAX_CONSENT_SOURCE = 100  # characters
MAX_PROOF = 1000  # characters
MAX_NOTE = 2000  # characters
MAX_METADATA_BYTES = 65_536  # as compact UTF-8 JSON
MAX_METADATA_DEPTH = 32


# The names of fields that sentences of this module have as a value. In other languages, a sentence
# has the word that people see instead.
FIELD_NAMES = (
    gettext_noop("change_set"),
    gettext_noop("choice"),
    gettext_noop("choices"),
    gettext_noop("consent"),
    gettext_noop("contact_id"),
    gettext_noop("country"),
    gettext_noop("cursor"),
    gettext_noop("date"),
    gettext_noop("delimiter"),
    gettext_noop("delivery_id"),
    gettext_noop("email"),
    gettext_noop("encoding"),
    gettext_noop("key"),
    gettext_noop("label"),
    gettext_noop("locale"),
    gettext_noop("map"),
    gettext_noop("marker"),
    gettext_noop("metadata"),
    gettext_noop("name"),
    gettext_noop("note"),
    gettext_noop("phone"),
    gettext_noop("proof"),
    gettext_noop("ref"),
    gettext_noop("sheet"),
    gettext_noop("source"),
    gettext_noop("tag"),
    gettext_noop("time"),
    gettext_noop("timestamp"),
    gettext_noop("timezone"),
    gettext_noop("url"),
)

WHOLE = re.compile("[0-9]{1,9}")
SWITCHES = {"true": True, "1": True, "yes": True, "on": True} | dict.fromkeys(
    ("false", "0", "no", "off", ""), False
)


validate_email = EmailValidator()
# The cache: half of the time of checking an address goes into the domain, and many contacts share
# few domains. The compiled pattern: Django compiles its own pattern at the first use, and the test
# whether the pattern is compiled takes another quarter of the time.
validate_email.validate_domain_part = lru_cache(4096)(validate_email.validate_domain_part)  # type: ignore[method-assign]
validate_email.user_regex = re.compile(validate_email.user_regex.pattern, re.IGNORECASE)


class CompactJSON(json.JSONEncoder):
    """Writes each JSON value in one spelling only: no spaces, sorted keys, characters unescaped.

    SQLite compares JSON as text. With several spellings of one value, SQLite would see a change
    where PostgreSQL sees none.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **options | {"separators": (",", ":"), "sort_keys": True, "ensure_ascii": False}
        )


class RuleBroken(ValueError):
    """A value that is valid by itself breaks a rule together with the stored values.

    For example, the merged metadata is too large. `field`: the name of the field to correct.
    """

    def __init__(self, field: str, error: ValueError) -> None:
        super().__init__(str(error))
        self.field = field


def made_once(encoder: json.JSONEncoder) -> Callable[[Any], str]:
    """`encoder.encode`, in half of its time: `encode` makes Python's encoder in C anew for each
    value. For values that do not contain themselves."""
    if c_make_encoder is None:  # Python without its modules in C
        return encoder.encode
    separators = encoder.key_separator, encoder.item_separator
    options = encoder.sort_keys, encoder.skipkeys, encoder.allow_nan
    parts = c_make_encoder(None, encoder.default, encode_basestring, None, *separators, *options)
    return lambda value: "".join(parts(value, 0))


# The JSON text of a value. Values must be compared by this text: Python's == takes true and 1 for
# equal.
spelled = made_once(CompactJSON())


def spelled_alike(value: Any) -> str:
    """As `spelled`, with one text for equal numbers: 5 for 5.0. PHP stores a price as 8742.0, and
    JavaScript can only look for 8742."""
    is_whole = isinstance(value, float) and value.is_integer()
    return spelled(int(value) if is_whole else value)


def switch(raw: Any) -> bool:
    """A boolean as text, in the spellings that query strings and forms use; see `SWITCHES`."""
    word = str(raw or "").strip().lower()
    if word not in SWITCHES:
        raise ValueError(_("Send true or false."))
    return SWITCHES[word]


def flag(raw: Any) -> bool:
    """A boolean of a JSON body, also as text: some programs can send nothing but texts."""
    word = raw.strip().lower() if isinstance(raw, str) else ""
    if word in ("true", "false"):
        return word == "true"
    if raw not in (None, "") and not isinstance(raw, bool):
        raise ValueError(_("Send true or false."))
    return bool(raw)


def folded(text: str) -> str:
    """`text` in the form that is stored and compared for searches that ignore case.

    Two texts have the same form if they differ only in case or in the composition of characters:
    Unicode's canonical caseless matching (The Unicode Standard, section 3.13, D145), composed
    again. Python folds the text, because databases disagree about which letters are equal.
    """
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", decomposed.casefold())


def contact_id(raw: Any) -> str:
    """The id of a contact: a ULID in upper case, from a ULID in any case or from a UUID."""
    text = string("contact_id", raw)
    try:
        return parse_ulid(text) if text else ""
    except ValueError as error:
        raise ValueError(_("The contact_id must be a ULID or a UUID.")) from error


def required_contact_id(raw: Any) -> str:
    """The id of a contact, as in `contact_id`, that is not empty."""
    if not (pk := contact_id(raw)):
        raise ValueError(_("The contact_id is required."))
    return pk


def merge_ids(raw: Any) -> list[str]:
    """The ids of contacts that are to be merged into another contact: one to nine, no id twice."""
    if not isinstance(raw, list) or not 1 <= len(raw) <= MAX_MERGED:
        raise ValueError(
            _("The merge_ids must be a list of 1 to %(most)s ids of contacts.")
            % {"most": MAX_MERGED}
        )
    try:
        pks = [required_contact_id(item) for item in raw]
    except ValueError as error:
        raise ValueError(_("Each of the merge_ids must be a ULID or a UUID.")) from error
    if repeated := next((pk for pk in pks if pks.count(pk) > 1), ""):
        raise ValueError(_("The merge_ids contain %(id)s twice.") % {"id": repeated})
    return pks


def choose(raw: Any, names: list[str]) -> dict[str, str]:
    """For each field, the id of the contact whose value stays. `names`: the fields that a caller
    may choose."""
    if raw is None or raw in ("", []):
        return {}
    if not isinstance(raw, dict):
        raise ValueError(_("The choose must be a JSON object: field → id."))  # noqa: TRY004
    if unknown := [*(raw.keys() - {*names})]:
        known = ", ".join(names)
        raise ValueError(
            _("Choose among the fields %(known)s; “%(unknown)s” is none of them.")
            % {"known": known, "unknown": min(unknown)}
        )
    try:
        return {name: required_contact_id(pk) for name, pk in raw.items()}
    except ValueError as error:
        raise ValueError(
            _("Each value of choose must be the ULID or UUID of a contact.")
        ) from error


def change_set(raw: Any) -> str:
    """The id of a change set, from a ULID in any case or from a UUID."""
    text = string("change_set", raw)
    if not text:
        raise ValueError(_("The change_set is required."))
    try:
        return parse_ulid(text)
    except ValueError as error:
        raise ValueError(_("The change_set must be a ULID or a UUID.")) from error


def phone(raw: Any, region: str | None = None, *, has_country_code: bool = False) -> str:
    """A phone in E.164. `region`, `has_country_code` as in `phones.normalise`. This field is the
    only required one. A number has no plus sign: it is a phone only if `region` or
    `has_country_code` says how to read it."""
    if is_number(raw) and (raw < 0 or raw % 1 or not (region or has_country_code)):
        raise ValueError(_('Send the phone as text with its country code, such as "+14155550123".'))
    text = string("phone", raw)
    if not text:
        raise ValueError(_("The phone is required."))
    return phones.normalise(text, region, has_country_code=has_country_code)


def name(raw: Any) -> str:
    """The name of a contact, trimmed."""
    return limited("name", raw, MAX_NAME)


def email(raw: Any) -> str:
    """An e-mail address, trimmed. The case of its letters stays."""
    text = limited("email", raw, MAX_EMAIL)
    try:
        if text:
            # Django's validator accepts zero-width spaces, so they are refused here.
            validate_email(text if text.isprintable() else "")
    except ValidationError as error:
        raise ValueError(_("The email must be a valid address.")) from error
    return text


def locale(raw: Any) -> str:
    """A language tag such as fr-FR (RFC 5646), trimmed. Only its length is checked."""
    return limited("locale", raw, MAX_LOCALE)


def tags(raw: Any) -> list[str]:
    """Tag names in the order of `raw`: text (`"vip, fr-FR"`), a list (`["vip", "fr-FR"]`), or a
    list as JSON text.

    Names are trimmed, empty names are dropped, and of a repeated name only the first is kept.
    """
    names = list(dict.fromkeys(filter(None, map(tag, tag_list(raw)))))
    refuse_many_tags(names)
    return names


def refuse_many_tags(names: list[str]) -> None:
    if len(names) > MAX_TAGS:
        raise ValueError(
            _("A contact has at most %(most)s tags; %(count)s were given.")
            % {"most": MAX_TAGS, "count": len(names)}
        )


def tag_list(raw: Any) -> list[Any]:
    """The parts of `raw`, not yet checked one by one."""
    if isinstance(raw, list):
        return raw
    if is_number(raw):
        return [raw]
    if raw is None or isinstance(raw, str):
        listed = json_list(raw) if raw and "[" in raw else None
        return (raw or "").split(",") if listed is None else listed
    raise ValueError(_("The tags must be a comma-separated string or a list of strings."))


def json_list(text: str) -> list[str] | None:
    """The list of strings that `text` spells as JSON; None if `text` is anything else."""
    stripped = text.strip()
    if stripped[:1] != "[" or stripped[-1] != "]":
        return None
    try:
        listed = strict_json.loads(stripped)
    except strict_json.MalformedJSON:
        return None
    return listed if all(isinstance(item, str) for item in listed) else None


def tag(raw: Any) -> str:
    """One tag name, trimmed. A comma is refused, because a comma separates tags in text."""
    if not isinstance(raw, str) and not is_number(raw):
        raise ValueError(_("Each of the tags must be a string."))
    text = limited("tag", raw, MAX_TAG)
    if "," in text:
        raise ValueError(
            _("The tag “%(tag)s” cannot contain a comma; send two tags.") % {"tag": text}
        )
    return text


def required_tag(raw: Any) -> str:
    """One tag name that is not empty."""
    if raw is None or not tag(raw):
        raise ValueError(_("The tag is required."))
    return tag(raw)


def note(raw: Any) -> str:
    """What somebody writes about a contact: 1 to 2,000 characters. Browsers send line ends as two
    characters, and count them as one."""
    text = limited("note", string("note", raw).replace("\r\n", "\n"), MAX_NOTE)
    if not text:
        raise ValueError(_("The note is empty."))
    return text


def metadata_changes(raw: Any) -> dict[str, Any] | None:
    """The metadata to merge into the stored metadata; None clears the stored metadata."""
    return None if raw is None or raw == "" else metadata(raw)


def metadata(raw: Any) -> dict[str, Any]:
    """A JSON object of at most 65,536 bytes and 32 levels; the object itself is the first level.

    An empty list means an empty object: PHP writes an empty object as `[]`.
    """
    if raw is None or raw in ("", []):
        return {}
    if not isinstance(raw, dict):
        raise ValueError(_("The metadata must be a JSON object."))  # noqa: TRY004
    # Each value takes at least two bytes, for example a digit and a comma. Without this check, the
    # lines below would write out millions of numbers to measure their size, and a number such as
    # 1e300 would become 60 times as long as in the body.
    if check_json(raw, MAX_METADATA_DEPTH) > MAX_METADATA_BYTES // 2:
        raise ValueError(
            _("The metadata may have at most %(most)s bytes as compact JSON.")
            % {"most": grouped(MAX_METADATA_BYTES)}
        )
    size = len(spelled(raw).encode())
    if size > MAX_METADATA_BYTES:
        raise ValueError(
            _("The metadata may have at most %(most)s bytes as compact JSON; it has %(size)s.")
            % {"most": grouped(MAX_METADATA_BYTES), "size": grouped(size)}
        )
    return raw


def check_json(value: Any, levels: int) -> int:
    """Checks a JSON value and counts the values inside it, itself included, keys not included.

    `levels`: how many more levels `value` may nest. Raises `ValueError` if `value` nests deeper, or
    contains text that PostgreSQL cannot store.
    """
    number = 1
    if isinstance(value, str):
        storable("metadata", value)
    elif isinstance(value, (dict, list)):
        if not levels:
            raise ValueError(
                _("The metadata may nest at most %(most)s levels deep.")
                % {"most": MAX_METADATA_DEPTH}
            )
        if isinstance(value, dict):
            for key in value:
                storable("metadata", key)
            value = value.values()
        for item in value:
            number += check_json(item, levels - 1)
    return number


def batch(raw: Any) -> list[Any]:
    """The list of contacts in a body of create-contacts; the contacts are not checked here."""
    if not isinstance(raw, list):
        raise ValueError(_("The contacts must be a list."))  # noqa: TRY004
    if len(raw) > MAX_BATCH:
        raise ValueError(
            _("A batch has at most %(most)s contacts; %(count)s were given.")
            % {"most": grouped(MAX_BATCH), "count": grouped(len(raw))}
        )
    return raw


def ref(raw: Any) -> str | int | None:
    """The caller's own mark on a row of a batch: text or an integer, returned unchanged."""
    if raw is None or (isinstance(raw, int) and not isinstance(raw, bool)):
        return raw
    if not isinstance(raw, str):
        raise ValueError(_("The ref must be a string or a whole number."))  # noqa: TRY004
    if len(raw) > MAX_REF:
        raise too_long("ref", MAX_REF, len(raw))
    return storable("ref", raw)


def limit(raw: Any, most: int, default: int | None) -> int | None:
    """The number of entries on a page, from 1 to `most`; `default` if the caller sends none.

    10.0 counts as a whole number, as in JSON Schema, and so does the text "10".
    """
    if raw is None or raw == "":
        return default
    if isinstance(raw, str) and WHOLE.fullmatch(raw.strip()):
        raw = int(raw)
    if not is_number(raw) or raw % 1 or not 1 <= raw <= most:
        raise ValueError(_("The limit must be a whole number from 1 to %(most)s.") % {"most": most})
    return int(raw)


def choice(raw: Any, values: list[str], default: str = "") -> str:
    """One of `values`; `default`, if there is one, where nothing is given."""
    chosen = default if raw in ("", None) else raw
    if chosen not in values:
        raise ValueError(_("Send one of %(values)s.") % {"values": ", ".join(values)})
    return chosen


def choices(raw: Any, values: list[str]) -> list[str]:
    """A list with some of `values`; empty where nothing is given."""
    chosen = [] if raw in ("", None) else raw
    if not isinstance(chosen, list) or any(one not in values for one in chosen):
        raise ValueError(_("Send a list with any of %(values)s.") % {"values": ", ".join(values)})
    return chosen


def cursor(raw: Any) -> str:
    """The text of a cursor; `contacts.finding.cursors` checks its content."""
    return storable("cursor", string("cursor", raw))


def timestamp(raw: Any) -> datetime | None:
    """A time in UTC, from ISO 8601 with an offset (RFC 3339): 2026-05-07T08:14:23+00:00."""
    return dates.moment(storable("timestamp", string("timestamp", raw)))


def decided(raw: Any) -> datetime | None:
    """When a person decided on consent: a timestamp between 1970 and now."""
    return past(timestamp(raw))


def past(time: datetime | None) -> datetime | None:
    """`time`, if it lies between 1970 and now."""
    if time and time > datetime.now(UTC):
        raise ValueError(_("The time is in the future."))
    if time and time.year < 1970:
        raise ValueError(_("The time is before 1970."))
    return time


def limited(field: str, raw: Any, most: int) -> str:
    """The string `raw`, trimmed, of at most `most` characters that can be stored.

    `field`: the name of the field, for the sentence of the error.
    """
    text = string(field, raw).strip()
    if len(text) > most:
        raise too_long(field, most, len(text))
    return storable(field, text)


def too_long(field: str, most: int, length: int) -> ValueError:
    return ValueError(
        _("The %(field)s may have at most %(most)s characters; it has %(length)s.")
        % {"field": _(field), "most": most, "length": length}
    )


def string(field: str, raw: Any) -> str:
    """The string `raw`; empty for None; the digits of a number, because spreadsheets and forms send
    an order number or a phone as a number. `field` as in `limited`."""
    if isinstance(raw, str):
        return raw
    if raw is None:
        return ""
    if is_number(raw):
        return str(int(raw) if float(raw).is_integer() else raw)
    raise ValueError(_("The %(field)s must be a string.") % {"field": _(field)})


def is_number(raw: Any) -> bool:
    """Whether `raw` is a number. In Python, True and False are numbers, too; not here."""
    return isinstance(raw, int | float) and not isinstance(raw, bool)


def storable(field: str, text: str) -> str:
    """`text` unchanged. Raises `ValueError` for characters that PostgreSQL cannot store.

    These are U+0000 and one half of a surrogate pair. `field` as in `limited`.
    """
    if found := UNSTORABLE.search(text):
        raise ValueError(
            _("The %(field)s cannot contain the character %(character)s.")
            % {"field": _(field), "character": f"U+{ord(found[0]):04X}"}
        )
    return text
