"""One record of a file → the fields of a contact, by the rules that all callers share.

One module, because `clean` and the functions that it calls are the steps of one conversion.
"""

import re
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

from contacts import schema
from contacts.schema import Kind
from contacts.values import answers, dates, phones, rules, strict_json
from contacts.values.defined_fields import DefinedField
from contacts.values.header_names import PhoneKind, kind_of_type, phone_kind
from contacts.values.translation import gettext as _
from contacts.values.translation import gettext_noop

from . import cells as written
from . import columns
from .columns import CONSENT, FORMER
from .defined_values import read_keys
from .record_file import RecordFile
from .records import Mistake

# Phones that may lack nothing but the plus sign; a spreadsheet may have made a number of them.
DIGITS = re.compile(r"[1-9]\d{7,14}(?:[.,]0+)?")
# A name may be a phone: what begins so, and what has nothing but these characters.
STARTS_OF_PHONES = (*"+(0123456789",)
PHONE = re.compile(r"[\d\s+().\u00a0/-]+")

RULES = {field.name: field.rule for field in schema.FIELDS if field.rule}
MOMENTS = {field.name for field in schema.FIELDS if field.kind is Kind.MOMENT}
# A cell that breaks the rule of one of these fields costs the field, not the contact.
EXPENDABLE = {"email", "locale", "metadata", FORMER, CONSENT} | MOMENTS


class ReadOptions(NamedTuple):
    """How the cells are read. `fields`: the field of each column that has one, the best column of a
    field first, `types` and `codes`: see `columns.Columns`. `region`: of phones without +.
    `has_apostrophes`: cells may have the apostrophe that `formulas.neutral` puts before a formula.
    `phones_have_country_code`: phones without + have it. `adds_tags`: the tags of a cell are added
    to those that a contact has. `tag`: what all contacts of the file get. `dates`: the order of day
    and month, see `dates.moment`. `timezone`: of dates without one. `strict`: no field is
    expendable. `defined`: the definitions of metadata keys that the file has, by key.
    `consent_since`: when the people of the file decided on their consent. `names_last_first`:
    see `cells.first_last`. `whatsapp_ids`: the columns with phones that have their country code
    without the plus sign."""

    fields: dict[str, str]
    region: str = ""
    clear_marker: str = "--"
    has_apostrophes: bool = True
    phones_have_country_code: bool = False
    adds_tags: bool = False
    tag: tuple[str, ...] = ()
    dates: str = dates.ISO
    timezone: str = ""
    strict: bool = False
    types: dict[str, str] = {}
    codes: dict[str, str] = {}
    defined: dict[str, DefinedField] = {}
    consent_since: datetime | None = None
    names_last_first: bool = False
    whatsapp_ids: frozenset[str] = frozenset()


class NoPhone(columns.UnknownColumn):
    """No column is mapped to the phone, and no column's name is known to mean the phone."""


class NoConsentDate(columns.UnknownColumn):
    """A column is mapped to the consent, and nobody has said when it was given, or said a time that
    cannot be."""


def read_options(
    source: RecordFile,
    given: dict[str, Any],
    region: str,
    defined: Sequence[DefinedField] = (),
) -> ReadOptions:
    """How `source` is read.

    `given`: the options of the import; an import that an earlier version has stored lacks some.
    `region`: the default region of the tenant. `defined`: the fields that the tenant defines.

    Raises `UnknownColumn`, such as `NoPhone` and `NoConsentDate`.
    """
    try:
        fields, types, codes = matched(source, given, defined)
        if "phone" not in fields.values():
            raise NoPhone(
                _("No column is known to be the phone; map a column, as COLUMN=phone."),
                source.header,
            )
    except columns.UnknownColumn as error:
        if source.names_columns:
            raise
        raise type(error)(error.sentence) from None  # without the list: it may be a person
    if CONSENT in fields.values():
        refuse_wrong_consent_date(given)
    stored = given | {"fields": fields, "region": given["region"] or region}
    return stored_read_options(stored, has_apostrophes=source.kind.has_apostrophes)._replace(
        types=types,
        codes=codes,
        defined={one.key: one for one in defined if f"metadata.{one.key}" in fields.values()},
        whatsapp_ids=columns.whatsapp_ids(fields),
    )


