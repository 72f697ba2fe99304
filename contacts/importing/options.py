"""The options of an import: the one table that the API, the admin and the command read.

To add an option, add it here. The API then takes it in the address and in the form, and the command
as an argument with dashes. The admin's form names the options that it shows.
"""

import re
from collections.abc import Callable, Mapping
from datetime import UTC
from typing import Any, NamedTuple
from zoneinfo import available_timezones

from django.core.exceptions import ValidationError

from contacts.models import Import
from contacts.values import dates, rules
from contacts.values.translation import gettext as _
from contacts.values.translation import gettext_noop
from tenants.models import validate_region

from .columns import pair
from .formats.csv import one_character
from .formats.decoding import text_encoding
from .row import REPLACE, TAG_MODES

CLEAR_MARKER = "--"


class Option(NamedTuple):
    """`rule`: makes the value from what the user gives, and the default from `None`; it raises
    `ValueError` with a sentence for the user. `schema`: the JSON Schema of what may be given.
    `help`: for users of the API, the admin and the command alike, in English; the admin translates
    it."""

    rule: Callable[[Any], Any]
    schema: dict[str, Any]
    help: str

    @property
    def default(self) -> Any:
        return self.rule(None)

    @property
    def is_list(self) -> bool:
        """Whether it may be given several times."""
        return bool(self.schema["type"] == "array")


def mode(raw: Any) -> str:
    return rules.choice(raw, Import.Mode.values, Import.Mode.UPSERT)


def column_map(raw: Any) -> dict[str, str]:
    return dict(pair(storable("map", text)) for text in raw or [])


def region(raw: Any) -> str:
    try:
        if raw:
            validate_region(raw)
    except ValidationError as error:
        raise ValueError(error.messages[0]) from error
    return raw or ""


def clear_marker(raw: Any) -> str:
    return CLEAR_MARKER if raw is None else rules.limited("marker", raw, rules.MAX_NAME)


def encoding(raw: Any) -> str:
    name = storable("encoding", raw)
    return text_encoding(name) if name else ""


def delimiter(raw: Any) -> str:
    character = storable("delimiter", raw)
    return one_character(character) if character else ""


def header_line(raw: Any) -> int | None:
    text = "" if raw is None else str(raw).strip()
    if not text:
        return None
    if not re.fullmatch("[0-9]{1,7}", text):
        raise ValueError(
            _("Send the number of the line that names the columns; 0 if no line does.")
        )
    return int(text)


def sheet(raw: Any) -> str:
    return rules.limited("sheet", raw, rules.MAX_NAME)


def tag_mode(raw: Any) -> str:
    return rules.choice(raw, [*TAG_MODES], REPLACE)


def date_order(raw: Any) -> str:
    return rules.choice(raw, [*dates.ORDERS], dates.ISO)


def timezone(raw: Any) -> str:
    name = storable("timezone", raw)
    if name and name not in available_timezones():
        raise ValueError(_("Send the name of a time zone, such as Europe/Paris."))
    return name


def consent_since(raw: Any) -> str:
    """The date as text: only together with the time zone is it a time."""
    text = storable("date", raw).strip()
    try:
        time = dates.moment(text, dates.ISO, UTC)
    except ValueError:
        raise ValueError(_("Send a date, such as 2026-05-07.")) from None
    # In another time zone, the first and the last day of the calendar are no time at all.
    if time and not 1970 < time.year < 3000:
        raise ValueError(_("Send a date between 1971 and today."))
    return text


def storable(name: str, raw: Any) -> str:
    return rules.storable(name, rules.string(name, raw))


