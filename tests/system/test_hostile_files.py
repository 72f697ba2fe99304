"""Files that are made to fill memory or time are refused with a sentence, and cost little of both.

`pytest -s` prints the memory and the time of each file. A workbook is read by a process of its own,
whose memory `sheet_program.MAX_MEMORY` limits; what is measured here is the memory of the import.
"""

import faulthandler
import gzip
import io
import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import httpx
import psutil
import pytest
from django.core.management import execute_from_command_line
from django.db import connections

from contacts.importing import uploads
from contacts.importing.formats import workbook
from contacts.models import Import
from tests.importing.test_workbooks import MANIFEST, ODS, changed
from tests.support.files import table

pytestmark = [pytest.mark.django_db, pytest.mark.once]
GIGABYTE = 10**9
LARGE = 10**8
MAX_MEMORY = 200  # MiB, beside what the process has before it opens the file
MAX_SECONDS = 120
LONG_LINE = "A line is longer than 2,097,152 characters."
LONG_RECORD = "the record is longer than 2,097,152 characters"
MANY_COLUMNS = "There are more than 1,000 columns."
DECLARED = "The workbook has an XML document type"
SHEET = "xl/worksheets/sheet1.xml"
PERSON = b"phone,name\n+33612345678,"
CARD = b"BEGIN:VCARD\nVERSION:3.0\nFN:Ann\nTEL:+33612345678\n"


