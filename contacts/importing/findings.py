"""What an import has found out about its file: its job stores this, and all doors tell it."""

from typing import Any

from .columns import shortened
from .record_file import RecordFile
from .row import ReadOptions

MAX_SHEETS = 100  # names; a file may have ten thousand sheets
SHOWN_SHEETS = 10  # names of sheets that are not read


def findings(source: RecordFile, options: ReadOptions) -> dict[str, Any]:
    """How `source` is read, as JSON can hold it; part of the options of the job.

    `column_list`: each column with its index from 0, its name in the file, and its field, or None
    if it is left out.
    """
    return {
        "fields": options.fields,
        "region": options.region,
        "read_as": read_as(source),
        "column_list": [
            {"index": index, "header": title, "field": options.fields.get(column)}
            for index, (column, title) in enumerate(zip(source.header, source.titles, strict=True))
        ],
    }


def read_as(source: RecordFile) -> dict[str, Any]:
    """The encoding, the delimiter, the line of the header, the sheet and all sheets with rows; None
    where a file of this kind has none."""
    return {
        "encoding": source.encoding or None,
        "delimiter": source.delimiter if source.kind.has_delimiter else None,
        "header_line": source.header_line or None,
        "sheet": source.sheet or None,
        "sheets": source.sheets[:MAX_SHEETS] or None,
    }


def description(found: dict[str, Any]) -> str:
    """What `read_as` has found, for people: `encoding utf-8, delimiter “;”, header in line 1`."""
    parts = []
    if found["sheet"]:
        parts.append(f"sheet “{shortened(found['sheet'])}”")
    if found["encoding"]:
        parts.append(f"encoding {found['encoding']}")
    if found["delimiter"]:
        shown = found["delimiter"].replace("\t", "\\t")
        parts.append(f"delimiter “{shown}”")
    if found["header_line"]:
        parts.append(f"header in line {found['header_line']}")
    elif found["delimiter"] or found["sheet"]:
        parts.append("no header")
    return ", ".join(parts)


def sheets_note(found: dict[str, Any]) -> str:
    """Which sheets of a workbook are not read, for people; empty if all sheets with rows are."""
    sheets = found["sheets"] or []
    others = [name for name in sheets if name != found["sheet"]]
    if not others:
        return ""
    named = ", ".join(f"“{shortened(name)}”" for name in others[:SHOWN_SHEETS])
    more = f" and {len(others) - SHOWN_SHEETS} more" if len(others) > SHOWN_SHEETS else ""
    return (
        f"The workbook has {len(sheets)} sheets with rows; “{shortened(found['sheet'])}” is read."
        f" Not read: {named}{more}."
    )
