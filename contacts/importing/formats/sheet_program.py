"""A program: writes rows of a workbook to standard output, as lines of JSON.

It takes the path of the workbook, the number of bytes that the workbook may unpack to, and the
index of a sheet, or `heads` for the first rows of each sheet that is not hidden.

A process of its own reads a workbook, because python-calamine holds a whole sheet in memory: a
cell in the last row and column of a small file asks for gigabytes. This process has limits of
memory and time, and is gone with its memory before the import begins. A file that crashes the
library ends this process only.

It writes the rows that have a value, as `[number, cell, …]`. With `heads`, an object follows the
rows of each sheet: its name, its index, and whether all of its rows were written. At the end there
is `"done"`, or an object with the reason for which the file cannot be read.
"""

import io
import json
import os
import re
import resource
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from datetime import date, datetime, time, timedelta
from typing import IO, Any
from zipfile import BadZipFile, ZipFile, ZipInfo

from python_calamine import (
    CalamineError,
    CalamineWorkbook,
    PasswordError,
    SheetTypeEnum,
    SheetVisibleEnum,
)

MAX_MEMORY = 640 * 1024 * 1024  # bytes of addresses, of which a part is never used
MAX_SECONDS = 120  # of the processor
# Of the processor, for each MiB of the file. A damaged file of a few hundred bytes can keep
# python-calamine in an endless loop, and its import must not keep others waiting for minutes.
SECONDS_PER_MIB = 10
LEAST_SECONDS = 5
MAX_PARTS = 10_000  # files in the archive that a workbook is
HEAD_ROWS = 200  # of each sheet, with `heads`
MAX_HEADS = 16 * 1024 * 1024  # characters of all heads; the server holds them in memory
# Bytes. `heads` holds so much of a workbook in memory, besides its sheets.
MAX_OTHER_PARTS = 64 * 1024 * 1024
BLOCK = 1024 * 1024  # bytes
WORKSHEET = re.compile(rb"<(?:\w+:)?worksheet[\s>]")
LONGEST_TAG = 100  # bytes; a longer tag may be cut by the end of a block, and is not seen
ROW_END = re.compile(rb"</(\w+:)?row\s*>")
VALUE_END = re.compile(rb"</(?:\w+:)?(?:v|is)\s*>")
MAX_EXACT = 10**15  # spreadsheets keep fifteen digits of a number
DECLARATIONS = (b"<!DOCTYPE", b"<!ENTITY")  # no program writes them into a workbook


def gettext_noop(message: str) -> str:
    """Marks a text that the program's reader translates: `contacts` is not on the path here."""
    return message


WORD = gettext_noop(
    "This is a Word document, not a file of contacts. Export the contacts as CSV or XLSX."
)
POWERPOINT = gettext_noop(
    "This is a PowerPoint presentation, not a file of contacts. Export the contacts as CSV or XLSX."
)
IWORK = gettext_noop(
    "This is a document of Numbers, Pages or Keynote, not a file of contacts. Export the contacts"
    " as CSV or XLSX."
)
A_PROGRAM = gettext_noop(
    "This is a program, not a file of contacts. Export the contacts as CSV or XLSX."
)
BOOK = gettext_noop(
    "This is a book (EPUB), not a file of contacts. Export the contacts as CSV or XLSX."
)
OTHER_ARCHIVES = {
    "word/document.xml": WORD,
    "ppt/presentation.xml": POWERPOINT,
    "Index/Document.iwa": IWORK,
    "AndroidManifest.xml": A_PROGRAM,
    "META-INF/MANIFEST.MF": A_PROGRAM,
    "META-INF/container.xml": BOOK,
}
ENCRYPTED = gettext_noop(
    "This is a workbook with a password. Remove the password, save the workbook again, and import"
    " it."
)
OTHER_DOCUMENTS = {  # the names of streams in an OLE2 container, as UTF-16
    "EncryptedPackage": ENCRYPTED,
    "WordDocument": WORD,
    "PowerPoint Document": POWERPOINT,
    "__nameid_version1.0": gettext_noop(
        "This is a message of Outlook, not a file of contacts. Export the contacts from Outlook,"
        " as CSV."
    ),
}
NOT_READABLE = gettext_noop(
    "The workbook cannot be read; it may be damaged. Open it in a spreadsheet program and save it"
    " as XLSX or CSV."
)


