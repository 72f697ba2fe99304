"""What an import has found out about its file: its job stores this, and all doors tell it."""

from typing import Any

from .record_file import RecordFile
from .row import ReadOptions


def findings(source: RecordFile, options: ReadOptions) -> dict[str, Any]:
    """How `source` is read, as JSON can hold it; part of the options of the job.

    `read_as`: the encoding, the delimiter and the line of the header; None where a file of this
    kind has none. `column_list`: each column with its index from 0, its name in the file, and its
    field, or None if it is left out.
    """
    return {
        "fields": options.fields,
        "region": options.region,
        "read_as": {
            "encoding": source.encoding,
            "delimiter": None if source.is_json else source.delimiter,
            "header_line": source.header_line or None,
        },
        "column_list": [
            {"index": index, "header": title, "field": options.fields.get(column)}
            for index, (column, title) in enumerate(zip(source.header, source.titles, strict=True))
        ],
    }