def matched(
    source: RecordFile, given: dict[str, Any], defined: Sequence[DefinedField] = ()
) -> columns.Columns:
    """The columns of `source` by the options of the import. Raises `UnknownColumn`."""
    return columns.match(
        source.header,
        given["map"],
        rest_to_metadata=given["rest_to_metadata"],
        titles=source.titles,
        defined=defined,
    )


NO_CONSENT_DATE = gettext_noop(
    "Say from which date the consent holds (consent_since), such as 2026-05-07."
)


def refuse_wrong_consent_date(given: dict[str, Any]) -> None:
    """Raises `NoConsentDate` if the options do not say when people have given their consent."""
    try:
        since = rules.past(consent_since(given))
    except ValueError as error:
        raise NoConsentDate(f"{error} {_(NO_CONSENT_DATE)}") from error
    if since is None:
        raise NoConsentDate(_(NO_CONSENT_DATE))


def consent_since(given: dict[str, Any]) -> datetime | None:
    """The date of the consent in the options of an import: midnight in the zone of its dates."""
    zone = ZoneInfo(given["timezone"]) if given.get("timezone") else UTC
    return dates.moment(given.get("consent_since", ""), dates.ISO, zone)


def stored_read_options(stored: dict[str, Any], *, has_apostrophes: bool) -> ReadOptions:
    """How the file of an import was read that has `stored` its options."""
    return ReadOptions(
        stored["fields"],
        stored["region"],
        stored["clear_marker"],
        has_apostrophes,
        stored.get("phones_have_country_code", False),
        stored.get("tags") == ADD,
        tuple(stored.get("tag", ())),
        stored.get("dates", dates.ISO),
        stored.get("timezone", ""),
        stored.get("strict", False),
        consent_since=consent_since(stored),
        names_last_first=stored.get("names_last_first", False),
    )


REPLACE, ADD = TAG_MODES = ("replace", "add")  # what a cell with tags does to a contact's tags

CLEARED = object()  # the value of a cell that has the clear marker
BLANK = object()  # the value of a cell whose text means that there is no value


class BadRecord(ValueError):
    """The message has a sentence for each field that is wrong."""


class CleanRow(NamedTuple):
    """`fields`: what a record sets, see `clean`. `warnings`: a sentence for each cell that costs
    its field, or does not fit a field that the tenant defines. No sentence repeats the cell:
    warnings are kept when the file is gone."""

    fields: dict[str, Any]
    warnings: list[str]


def clean(cells: dict[Any, Any], options: ReadOptions) -> CleanRow:
    """The fields that a record sets: blank cells set nothing.

    `metadata` has the keys to merge into the metadata of the contact, or is None if the clear
    marker clears all metadata. `tags` has all tags of the contact, `+tags` the tags to add to those
    that the contact has. Raises `BadRecord`.
    """
    if None in cells:
        raise BadRecord(misfit(cells[None]))
    given = gathered(cells, options)
    misfits = read_defined(given, options)
    fields, problems, warnings = read(given, options)
    (problems if options.strict else warnings).extend(misfits)
    if options.tag or options.adds_tags:
        add_tags(fields, given.get("tags") is CLEARED, options, problems)
    if "phone" not in fields and ("phone" not in given or not problems):
        problems.insert(0, _("The phone is required."))
    if problems:
        raise BadRecord(" ".join(problems + warnings))
    return CleanRow(fields, warnings)


