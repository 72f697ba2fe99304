"""What each field of a contact may be: one function a field, for every door.

Each takes what a caller gave, of any type, and returns what is stored. `None` and `""` alike
give the field's empty value. Each raises `ValueError` with a sentence for the caller.
"""

import json
import re
import unicodedata
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from django.core.exceptions import ValidationError
from django.core.validators import EmailValidator

from tenants.fields import parse_ulid

from . import phones
from .strict_json import UNSTORABLE

MAX_PHONE = phones.MAX_RAW_LENGTH
MAX_NAME = 255  # characters
MAX_EMAIL = 254  # characters (RFC 5321, section 4.5.3.1.3)
MAX_LOCALE = 35  # characters (RFC 5646, section 4.4.1)
MAX_TAG = 100  # characters
MAX_TAGS = 100
MAX_REF = 255  # characters
MAX_BATCH = 1000
MAX_CONSENT_SOURCE = 100  # characters
MAX_PROOF = 1000  # characters
MAX_METADATA_BYTES = 65_536  # as compact UTF-8 JSON
MAX_METADATA_DEPTH = 32


SWITCHES = {"true": True, "1": True, "yes": True, "on": True} | dict.fromkeys(
    ("false", "0", "no", "off", ""), False
)


validate_email = EmailValidator()
# Contacts share few domains, and looking at one is half of what an address takes; another quarter
# is that Django compiles its pattern with the first call, and asks each time whether it has.
validate_email.validate_domain_part = lru_cache(4096)(validate_email.validate_domain_part)  # type: ignore[method-assign]
validate_email.user_regex = re.compile(validate_email.user_regex.pattern, re.IGNORECASE)


class CompactJSON(json.JSONEncoder):
    """The one spelling of a value: no spaces, keys in order, characters as they are.

    SQLite compares JSON as text; only with one spelling does "unchanged" mean there what it
    means on PostgreSQL.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(
            **options | {"separators": (",", ":"), "sort_keys": True, "ensure_ascii": False}
        )


class RuleBroken(ValueError):
    """A rule broken together with what is stored already; `field` is the one to blame."""

    def __init__(self, field: str, error: ValueError) -> None:
        super().__init__(str(error))
        self.field = field


# The one spelling of a value: equal where the values are. To Python itself true equals 1.
spelled = CompactJSON().encode


def switch(raw: Any) -> bool:
    """A yes or no, as addresses and forms write it."""
    word = str(raw or "").strip().lower()
    if word not in SWITCHES:
        raise ValueError("Send true or false.")
    return SWITCHES[word]


def flag(raw: Any) -> bool:
    """A yes or no of JSON."""
    if raw not in (None, "") and not isinstance(raw, bool):
        raise ValueError("Send true or false.")
    return bool(raw)


def folded(text: str) -> str:
    """`text` for comparing without case: equal where two texts differ in case or spelling only.

    Unicode's canonical caseless matching (The Unicode Standard, section 3.13, D145), composed
    again. Databases differ in what they take for the same letter, so none of them is asked.
    """
    if text.isascii():
        return text.lower()
    decomposed = unicodedata.normalize("NFD", text)
    return unicodedata.normalize("NFC", decomposed.casefold())


def contact_id(raw: Any) -> str:
    """A ULID in upper case, from a ULID in either case or a UUID."""
    text = string("contact_id", raw)
    try:
        return parse_ulid(text) if text else ""
    except ValueError as error:
        raise ValueError("The contact_id must be a ULID or a UUID.") from error


def phone(raw: Any, region: str | None = None) -> str:
    """E.164; `region` as in `phones.normalise`. The one field that cannot be empty."""
    text = string("phone", raw)
    if not text:
        raise ValueError("The phone is required.")
    return phones.normalise(text, region)


def name(raw: Any) -> str:
    return limited("name", raw, MAX_NAME)


def email(raw: Any) -> str:
    text = limited("email", raw, MAX_EMAIL)
    try:
        if text:
            validate_email(text if text.isprintable() else "")  # it takes zero-width spaces
    except ValidationError as error:
        raise ValueError("The email must be a valid address.") from error
    return text


def locale(raw: Any) -> str:
    return limited("locale", raw, MAX_LOCALE)


def tags(raw: Any) -> list[str]:
    """Tag names in the order given: from `"vip, fr-FR"` or `["vip", "fr-FR"]`.

    Trimmed; empty ones and repetitions dropped, the first kept.
    """
    names = list(dict.fromkeys(filter(None, map(tag, tag_list(raw)))))
    if len(names) > MAX_TAGS:
        raise ValueError(f"A contact has at most {MAX_TAGS} tags; {len(names)} were given.")
    return names


def tag_list(raw: Any) -> list[Any]:
    if isinstance(raw, list):
        return raw
    if raw is None or isinstance(raw, str):
        return (raw or "").split(",")
    raise ValueError("The tags must be a comma-separated string or a list of strings.")


def tag(raw: Any) -> str:
    """One tag name. It cannot hold a comma: the comma-separated form would split it."""
    if not isinstance(raw, str):
        raise ValueError("Each of the tags must be a string.")  # noqa: TRY004
    text = limited("tag", raw, MAX_TAG)
    if "," in text:
        raise ValueError(f"The tag “{text}” cannot hold a comma; send it as two.")
    return text


def required_tag(raw: Any) -> str:
    if raw is None or not tag(raw):
        raise ValueError("The tag is required.")
    return tag(raw)


def metadata_changes(raw: Any) -> dict[str, Any] | None:
    """What to merge into the metadata; None, where it is to be cleared."""
    return None if raw is None or raw == "" else metadata(raw)


def metadata(raw: Any) -> dict[str, Any]:
    """A JSON object of at most 65,536 bytes and 32 levels, the object itself being the first."""
    if raw is None or raw == "":
        return {}
    if not isinstance(raw, dict):
        raise ValueError("The metadata must be a JSON object.")  # noqa: TRY004
    # A value takes at least two bytes, such as a digit and a comma. Without this line millions of
    # numbers would be written out to be counted, some at 60 times their length: 1e300.
    if check_json(raw, MAX_METADATA_DEPTH) > MAX_METADATA_BYTES // 2:
        raise ValueError(f"The metadata may have {MAX_METADATA_BYTES:,} bytes as compact JSON.")
    size = len(spelled(raw).encode())
    if size > MAX_METADATA_BYTES:
        raise ValueError(
            f"The metadata may have {MAX_METADATA_BYTES:,} bytes as compact JSON; it has {size:,}."
        )
    return raw


def check_json(value: Any, levels: int) -> int:
    """The number of values that `value` holds, with itself and without keys of objects.

    Raises `ValueError` where `value` nests deeper than `levels` or holds unstorable text.
    """
    number = 1
    if isinstance(value, str):
        storable("metadata", value)
    elif isinstance(value, (dict, list)):
        if not levels:
            raise ValueError(f"The metadata may nest {MAX_METADATA_DEPTH} levels deep, not more.")
        if isinstance(value, dict):
            for key in value:
                storable("metadata", key)
            value = value.values()
        for item in value:
            number += check_json(item, levels - 1)
    return number


def batch(raw: Any) -> list[Any]:
    if not isinstance(raw, list):
        raise ValueError("The contacts must be a list.")  # noqa: TRY004
    if len(raw) > MAX_BATCH:
        raise ValueError(f"A batch has at most {MAX_BATCH:,} contacts; {len(raw):,} were given.")
    return raw


def ref(raw: Any) -> str | int | None:
    """A caller's own mark on a row of a batch, handed back as it is."""
    if raw is None or (isinstance(raw, int) and not isinstance(raw, bool)):
        return raw
    text = string("ref", raw)
    if len(text) > MAX_REF:
        raise ValueError(f"The ref may have {MAX_REF} characters; it has {len(text)}.")
    return storable("ref", text)