SWITCH = {"type": "boolean", "default": False}
OPTIONS = {
    "mode": Option(
        mode,
        {"type": "string", "enum": Import.Mode.values, "default": Import.Mode.UPSERT.value},
        gettext_noop("What happens to contacts that exist, and to contacts that do not exist yet."),
    ),
    "dry_run": Option(rules.switch, SWITCH, gettext_noop("Count only, and write no contact.")),
    "map": Option(
        column_map,
        {"type": "array", "items": {"type": "string", "pattern": "="}},
        gettext_noop(
            "COLUMN=FIELD, such as Cell=phone or Town=metadata.city, for a column that is not known"
            " by its name; several columns may give one field; an empty field leaves the column"
            " out."
        ),
    ),
    "rest_to_metadata": Option(
        rules.switch, SWITCH, gettext_noop("Columns that belong to no field become metadata.")
    ),
    "region": Option(
        region,
        {"type": "string", "pattern": "^([A-Z]{2})?$"},
        gettext_noop(
            "The country of phones without +, such as FR. Default: the default region of the"
            " tenant."
        ),
    ),
    "phones_have_country_code": Option(
        rules.switch,
        SWITCH,
        gettext_noop("Phones without + begin with their country code, such as 33612345678."),
    ),
    "tags": Option(
        tag_mode,
        {"type": "string", "enum": [*TAG_MODES], "default": REPLACE},
        gettext_noop(
            "Whether the tags of a row replace the tags of the contact, or are added to them."
        ),
    ),
    "tag": Option(
        rules.tags,
        {"type": "array", "items": {"type": "string"}},
        gettext_noop("A tag that all contacts of the file get, besides their other tags."),
    ),
    "dates": Option(
        date_order,
        {"type": "string", "enum": [*dates.ORDERS], "default": dates.ISO},
        gettext_noop(
            "How dates are written: iso (2026-05-07), dmy (07/05/2026) or mdy (05/07/2026)."
        ),
    ),
    "timezone": Option(
        timezone,
        {"type": "string"},
        gettext_noop(
            "The time zone of dates without one, such as Europe/Paris. Default: UTC for dmy and"
            " mdy; an iso date without an offset is refused."
        ),
    ),
    "consent_since": Option(
        consent_since,
        {"type": "string"},
        gettext_noop(
            "The date from which yes and no hold in columns that are mapped to consent, such as "
            "2026-05-07."
        ),
    ),
    "names_last_first": Option(
        rules.switch, SWITCH, gettext_noop("“Müller, Jürgen” becomes “Jürgen Müller”.")
    ),
    "strict": Option(
        rules.switch,
        SWITCH,
        gettext_noop(
            "A wrong e-mail, locale, date or metadata fails the record instead of losing the field."
        ),
    ),
    "clear_marker": Option(
        clear_marker,
        {"type": "string", "default": CLEAR_MARKER},
        gettext_noop(
            "A cell with this text clears its field; a blank cell changes nothing. Default: --"
        ),
    ),
    "encoding": Option(
        encoding,
        {"type": "string"},
        gettext_noop("The encoding of the file, such as cp1252, if it is not detected correctly."),
    ),
    "delimiter": Option(
        delimiter,
        {"type": "string"},
        gettext_noop(
            "The character between cells, such as ; or \\t, if it is not detected correctly."
        ),
    ),
    "header_line": Option(
        header_line,
        {"type": "integer", "minimum": 0},
        gettext_noop(
            "The line that names the columns, among the first ten rows, if it is not detected "
            "correctly. 0: no line does; the columns are then named Column 1, Column 2 and so on."
        ),
    ),
    "sheet": Option(
        sheet,
        {"type": "string", "maxLength": rules.MAX_NAME},
        gettext_noop(
            "The name of the sheet of a workbook. Default: the first sheet with a header."
        ),
    ),
}  # fmt: skip
# All but `dry_run`, which is a field of the job itself.
STORED = [name for name in OPTIONS if name != "dry_run"]
SWITCHES = {name for name, option in OPTIONS.items() if option.schema is SWITCH}


class BadOptions(ValueError):
    """`errors`: a sentence for each option that breaks its rule."""

    def __init__(self, errors: dict[str, str]) -> None:
        super().__init__(" ".join(errors.values()))
        self.errors = errors


def clean(given: Mapping[str, Any]) -> dict[str, Any]:
    """All options from what the user gives; the default where `given` lacks an option.

    Raises `BadOptions`.
    """
    cleaned, errors = {}, {}
    for name, option in OPTIONS.items():
        try:
            cleaned[name] = option.rule(given.get(name))
        except ValueError as error:
            errors[name] = str(error)
    if errors:
        raise BadOptions(errors)
    return cleaned