def read_defined(given: dict[str, Any], options: ReadOptions) -> list[str]:
    """Reads the cells of the fields that the tenant defines, see `read_keys`."""
    both = given.get("metadata")
    if not options.defined or not isinstance(both, tuple):
        return []
    whole, keys = both
    misfits = read_keys(keys, options.defined, options.dates)
    if not keys and whole is None:
        del given["metadata"]
    return misfits


def read(
    given: dict[str, Any], options: ReadOptions
) -> tuple[dict[str, Any], list[str], list[str]]:
    """The values in `given`, why the record fails, and why it loses a field."""
    fields: dict[str, Any] = {}
    problems: list[str] = []
    warnings: list[str] = []
    for field, raw in given.items():
        try:
            value = value_of(field, raw, options)
        except ValueError as error:
            is_expendable = field in EXPENDABLE and not options.strict
            (warnings if is_expendable else problems).append(str(error))
        else:
            if field == CONSENT and value is not BLANK:
                fields = value | fields  # a column with the time itself knows better
            elif value is not BLANK:
                fields[field] = value
    return fields, problems, warnings


def add_tags(
    fields: dict[str, Any], is_cleared: bool, options: ReadOptions, problems: list[str]
) -> None:
    """Adds the tags of the import to the tags in `fields`. They are named `+tags` if the contact
    keeps its other tags: tags are to be added, or the row has none and leaves them alone."""
    replaces = "tags" in fields and (is_cleared or not options.adds_tags)
    try:
        tags = rules.tags([*fields.pop("tags", ()), *options.tag])
    except ValueError as error:
        problems.append(str(error))
        return
    if tags or replaces:
        fields["tags" if replaces else "+tags"] = tags


def misfit(rest: list[str] | str) -> str:
    """Why a record does not fit its columns. `rest`: the cells that are too many, the line of
    NDJSON that is not an object, or the mistake itself."""
    if isinstance(rest, Mistake):
        return rest
    if isinstance(rest, list):
        return _("There are more cells than columns: is a delimiter in a cell not quoted?")
    try:
        strict_json.loads(rest)
    except strict_json.MalformedJSON as error:
        if "\n" not in rest:
            return str(error)
        return f"{error} {_('Lines count from the beginning of the record.')}"
    return _("The line is not a JSON object.")


class Several(list[Any]):
    """The values of a field that a record has more than once, the best first."""


# The fields of which a record may have several values. Of another field, the first value counts.
OF_SEVERAL = {"phone", "email", "tags", FORMER, CONSENT}


def gathered(cells: dict[Any, Any], options: ReadOptions) -> dict[str, Any]:
    """The values that are not blank, by field; a `Several` if there are several. The parts of a
    name become one name, the columns of metadata keys become one value."""
    given: dict[str, Any] = {}
    keys: dict[str, Any] = {}
    if options.codes or options.whatsapp_ids:
        cells = with_whatsapp_ids(with_country_codes(cells, options), options)
    for column, field in fields_of(cells, options):
        raw = content(cells.get(column), options)
        if raw is None or raw == "" or raw == []:
            continue
        if field.startswith("metadata."):
            keys.setdefault(field.removeprefix("metadata."), None if raw is CLEARED else raw)
        elif field not in given:
            given[field] = raw
        elif field in OF_SEVERAL:
            given[field] = Several([*each(given[field]), raw])
    complete_name(given, options)
    if keys:
        given["metadata"] = (given.get("metadata"), keys)
    return given


def complete_name(given: dict[str, Any], options: ReadOptions) -> None:
    leave_out_phone_as_name(given, options)
    if options.names_last_first and isinstance(given.get("name"), str):
        given["name"] = written.first_last(given["name"])
    if not columns.PARTS_OF_NAME.keys().isdisjoint(given):
        join_name(given)
        leave_out_phone_as_name(given, options)


