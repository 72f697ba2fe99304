"""The file formats that an import reads, a module each.

To add a format, write a class that is a `Format` (see `format`), and add it to `FORMATS`.
"""

from .csv import CSVFormat
from .format import Format, InputFile
from .json_array import JSONArrayFormat
from .ndjson import NDJSONFormat
from .refused import refuse_other_files, refuse_unknown_file
from .vcard import VCardFormat
from .workbook import WorkbookFormat

# In this order a file is tried. A CSV has no beginning of its own, so CSV comes last.
FORMATS: list[type[Format]] = [
    WorkbookFormat,
    JSONArrayFormat,
    NDJSONFormat,
    VCardFormat,
    CSVFormat,
]


def format_of(file: InputFile) -> type[Format]:
    """The format of `file`, by its first bytes; the name of a file is often wrong.

    Raises `UnreadableFile` for a file that has no records, such as a PDF.
    """
    if name := file.known.get("format"):
        return next(kind for kind in FORMATS if kind.name == name)
    refuse_other_files(file)
    kind = next((kind for kind in FORMATS if kind.recognises(file)), None)
    if kind is None:
        refuse_unknown_file()
    return kind