class Refused(Exception):
    """The file cannot be read. The message says what the user can do, in English, with names for
    the `numbers` in it: the reader of the program translates it."""

    def __init__(self, sentence: str, **numbers: int) -> None:
        super().__init__(sentence)
        self.numbers = numbers


def refuse_other_archives(path: str, max_unpacked: int) -> None:
    """Raises `Refused` if the ZIP archive is no workbook, or unpacks to more than `max_unpacked`
    bytes."""
    with ZipFile(path) as archive:
        parts = archive.infolist()
        names = {part.filename for part in parts}
        for name, sentence in OTHER_ARCHIVES.items():
            if name in names:
                raise Refused(sentence)
        if not names & {"xl/workbook.xml", "xl/workbook.bin", "content.xml"}:
            raise Refused(
                gettext_noop("This is an archive. Unpack it, and import its files one by one.")
            )
        unpacked = sum(part.file_size for part in parts)
        if len(parts) > MAX_PARTS or unpacked > max_unpacked:
            sentence = gettext_noop(
                "The workbook unpacks to more than %(bytes)s bytes or %(parts)s parts. Save it as"
                " CSV."
            )
            raise Refused(sentence, bytes=max_unpacked, parts=MAX_PARTS)
        for part in parts:
            with archive.open(part) as opened:
                if any(word in opened.read(4096).upper() for word in DECLARATIONS):
                    raise Refused(
                        gettext_noop(
                            "The workbook has an XML document type, which no spreadsheet program"
                            " writes. Open it in a spreadsheet program and save it again."
                        )
                    )


def refuse_other_documents(path: str) -> None:
    """Raises `Refused` if the OLE2 container has no XLS."""
    with open(path, "rb") as file:  # noqa: PTH123 - `pathlib` is not needed here
        content = file.read()
    if any(has_stream(content, name) for name in ("Workbook", "Book")):
        return
    for name, sentence in OTHER_DOCUMENTS.items():
        if has_stream(content, name):
            raise Refused(sentence)


def has_stream(content: bytes, name: str) -> bool:
    """Whether the OLE2 container has a stream of this name. An entry of its directory has 64 bytes
    for the name, and then the length of the name (MS-CFB, section 2.6.1)."""
    spelled = name.encode("utf-16-le")
    return spelled.ljust(64, b"\0") + (len(spelled) + 2).to_bytes(2, "little") in content


