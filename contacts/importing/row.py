"""One record of a file → the fields of a contact, by the rules that all callers share."""

import re
from collections.abc import Iterable
from typing import Any, NamedTuple

from contacts import schema
from contacts.values import rules, strict_json
from contacts.values.formulas import original
from contacts.values.header_names import PhoneKind, kind_of_type, phone_kind

from . import columns
from .cells import values_of
from .record_file import RecordFile

# Phones that a spreadsheet has turned into numbers.
SCIENTIFIC = re.compile(r"\+?\d([.,]\d+)?[eE]\+?\d+")
FLOAT = re.compile(r"\+?\d{7,}[.,]0+")
DIGITS = re.compile(r"[1-9]\d{7,14}")

RULES = {field.name: field.rule for field in schema.FIELDS if field.rule}


class ReadOptions(NamedTuple):
    """How the cells are read. `fields`: the field of each column that has one, the best column of a
    field first, as `columns.match` returns it; so are `types`. `region`: the country of phones
    without +. `is_csv`: cells may have the apostrophe that `formulas.neutral` puts before a
    formula."""

    fields: dict[str, str]
    region: str = ""
    clear_marker: str = "--"
    is_csv: bool = True
    types: dict[str, str] = {}


class NoPhone(columns.UnknownColumn):
    """No column is mapped to the phone, and no column's name is known to mean the phone."""


def read_options(source: RecordFile, given: dict[str, Any], region: str) -> ReadOptions:
    """How `source` is read.

    `given`: the options of the import, of which `map`, `rest_to_metadata`, `region` and
    `clear_marker` are used. `region`: the default region of the tenant.

    Raises `UnknownColumn`, and `NoPhone` if no column is the phone.
    """
    fields, types = matched(source, given)
    if "phone" not in fields.values():
        raise NoPhone(
            "No column is known to be the phone; map a column, as COLUMN=phone.", source.header
        )
    region = given["region"] or region
    is_csv = not source.is_json
    return ReadOptions(fields, region, given["clear_marker"], is_csv=is_csv, types=types)


def matched(source: RecordFile, given: dict[str, Any]) -> columns.Columns:
    """The columns of `source` by the options of the import. Raises `UnknownColumn`."""
    rest = given["rest_to_metadata"]
    return columns.match(source.header, given["map"], rest_to_metadata=rest, titles=source.titles)


CLEARED = object()  # the value of a cell that has the clear marker


class BadRecord(ValueError):
    """The message has a sentence for each field that is wrong."""


def clean(cells: dict[Any, Any], options: ReadOptions) -> dict[str, Any]:
    """The fields that a record sets: blank cells set nothing.

    `metadata` has the keys to merge into the metadata of the contact, or is None if the clear
    marker clears all metadata. Raises `BadRecord`.
    """
    if None in cells:
        raise BadRecord(misfit(cells[None]))
    given = gathered(cells, options)
    fields: dict[str, Any] = {}
    problems = []
    for field, raw in given.items():
        try:
            fields[field] = value_of(field, raw, options)
        except ValueError as error:
            problems.append(str(error))
    if "phone" not in given:
        problems.insert(0, "The phone is required.")
    if problems:
        raise BadRecord(" ".join(problems))
    return fields


def misfit(rest: list[str] | str) -> str:
    """Why a record does not fit its columns. `rest`: the cells that are too many, or the line of
    NDJSON that is not an object."""
    if isinstance(rest, list):
        return "There are more cells than columns: is a delimiter in a cell not quoted?"
    try:
        strict_json.loads(rest)
    except strict_json.MalformedJSON as error:
        return str(error)
    return "The line is not a JSON object."


class Several(list[Any]):
    """The values of a field that a record has more than once, the best first."""


# The fields of which a record may have several values. Of another field, the first value counts.
OF_SEVERAL = {"phone", "email", "tags"}
OF_CELLS_WITH_SEVERAL = {"phone", "email"}  # the rule of tags parts their cells itself


def gathered(cells: dict[Any, Any], options: ReadOptions) -> dict[str, Any]:
    """The values that are not blank, by field; a `Several` if there are several. The parts of a
    name become one name, the columns of metadata keys become one value."""
    given: dict[str, Any] = {}
    keys: dict[str, Any] = {}
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
    for field in given.keys() & OF_CELLS_WITH_SEVERAL:
        given[field] = parted(given[field])
    join_name(given)
    if keys:
        given["metadata"] = (given.get("metadata"), keys)
    return given