def pieces(start: bytes, unit: bytes, size: int = GIGABYTE, end: bytes = b"") -> Iterator[bytes]:
    """`unit` again and again, about `size` bytes in all."""
    block = unit * max(1, min(size, 1_000_000) // len(unit))
    yield start
    yield from (block for _ in range(size // len(block)))
    yield end


def text(*of: Any, **more: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with path.open("wb") as file:
            file.writelines(pieces(*of, **more))

    return write


def packed(*of: Any) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        with gzip.open(path, "wb", compresslevel=1) as file:
            file.writelines(pieces(*of))

    return write


def book(change: Callable[[bytes], bytes]) -> Callable[[Path], Any]:
    content = table(["phone"], ["1"])
    return lambda path: path.write_bytes(changed(content, SHEET, change))


def archive(name: str, content: Iterator[bytes], **others: bytes) -> Callable[[Path], None]:
    """A ZIP archive with `content`, which is large, as the part `name`."""

    def write(path: Path) -> None:
        with ZipFile(path, "w", ZIP_DEFLATED, compresslevel=1) as opened:
            for other, small in others.items():
                opened.writestr(other, small)
            with opened.open(name, "w", force_zip64=True) as part:
                for piece in content:
                    part.write(piece)

    return write


def parts_of(content: bytes) -> dict[str, bytes]:
    with ZipFile(io.BytesIO(content)) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def xlsx(unit: bytes, size: int) -> Callable[[Path], None]:
    """A workbook whose sheet has `unit` again and again, after the rows of a small sheet."""
    parts = parts_of(table(["phone"], ["+33612345678"]))
    head, end, tail = parts.pop(SHEET).partition(b"</sheetData>")
    return archive(SHEET, pieces(head, unit, size, end + tail), **parts)


def ods(unit: bytes, size: int) -> Callable[[Path], None]:
    head, end, tail = ODS.replace("\n<", "<").partition("</table:table>")
    content = pieces(head.encode(), unit, size, (end + tail).encode())
    kind = b"application/vnd.oasis.opendocument.spreadsheet"
    return archive(
        "content.xml", content, mimetype=kind, **{"META-INF/manifest.xml": MANIFEST.encode()}
    )


def endless(path: Path) -> None:
    """A few hundred bytes that keep python-calamine in an endless loop."""
    kind = b"application/vnd.oasis.opendocument.spreadsheet"
    content = ODS.replace("\n<", "<").replace("</table:table>", "").encode()
    others = {"META-INF/manifest.xml": MANIFEST.encode()}
    archive("content.xml", iter([content]), mimetype=kind, **others)(path)


def lying(write: Callable[[Path], None]) -> Callable[[Path], None]:
    """The archive says of its large part that it has 1,000 bytes."""

    def rewrite(path: Path) -> None:
        write(path)
        content = bytearray(path.read_bytes())
        entry = content.find(b"PK\x01\x02")
        while entry >= 0:
            size = slice(entry + 24, entry + 28)
            if int.from_bytes(content[size], "little") > LARGE:
                content[size] = (1000).to_bytes(4, "little")
            entry = content.find(b"PK\x01\x02", entry + 4)
        path.write_bytes(content)

    return rewrite


def entities(xml: bytes) -> bytes:
    """Billion laughs: ten entities, each of which is ten times the one before."""
    laughs = b"".join(
        b'<!ENTITY l%d "%s">' % (n, b"&l%d;" % (n - 1) * 10 if n else b"lol") for n in range(10)
    )
    rest = xml.partition(b"?>")[2].replace(b"<t>1</t>", b"<t>&l9;</t>")
    return b'<?xml version="1.0"?><!DOCTYPE x [' + laughs + b"]>" + rest


def outside(xml: bytes) -> bytes:
    rest = xml.partition(b"?>")[2].replace(b"<t>1</t>", b"<t>&e;</t>")
    return b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY e SYSTEM "/etc/passwd">]>' + rest


def many_cells(xml: bytes) -> bytes:
    cells = b'<c t="inlineStr"><is><t>phone</t></is></c>' * 100_000
    return xml.replace(b"<sheetData>", b"<sheetData><row>" + cells + b"</row>")


ROW = b'<row><c t="inlineStr"><is><t>+33612345678</t></is></c></row>'
ODS_ROW = (
    b'<table:table-row><table:table-cell office:value-type="string"><text:p>+33612345678</text:p>'
    b"</table:table-cell></table:table-row>"
)
FILES: dict[str, tuple[Callable[[Path], Any], str]] = {
    "CSV in one line": (text(PERSON, b"a"), LONG_LINE),
    "CSV, one header": (text(b"phone,name", b",a", LARGE), LONG_LINE),
    "CSV, an open quote": (text(PERSON + b'"', b"\n" * 100, LARGE), "failed 1"),
    "gzipped CSV in one line": (packed(PERSON, b"a"), LONG_LINE),
    "gzipped zeros": (packed(b"", b"\0"), LONG_LINE),
    "CSV of 100,000 columns": (text(b"phone", b",x", 200_000, b"\n1\n"), MANY_COLUMNS),
    "JSON of one string": (text(b'[{"phone":"', b"a", GIGABYTE, b'"}]'), LONG_RECORD),
    "JSON of brackets": (text(b'[{"phone":', b"[", LARGE), LONG_RECORD),
    "JSON of deep records": (
        text(b"[", b'{"phone":' + b"[" * 500_000 + b"]" * 500_000 + b"},", 8_000_000, b"1]"),
        "No column is known to be the phone",
    ),
    "JSON of quotes": (text(b"[", b'"', LARGE), "Line 1: there should be , or ] here"),
    "JSON object": (text(b'{"a":[{"phone":"', b"a", LARGE), LONG_RECORD),
    "NDJSON of one string": (text(b'{"phone":"', b"a", GIGABYTE, b'"}\n'), LONG_LINE),
    "NDJSON of brackets": (text(b'{"phone":', b"[", 2_000_000), "No column is known"),
    "vCard of one line": (text(CARD + b"NOTE:", b"a"), LONG_LINE),
    "vCard of one card": (
        text(CARD + b"END:VCARD\n" + CARD, b"NOTE:" + b"a" * 70 + b"\n", LARGE),
        "created 1, updated 0, unchanged 0, superseded 0, failed 1",
    ),
    "vCard with a photo": (
        text(CARD + b"PHOTO;ENCODING=b:", b"A" * 74 + b"\n ", LARGE, b"\nEND:VCARD\n"),
        "created 1",
    ),
    "vCard with a photo in one line": (
        text(CARD + b"PHOTO;ENCODING=b:", b"A", LARGE, b"\nEND:VCARD\n"), "created 1",
    ),
    "XLSX bomb": (xlsx(b" ", 1_200_000_000), "The workbook unpacks to more than"),
    "XLSX bomb that lies": (lying(xlsx(b" ", 1_200_000_000)), "The workbook cannot be read"),
    "XLSX of one cell": (
        xlsx(b'<row><c t="inlineStr"><is><t>' + b"a" * 999_000, 600_000_000), workbook.TOO_LARGE,
    ),
    "XLSX of too many rows": (xlsx(ROW, 600_000_000), workbook.TOO_LARGE),
    "XLSX of 100,000 columns": (book(many_cells), MANY_COLUMNS),
    "XLSX with entities": (book(entities), DECLARED),
    "XLSX with outside entities": (book(outside), DECLARED),
    "ODS bomb": (ods(b" ", 1_200_000_000), "The workbook unpacks to more than"),
    "ODS whose table does not end": (endless, workbook.TOO_LARGE),
    "ODS of too many rows": (ods(ODS_ROW, 600_000_000), workbook.TOO_LARGE),
}  # fmt: skip


def highest_memory(process: int | str = "self") -> int:
    """Of a process so far, as MiB."""
    status = Path(f"/proc/{process}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) // 1024


def run(path: Path) -> tuple[str, int]:
    """What a dry run of the command says, and how much memory the import has taken, as MiB. In a
    fork: starting Python and the project takes longer than most of the files."""
    said, memory = path.with_name("said"), path.with_name("memory")
    connections.close_all()  # a fork must not use them
    if not (child := os.fork()):
        with suppress(BaseException), said.open("w") as output:
            faulthandler.dump_traceback_later(MAX_SECONDS, exit=True, file=output)
            sys.stdout = sys.stderr = output
            base = highest_memory()
            command = ["manage.py", "import_contacts", str(path), "--dry-run", "--tenant", "acme"]
            with suppress(SystemExit):
                execute_from_command_line(command)
            memory.write_text(str(highest_memory() - base))
        os._exit(0)
    os.waitpid(child, 0)
    return said.read_text(), int(memory.read_text())


@pytest.mark.usefixtures("transactional_db", "acme")
@pytest.mark.parametrize("name", FILES)
def test_the_command_reads_or_refuses_the_file_with_little_memory(
    tmp_path: Path, name: str
) -> None:
    write, sentence = FILES[name]
    path = tmp_path / "people"
    write(path)
    began = time.monotonic()
    printed, memory = run(path)
    seconds = time.monotonic() - began
    path.unlink()
    print(f"\n{name}: {memory} MiB, {seconds:.0f} s")
    assert sentence in printed, printed[-2000:]
    assert "Traceback" not in printed
    assert memory < MAX_MEMORY


def peak(server: httpx.Client) -> int:
    """The highest memory of a process of the server so far, as MiB."""
    port = str(server.base_url.port)
    mains = [
        main
        for main in psutil.process_iter(["cmdline"])
        if {"qyvo.serve", port} <= {*(main.info["cmdline"] or [])}
    ]
    return max(highest_memory(child.pid) for main in mains for child in main.children())


def test_a_body_of_a_gigabyte_in_one_line_is_stored_and_then_refused(
    server: httpx.Client, server_data_dir: Path, settings: Any, acme: SimpleNamespace
) -> None:
    settings.DATA_DIR = server_data_dir
    before = peak(server)
    size = len(PERSON) + GIGABYTE
    answer = server.post(
        "/api/v1/imports",
        content=pieces(PERSON, b"a"),
        headers={"Content-Type": "text/csv", "Content-Length": str(size)},
    )
    assert answer.status_code == 202, answer.text
    assert peak(server) - before < MAX_MEMORY
    job = Import.objects.get()
    uploads.run_import.call(job.pk)
    job.refresh_from_db()
    assert (job.state, job.problem) == (Import.State.REFUSED, LONG_LINE)
    assert not uploads.upload_of(job).exists()