def join_name(given: dict[str, Any]) -> None:
    """Replaces the parts of a name by the name, if the record has no whole name."""
    parts = [given.pop(field) for field in [*given] if field in columns.PARTS_OF_NAME]
    if parts and "name" not in given:
        kept = [str(part) for part in parts if part is not CLEARED]
        given["name"] = " ".join(kept) or CLEARED


COUNTRY_CODE = re.compile(r"(?:\+|00)?([1-9]\d{0,3})(?:\.0)?")


def with_country_codes(cells: dict[Any, Any], options: ReadOptions) -> dict[Any, Any]:
    """`cells` with complete phones in the columns that have a column with the country code."""
    read = {column: content(cells.get(column), options) for column in options.codes}
    return cells | {
        column: with_country_code(read[column], cells.get(code), options)
        for column, code in options.codes.items()
    }


def with_country_code(raw: Any, code: Any, options: ReadOptions) -> Any:
    """The phone in the cell `raw` with the country code in the cell `code`; `raw` itself if there
    is no phone with this code, or the phone has its code already.

    A phone that begins with the digits of its code may have the code already: the valid reading
    counts. If both are valid, nobody can tell, and `raw` is read by the options of the import."""
    found = COUNTRY_CODE.fullmatch(str(content(code, options)).strip())
    if not found or not isinstance(raw, str | int) or str(raw).startswith(("+", "00")):
        return raw
    behind = e164(f"+{found[1]} {raw}", options)
    if phones.digits(str(raw)).startswith(found[1]):
        whole = e164(f"+{raw}", options)
        if whole and phones.is_valid(whole):
            return raw if behind and phones.is_valid(behind) else whole
    return behind or raw


def with_whatsapp_ids(cells: dict[Any, Any], options: ReadOptions) -> dict[Any, Any]:
    """`cells` with the ids of WhatsApp in a spelling that says that the country code is there."""
    read = {column: content(cells.get(column), options) for column in options.whatsapp_ids}
    return cells | {
        column: f"whatsapp:{raw}"
        for column, raw in read.items()
        if isinstance(raw, str | int) and DIGITS.fullmatch(str(raw))
    }


def leave_out_phone_as_name(given: dict[str, Any], options: ReadOptions) -> None:
    """Removes a name that is the phone of the record itself. A vCard must have a name, and other
    programs want one, too: they write the phone of somebody without a name."""
    name = given.get("name")
    if isinstance(name, str) and name[:1] in STARTS_OF_PHONES and is_phone(name, given, options):
        del given["name"]


def is_phone(name: str, given: dict[str, Any], options: ReadOptions) -> bool:
    """Whether `name` is one of the phones in `given`, in any spelling."""
    if not PHONE.fullmatch(name):
        return False
    texts = [str(raw) for raw in each(given.get("phone", ""))]
    spelled = [name, *(text for raw in texts for text in written.values_of(raw))]
    numbers = [re.sub(r"\D", "", text) for text in spelled]
    return numbers[0] in numbers[1:] or e164(name, options) in {
        e164(text, options) for text in spelled[1:]
    } - {""}


def e164(text: str, options: ReadOptions) -> str:
    """The phone that `text` spells; empty if it spells none."""
    try:
        return rules.phone(text, options.region, has_country_code=options.phones_have_country_code)
    except ValueError:
        return ""


def fields_of(cells: dict[Any, Any], options: ReadOptions) -> Iterable[tuple[str, str]]:
    """The columns with their fields, the best first. In a file with columns such as `Phone 1 -
    Type`, each record has its own order of phones, without fax numbers."""
    if not options.types:
        return options.fields.items()
    phone_columns = [c for c, field in options.fields.items() if field == "phone"]
    kinds = {column: kind_in(cells, column, options) for column in phone_columns}
    kept = [pair for pair in options.fields.items() if kinds.get(pair[0]) != PhoneKind.NEVER]
    return sorted(kept, key=lambda pair: kinds.get(pair[0], 0))