def join_name(given: dict[str, Any]) -> None:
    """Replaces the parts of a name by the name, if the record has no whole name."""
    parts = [given.pop(field) for field in [*given] if field in columns.PARTS_OF_NAME]
    if parts and "name" not in given:
        kept = [str(part) for part in parts if part is not CLEARED]
        given["name"] = " ".join(kept) or CLEARED


def fields_of(cells: dict[Any, Any], options: ReadOptions) -> Iterable[tuple[str, str]]:
    """The columns with their fields, the best first. In a file with columns such as `Phone 1 -
    Type`, each record has its own order of phones, without fax numbers."""
    if not options.types:
        return options.fields.items()
    phones = [column for column, field in options.fields.items() if field == "phone"]
    kinds = {column: kind_in(cells, column, options) for column in phones}
    kept = [pair for pair in options.fields.items() if kinds.get(pair[0]) != PhoneKind.NEVER]
    return sorted(kept, key=lambda pair: kinds.get(pair[0], 0))


def kind_in(cells: dict[Any, Any], column: str, options: ReadOptions) -> PhoneKind:
    """The kind of the phone that a record has in `column`."""
    said = cells.get(options.types.get(column))
    kind = kind_of_type(said) if isinstance(said, str) else None
    return kind or phone_kind(column) or PhoneKind.UNNAMED


def each(raw: Any) -> list[Any]:
    return raw if isinstance(raw, Several) else [raw]


def parted(raw: Any) -> Any:
    """`raw` with the values of cells that have several."""
    found = [
        value
        for cell in each(raw)
        for value in (values_of(cell) if isinstance(cell, str) else [cell])
    ]
    return found[0] if len(found) == 1 else Several(found)


def content(cell: Any, options: ReadOptions) -> Any:
    """The value of a cell; `CLEARED` for the clear marker. A clear marker with an apostrophe before
    it is text."""
    if not isinstance(cell, str):
        return cell
    text = cell.strip()
    if text == options.clear_marker:
        return CLEARED
    return original(text).strip() if options.is_csv else text


def value_of(field: str, raw: Any, options: ReadOptions) -> Any:
    if isinstance(raw, Several):
        return value_of_several(field, raw, options)
    if field == "phone":
        return phone("" if raw is CLEARED else raw, options.region)
    if raw is CLEARED:
        return None if field == "metadata" else RULES[field](None)
    if field == "metadata":
        return metadata(raw)
    return RULES[field](raw)


def value_of_several(field: str, values: Several, options: ReadOptions) -> Any:
    """All tags; of another field, the first value that keeps the rule. Raises the error of the
    first value if none does."""
    filled = [raw for raw in values if raw is not CLEARED] or values[:1]
    if field == "tags":
        return RULES[field]([tag for raw in filled for tag in value_of(field, raw, options)])
    errors = []
    for raw in filled:
        try:
            if value := value_of(field, raw, options):
                return value
        except ValueError as error:
            errors.append(error)
    if errors:
        raise errors[0]
    return value_of(field, filled[0], options)


def phone(raw: Any, region: str) -> str:
    """`rules.phone`, with errors of their own for phones that a spreadsheet has changed.

    No error repeats the phone: errors are kept when the file is gone and when its owner is erased.
    """
    text = str(raw) if isinstance(raw, int) and not isinstance(raw, bool) else raw
    if isinstance(text, str):
        if SCIENTIFIC.fullmatch(text):
            raise ValueError(
                "A spreadsheet has turned the phone into a number such as 1.4E+10: its digits are"
                " lost. Format the column as text and export again."
            )
        if FLOAT.fullmatch(text):
            raise ValueError(
                "A spreadsheet has turned the phone into a number such as 14155550123.0. Format"
                " the column as text and export again."
            )
        if not region and DIGITS.fullmatch(text):
            raise ValueError(
                "The + is missing in front: a spreadsheet may have dropped it. Add it, or give the"
                " country of national numbers as region."
            )
    return rules.phone(text, region)


def phone_of(cells: dict[Any, Any], options: ReadOptions) -> str:
    """The phone of a record in E.164; empty if the record has no valid phone. The other fields of
    the record may be invalid."""
    try:
        return str(value_of("phone", gathered(cells, options).get("phone"), options))
    except ValueError:
        return ""


def metadata(raw: Any) -> dict[str, Any] | None:
    """The metadata of a record: from an object, or from a cell with JSON. Columns that are mapped
    to metadata keys overwrite the keys of this object."""
    whole, keys = raw if isinstance(raw, tuple) else (raw, {})
    if isinstance(whole, str):
        whole = strict_json.loads(whole)
    given = rules.metadata(whole)
    return rules.metadata(given | keys) if keys else given
