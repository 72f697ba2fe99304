"""What an import has found out about its file. Its job stores this; the command, the API and the
admin show it."""

from typing import Any

from contacts.values.translation import gettext as _
from contacts.values.translation import ngettext

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
        parts.append(_("sheet “%(name)s”") % {"name": shortened(found["sheet"])})
    if found["encoding"]:
        parts.append(_("encoding %(name)s") % {"name": found["encoding"]})
    if found["delimiter"]:
        shown = found["delimiter"].replace("\t", "\\t")
        parts.append(_("delimiter “%(character)s”") % {"character": shown})
    if found["header_line"]:
        parts.append(_("header in line %(line)s") % {"line": found["header_line"]})
    elif found["delimiter"] or found["sheet"]:
        parts.append(_("no header"))
    return ", ".join(parts)


def sheets_note(found: dict[str, Any]) -> str:
    """Which sheets of a workbook are not read, for people; empty if all sheets with rows are."""
    sheets = found["sheets"] or []
    others = [name for name in sheets if name != found["sheet"]]
    if not others:
        return ""
    named = ", ".join(_("“%(name)s”") % {"name": shortened(one)} for one in others[:SHOWN_SHEETS])
    if more := max(len(others) - SHOWN_SHEETS, 0):
        named = ngettext("%(names)s and %(count)s more", "%(names)s and %(count)s more", more) % {
            "names": named,
            "count": more,
        }
    # More than one, so that the sentence needs no singular.
    return _(
        "The workbook has %(count)s sheets with rows; “%(read)s” is read. Not read: %(names)s."
    ) % {"count": len(sheets), "read": shortened(found["sheet"]), "names": named}
