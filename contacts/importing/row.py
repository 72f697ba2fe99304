"""One record of a file → the fields of a contact, by the same rules as everywhere."""

import re
from typing import Any, NamedTuple

from contacts import schema
from contacts.values import rules, strict_json

from . import columns
from .tabular import Source, original

# What spreadsheets make of long numbers.
SCIENTIFIC = re.compile(r"\+?\d([.,]\d+)?[eE]\+?\d+")
FLOAT = re.compile(r"\+?\d{7,}[.,]0+")
DIGITS = re.compile(r"[1-9]\d{7,14}")

RULES = {field.name: field.rule for field in schema.FIELDS if field.rule}


class Options(NamedTuple):
    """How the cells are read. `fields`: of each column that has one, as `columns.match` says.
    `is_csv`: cells may carry the apostrophe that `tabular.neutral` puts before a formula."""

    fields: dict[str, str]
    region: str = ""
    clear_marker: str = "--"
    is_csv: bool = True


class NoPhone(columns.UnknownColumn):
    """No column is mapped to the phone, nor known to be it."""


def options_for(source: Source, given: dict[str, Any], region: str) -> Options:
    """How `source` is read. `given`: `map` (field by column), `rest_to_metadata`, `region`
    (else the tenant's, `region`) and `clear_marker`, as a caller says them.

    Raises `UnknownColumn`; `NoPhone` where no column is the phone.
    """
    fields = columns.match(source.header, given["map"], rest_to_metadata=given["rest_to_metadata"])
    if "phone" not in fields.values():
        raise NoPhone(
            "No column is known to be the phone; map one, as COLUMN=phone.", source.header
        )
    region = given["region"] or region
    return Options(fields, region, given["clear_marker"], is_csv=not source.is_json)


CLEARED = object()


class BadRecord(ValueError):
    """The sentences say what is wrong with which field."""


def clean(cells: dict[Any, Any], options: Options) -> dict[str, Any]:
    """The fields that a record gives; those left blank are not among them.

    Raises `BadRecord`. Metadata are the keys to merge; the marker clears them as a whole: None.
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
    """Why a record does not fit its columns: `rest` is more cells, or a line that is no object."""
    if isinstance(rest, list):
        return "There are more cells than columns: is a delimiter in a cell not quoted?"
    try:
        strict_json.loads(rest)
    except strict_json.MalformedJSON as error:
        return str(error)
    return "The line is not a JSON object."


def gathered(cells: dict[Any, Any], options: Options) -> dict[str, Any]:
    """What is not blank, by field: names put together, metadata keys put into one object."""
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


def content(cell: Any, options: Options) -> Any:
    """What a cell says: `CLEARED` for the marker, which is one only where it stands plain."""
    if not isinstance(cell, str):
        return cell
    text = cell.strip()
    if text == options.clear_marker:
        return CLEARED
    return original(text).strip() if options.is_csv else text


def value_of(field: str, raw: Any, options: Options) -> Any:
    if field == "phone":
        return phone("" if raw is CLEARED else raw, options.region)
    if raw is CLEARED:
        return None if field == "metadata" else RULES[field](None)
    if field == "metadata":
        return metadata(raw)
    return RULES[field](raw)


def phone(raw: Any, region: str) -> str:
    """As `rules.phone`, and what spreadsheets do to phones told apart.

    No sentence repeats the phone: it is kept after the file is gone, and its owner erased.
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
                "The + is missing in front: a spreadsheet may have dropped it. Put it back, or name"
                " the country of national numbers: region."
            )
    return rules.phone(text, region)


def phone_of(cells: dict[Any, Any], options: Options) -> str:
    """The phone of a record that may be wrong in other fields; empty where it has none."""
    raw = gathered(cells, options).get("phone")
    try:
        return phone("" if raw is CLEARED else raw, options.region)
    except ValueError:
        return ""


def metadata(raw: Any) -> dict[str, Any] | None:
    """From JSON in a cell, or an object; and the keys of columns of their own, over those."""
    whole, keys = raw if isinstance(raw, tuple) else (raw, {})
    if isinstance(whole, str):
        whole = strict_json.loads(whole)
    given = rules.metadata(whole)
    return rules.metadata(given | keys) if keys else given