def limit(raw: Any, most: int, default: int | None) -> int | None:
    """A page's length, from 1 to `most`; `default` where none is given.

    10.0 is a whole number too, as in JSON Schema.
    """
    if raw is None or raw == "":
        return default
    is_number = isinstance(raw, int | float) and not isinstance(raw, bool)
    if not is_number or raw % 1 or not 1 <= raw <= most:
        raise ValueError(f"The limit must be a whole number from 1 to {most}.")
    return int(raw)


def choice(raw: Any, values: list[str], default: str = "") -> str:
    """One of `values`; `default`, if there is one, where nothing is given."""
    chosen = default if raw in ("", None) else raw
    if chosen not in values:
        raise ValueError(f"Send one of {', '.join(values)}.")
    return chosen


def cursor(raw: Any) -> str:
    return storable("cursor", string("cursor", raw))


def timestamp(raw: Any) -> datetime | None:
    """A moment in ISO 8601 with its offset (RFC 3339), such as 2026-05-07T08:14:23+00:00."""
    text = string("timestamp", raw).strip()
    if not text:
        return None
    with suppress(ValueError, OverflowError):
        moment = datetime.fromisoformat(text)
        if moment.tzinfo:
            return moment.astimezone(UTC)
    raise ValueError("Send a timestamp in ISO 8601 with an offset: 2026-05-07T08:14:23+00:00.")


def decided(raw: Any) -> datetime | None:
    """When somebody has decided something: a timestamp from 1970 till now."""
    moment = timestamp(raw)
    if moment and moment > datetime.now(UTC):
        raise ValueError("The moment lies in the future.")
    if moment and moment.year < 1970:
        raise ValueError("The moment lies before 1970.")
    return moment


def limited(field: str, raw: Any, most: int) -> str:
    """`raw` trimmed: a storable string of at most `most` characters."""
    text = string(field, raw).strip()
    if len(text) > most:
        raise ValueError(f"The {field} may have {most} characters; it has {len(text)}.")
    return storable(field, text)


def string(field: str, raw: Any) -> str:
    if raw is None:
        return ""
    if not isinstance(raw, str):
        raise ValueError(f"The {field} must be a string.")  # noqa: TRY004
    return raw


def storable(field: str, text: str) -> str:
    """`text`, which PostgreSQL could not store with U+0000 or half a surrogate pair in it."""
    if found := UNSTORABLE.search(text):
        raise ValueError(f"The {field} cannot hold the character U+{ord(found[0]):04X}.")
    return text