def text_of(value: Any) -> str:
    """The text of a cell. Numbers without a fraction have no point: so phones keep their digits."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float):
        is_whole = value.is_integer() and abs(value) < MAX_EXACT
        return str(int(value)) if is_whole else repr(value)
    if isinstance(value, datetime | date | time):
        return value.isoformat()
    return str(value) if isinstance(value, int | timedelta) else ""


def lines_of(workbook: Any, index: int) -> Iterator[str]:
    """The rows of the sheet that have a value."""
    for number, row in enumerate(workbook.get_sheet_by_index(index).iter_rows(), 1):
        cells = [value if type(value) is str else text_of(value) for value in row]
        while cells and not cells[-1]:
            cells.pop()
        if cells:
            yield json.dumps([number, *cells]) + "\n"


def write_sheet(path: str, index: int, output: IO[str]) -> None:
    with CalamineWorkbook.from_path(path) as workbook:
        output.writelines(lines_of(workbook, index))


def write_heads(path: str, output: IO[str]) -> None:
    heads = heads_of_start(path)
    if heads is None:
        with CalamineWorkbook.from_path(path) as workbook:
            heads = heads_of(workbook, is_cut=False)
    output.writelines(heads)


def heads_of(workbook: Any, *, is_cut: bool) -> list[str]:
    found = []
    shown = [
        (index, sheet.name)
        for index, sheet in enumerate(workbook.sheets_metadata)
        if sheet.visible == SheetVisibleEnum.Visible and sheet.typ == SheetTypeEnum.WorkSheet
    ]
    for index, name in shown:
        rows, is_whole = head_of(lines_of(workbook, index), MAX_HEADS // len(shown))
        end = {"name": name, "index": index, "is_whole": is_whole and not is_cut}
        found += [*rows, json.dumps(end) + "\n"]
    return found


def head_of(lines: Iterator[str], most: int) -> tuple[list[str], bool]:
    """The first rows, at least one, of `most` characters; and whether these are all rows."""
    rows: list[str] = []
    size = 0
    for line in lines:
        size += len(line)
        if rows and (len(rows) == HEAD_ROWS or size > most):
            return rows, False
        rows.append(line)
    return rows, True


def heads_of_start(path: str) -> list[str] | None:
    """The heads of a large XLSX, of which the first rows are read only: python-calamine would read
    each sheet to its end, which takes seconds. None if this does not work, or is not needed."""
    with suppress(CalamineError, BadZipFile, MemoryError), ZipFile(path) as archive:
        if can_be_cut(archive):
            with CalamineWorkbook.from_filelike(start_of(archive)) as workbook:
                return heads_of(workbook, is_cut=True)
    return None


def can_be_cut(archive: ZipFile) -> bool:
    """Whether the archive is an XLSX with a large sheet, and its other parts are small."""
    sheets = sum(part.file_size for part in archive.infolist() if is_sheet(archive, part))
    others = sum(part.file_size for part in archive.infolist()) - sheets
    is_xlsx = "xl/workbook.xml" in archive.namelist()
    return is_xlsx and sheets > BLOCK and others <= MAX_OTHER_PARTS


def is_sheet(archive: ZipFile, part: ZipInfo) -> bool:
    with archive.open(part) as opened:
        return bool(WORKSHEET.search(opened.read(4096)))


def start_of(archive: ZipFile) -> IO[bytes]:
    """A copy of the XLSX with the first rows of each sheet."""
    copy = io.BytesIO()
    with ZipFile(copy, "w") as target:
        for part in archive.infolist():
            with archive.open(part) as opened:
                content = first_rows(opened) if is_sheet(archive, part) else opened.read()
            target.writestr(part.filename, content)
    copy.seek(0)
    return copy


def first_rows(sheet: IO[bytes]) -> bytes:
    """The XML of a sheet that ends after `HEAD_ROWS` rows with values (ECMA-376, 18.3.1.73)."""
    kept = bytearray()
    at = rows = searched = 0
    while block := sheet.read(BLOCK):
        kept += block
        while end := ROW_END.search(kept, max(at, searched)):
            rows += bool(VALUE_END.search(kept, at, end.start()))
            at = end.end()
            if rows > HEAD_ROWS:
                prefix = end[1] or b""
                return bytes(kept[:at]) + b"</%bsheetData></%bworksheet>" % (prefix, prefix)
        # Without this, a row of many blocks would be searched from its beginning for each block.
        searched = len(kept) - LONGEST_TAG
    return bytes(kept)


def write(path: str, max_unpacked: int, sheet: str, output: IO[str]) -> None:
    with open(path, "rb") as file:  # noqa: PTH123
        is_archive = file.read(2) == b"PK"
    if is_archive:
        refuse_other_archives(path, max_unpacked)
    else:
        refuse_other_documents(path)
    if sheet == "heads":
        write_heads(path, output)
    else:
        write_sheet(path, int(sheet), output)


def main(path: str, max_unpacked: int, sheet: str, output: IO[str]) -> None:
    try:
        write(path, max_unpacked, sheet, output)
    except Refused as refused:
        end: Any = end_of(refused)
    except PasswordError:
        end = end_of(Refused(ENCRYPTED))
    except (
        CalamineError,
        BadZipFile,
        zlib.error,
        EOFError,
        NotImplementedError,
        RuntimeError,
        OSError,
    ):
        end = end_of(Refused(NOT_READABLE))
    except BaseException as error:  # no module exports the class of errors in Rust
        if type(error).__name__ != "PanicException":
            raise
        end = end_of(Refused(NOT_READABLE))
    else:
        end = "done"
    output.write(json.dumps(end) + "\n")


def end_of(refused: Refused) -> dict[str, Any]:
    return {"refused": str(refused), "numbers": refused.numbers}


def seconds_for(path: str) -> int:
    """How much processor time the workbook may take."""
    return min(MAX_SECONDS, LEAST_SECONDS + SECONDS_PER_MIB * os.path.getsize(path) // 2**20)  # noqa: PTH202


if __name__ == "__main__":
    seconds = seconds_for(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_AS, (MAX_MEMORY, MAX_MEMORY))
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, seconds))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main(sys.argv[1], int(sys.argv[2]), sys.argv[3], sys.stdout)