def kind_in(cells: dict[Any, Any], column: str, options: ReadOptions) -> PhoneKind:
    """The kind of the phone that a record has in `column`."""
    said = cells.get(options.types.get(column))
    kind = kind_of_type(said) if isinstance(said, str) else None
    return kind or phone_kind(column) or PhoneKind.UNNAMED


def each(raw: Any) -> list[Any]:
    return raw if isinstance(raw, Several) else [raw]


def content(cell: Any, options: ReadOptions) -> Any:
    """The value of a cell; `CLEARED` for the clear marker. A clear marker with an apostrophe before
    it is text."""
    if not isinstance(cell, str):
        return cell
    text = cell.strip()
    if text == options.clear_marker:
        return CLEARED
    if text.startswith(written.MARKS) and options.has_apostrophes:
        return written.text_of(text).strip()
    return text


def value_of(field: str, raw: Any, options: ReadOptions) -> Any:
    if field == CONSENT:
        return consent(each(raw), options)
    if isinstance(raw, Several):
        return value_of_several(field, raw, options)
    if field == "phone":
        return phone("" if raw is CLEARED else raw, options)
    if field == FORMER:
        return former_phones(raw, options)
    if raw is CLEARED:
        return None if field == "metadata" else RULES[field](None)
    return moment(raw, options) if field in MOMENTS else READERS[field](raw)


def value_of_several(field: str, values: Several, options: ReadOptions) -> Any:
    """All tags; of another field, the first value that keeps the rule. Raises the error of the
    first value if none does."""
    filled = [raw for raw in values if raw is not CLEARED] or values[:1]
    if field == "tags":
        return rules.tags([tag for raw in filled for tag in value_of(field, raw, options)])
    if field == FORMER:
        return former_phones([phone for raw in filled for phone in listed(raw)], options)
    return first_good(lambda raw: value_of(field, raw, options), filled)


def phone(raw: Any, options: ReadOptions) -> Any:
    """The first phone in a cell, or `BLANK`.

    No error repeats the phone: errors are kept when the file is gone and when its owner is erased.
    """
    if not isinstance(raw, str):
        return one_phone(str(raw) if rules.is_number(raw) else raw, options)
    if written.VALUE_SEPARATOR in raw:
        return first_good(lambda value: one_phone(value, options), written.values_of(raw))
    return one_phone(raw, options)


def one_phone(text: Any, options: ReadOptions) -> Any:
    try:
        return rules.phone(text, options.region, has_country_code=options.phones_have_country_code)
    except ValueError:
        if isinstance(text, str) and written.means_nothing(text):
            return BLANK
        if isinstance(text, str) and not options.region and DIGITS.fullmatch(text):
            raise ValueError(_(NO_PLUS)) from None
        raise


NO_PLUS = gettext_noop(
    "The + is missing in front: a spreadsheet may have dropped it. Add it, say that phones have"
    " their country code, or give the country of national numbers as region."
)


MOST_TRIED = 50  # values of a cell; a cell of a megabyte must not take seconds


def first_good(rule: Callable[[Any], Any], values: list[Any]) -> Any:
    """What `rule` returns for the first of `values` that obeys it; at most `MOST_TRIED` are tried.
    `BLANK` if all are blank or mean nothing. Raises the error of the first one that breaks the
    rule."""
    first: ValueError | None = None
    for value in values[:MOST_TRIED]:
        try:
            found = rule(value)
        except ValueError as error:
            first = first or error
        else:
            if found is not BLANK:
                return found
    if first:
        raise first
    return BLANK


def email(raw: Any) -> Any:
    """The first address in a cell, or `BLANK`."""
    try:
        return rules.email(raw)
    except ValueError:
        if not isinstance(raw, str):
            raise
    return first_good(one_email, written.addresses_of(raw))


def one_email(text: str) -> Any:
    return BLANK if not text or written.means_nothing(text) else rules.email(text)


