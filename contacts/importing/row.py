"""One record of a file → the fields of a contact, by the rules that all callers share."""

import re
from typing import Any, NamedTuple

from contacts import schema
from contacts.values import rules, strict_json
from contacts.values.formulas import original

from . import columns
from .record_file import RecordFile
from .records import Mistake

# Phones that a spreadsheet has turned into numbers.
SCIENTIFIC = re.compile(r"\+?\d([.,]\d+)?[eE]\+?\d+")
FLOAT = re.compile(r"\+?\d{7,}[.,]0+")
DIGITS = re.compile(r"[1-9]\d{7,14}")

RULES = {field.name: field.rule for field in schema.FIELDS if field.rule}


class ReadOptions(NamedTuple):
    """How the cells are read. `fields`: the field of each column that has one, as `columns.match`
    returns it. `region`: the country of phones without +. `is_csv`: cells may have the apostrophe
    that `formulas.neutral` puts before a formula."""

    fields: dict[str, str]
    region: str = ""
    clear_marker: str = "--"
    is_csv: bool = True


class NoPhone(columns.UnknownColumn):
    """No column is mapped to the phone, and no column's name is known to mean the phone."""


def read_options(source: RecordFile, given: dict[str, Any], region: str) -> ReadOptions:
    """How `source` is read.

    `given`: the options of the import, of which `map`, `rest_to_metadata`, `region` and
    `clear_marker` are used. `region`: the default region of the tenant.

    Raises `UnknownColumn`, and `NoPhone` if no column is the phone.
    """
    try:
        fields = columns.match(
            source.header, given["map"], rest_to_metadata=given["rest_to_metadata"]
        )
        if "phone" not in fields.values():
            raise NoPhone(
                "No column is known to be the phone; map a column, as COLUMN=phone.", source.header
            )
    except columns.UnknownColumn as error:
        if source.names_columns:
            raise
        raise type(error)(error.sentence) from None  # without the list: it may be a person
    region = given["region"] or region
    return ReadOptions(fields, region, given["clear_marker"], is_csv=not source.kind.is_json)


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
    """Why a record does not fit its columns. `rest`: the cells that are too many, the line of
    NDJSON that is not an object, or the mistake itself."""
    if isinstance(rest, Mistake):
        return rest
    if isinstance(rest, list):
        return "There are more cells than columns: is a delimiter in a cell not quoted?"
    try:
        strict_json.loads(rest)
    except strict_json.MalformedJSON as error:
        from_record = " Lines count from the beginning of the record." * ("\n" in rest)
        return f"{error}{from_record}"
    return "The line is not a JSON object."


def gathered(cells: dict[Any, Any], options: ReadOptions) -> dict[str, Any]:
    """The values that are not blank, by field. First and last name become one name, the columns of
    metadata keys become one value."""
    given: dict[str, Any] = {}
    keys: dict[str, Any] = {}
    for column, field in options.fields.items():
        raw = content(cells.get(column), options)
        if raw is None or raw == "" or raw == []:
            continue
        if field.startswith("metadata."):
            keys[field.removeprefix("metadata.")] = None if raw is CLEARED else raw
        else:
            given[field] = raw
    names = [given.pop(part) for part in columns.PARTS_OF_NAME if part in given]
    if names and "name" not in given:
        kept = [str(name) for name in names if name is not CLEARED]
        given["name"] = " ".join(kept) or CLEARED
    if keys:
        given["metadata"] = (given.get("metadata"), keys)
    return given


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
    if field == "phone":
        return phone("" if raw is CLEARED else raw, options.region)
    if raw is CLEARED:
        return None if field == "metadata" else RULES[field](None)
    if field == "metadata":
        return metadata(raw)
    return RULES[field](raw)


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
    raw = gathered(cells, options).get("phone")
    try:
        return phone("" if raw is CLEARED else raw, options.region)
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