def locale(raw: Any) -> Any:
    is_nothing = isinstance(raw, str) and written.means_nothing(raw, written.NO_LOCALE)
    return BLANK if is_nothing else rules.locale(raw)


def tags(raw: Any) -> list[str]:
    return rules.tags(written.tags_of(raw) if isinstance(raw, str) else raw)


MAX_FORMER = 100  # phones of one record
ONLY_ADDED = gettext_noop(
    "Former phones are only added; to take one away, use remove-former-phone."
)


def former_phones(raw: Any, options: ReadOptions) -> Any:
    """The phones in a cell or a list, each once, or `BLANK`."""
    if raw is CLEARED:
        raise ValueError(_(ONLY_ADDED))
    given = listed(raw)
    if len(given) > MAX_FORMER:
        raise ValueError(_("There are more than %(most)s former phones.") % {"most": MAX_FORMER})
    try:
        found = [phone(each, options) for each in given]
    except ValueError as error:
        raise ValueError(_("A former phone is wrong: %(problem)s") % {"problem": error}) from error
    return [*dict.fromkeys(each for each in found if each is not BLANK)] or BLANK


def listed(raw: Any) -> list[Any]:
    """The values in a cell, in which commas and other separators stand between them."""
    if isinstance(raw, str):
        return written.tags_of(raw)
    return raw if isinstance(raw, list) else [raw]


def moment(raw: Any, options: ReadOptions) -> Any:
    """The time of a decision in a cell, or `BLANK`."""
    text = rules.string("time", raw)
    if written.means_nothing(text):
        return BLANK
    zone = ZoneInfo(options.timezone) if options.timezone else None
    return rules.past(dates.moment(text, options.dates, zone))


def consent(values: list[Any], options: ReadOptions) -> Any:
    """The field that the cells with yes or no set, with its time, or `BLANK`. Of several cells, a
    no counts: nobody may be contacted who has refused once."""
    said = [answer for raw in values if (answer := one_consent(raw)) is not BLANK]
    if not said:
        return BLANK
    return {"opted_in_at" if all(said) else "opted_out_at": options.consent_since}


def one_consent(raw: Any) -> Any:
    try:
        return BLANK if raw is CLEARED else answers.answer(str(raw))
    except ValueError:
        # After `answer`: `no` is one of the words that mean nothing elsewhere.
        if written.means_nothing(str(raw)):
            return BLANK
        raise


def phone_of(cells: dict[Any, Any], options: ReadOptions) -> str:
    """The phone of a record in E.164; empty if the record has no valid phone. The other fields of
    the record may be invalid."""
    try:
        found = value_of("phone", gathered(cells, options).get("phone"), options)
    except ValueError:
        return ""
    return "" if found is BLANK else str(found)


def phones_of(cells: dict[Any, Any], options: ReadOptions) -> set[str]:
    """The phone and the former phones of a record; see `phone_of`."""
    found = {phone_of(cells, options)} - {""}
    if FORMER not in options.fields.values():
        return found
    given = each(gathered(cells, options).get(FORMER, ""))
    for value in [value for raw in given for value in listed(raw)]:
        with suppress(ValueError):
            found.add(phone(value, options))
    return found - {BLANK}


def metadata(raw: Any) -> dict[str, Any] | None:
    """The metadata of a record: from an object, or from a cell with JSON. Columns that are mapped
    to metadata keys overwrite the keys of this object."""
    whole, keys = raw if isinstance(raw, tuple) else (raw, {})
    if isinstance(whole, str):
        try:
            whole = strict_json.loads(whole)
        except strict_json.MalformedJSON as error:  # its sentence may repeat a number of the cell
            raise ValueError(_("The metadata must be a JSON object.")) from error
    given = rules.metadata(whole)
    return rules.metadata(given | keys) if keys else given


READERS = RULES | {"email": email, "locale": locale, "tags": tags, "metadata": metadata}
