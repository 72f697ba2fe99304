"""Workbooks: XLSX, XLS and ODS, read by a process with limits."""

import base64
import gzip
import io
import re
from collections.abc import Callable
from datetime import date, datetime, time
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zipfile import ZIP_DEFLATED, ZipFile

import pytest
from django.core.management import call_command
from xlsxwriter import Workbook

from contacts.importing.formats import sheet_program
from contacts.importing.formats import workbook as workbooks
from contacts.importing.record_file import FileHead, RecordFile
from contacts.importing.records import UnreadableFile
from contacts.models import Contact
from tests.support.files import table, xlsx

# Phone, Name, Since; 33612345679 as a number, Zoé, 2024-05-01 as a date. Made with xlwt.
XLS = gzip.decompress(base64.b64decode(
    "H4sIAAAAAAACA+1YTWgTQRT+ZpM0P7TJpqZCK9RQaLW1PYgXD7ZbK9pTQ9SDUgSbJoGWmo3EXOpBqzVHQRAExUuhHr"
    "xUvfiDHvRQ8CBW9CAIQqIn8SQoeGizvnnZ1TQiJKCFynzLvHnzZt7M25l5b3b21Uq4uHCvo4QaDMGFsuVHU5VMUPI7"
    "BR1Ub1mSdXIfJUthU8Hvo4Vs8uBxywuvXEO53iVouOt+RhT4QOkETiOWNdPRDcQI25AQ0oZBogI3SRJEO1vVyjTJdA"
    "vTO9zyCdNhllxmOkhti2IcK0asb6+9i49rXVwXhOz3Aeu8Y8lutOG53MXnr4hKWw/256YTpzZZRae7GYugBR1Nm+mc"
    "LIdwCwFgljCQyQykUkVEaLEX8c2KAl8dr34aVfKNlQuQ/Pt6ufcPch8tYq38quYG5mBNsJMUKC7r7kowPpA184lk/s"
    "wquiFFMnmA+BS5MvGxRCZNxaPTZjLtAsaznwIyvnM80NfFgxb2k2aiKYSYD7O36DTI6u0vr8cm48ZJlszxGVA5Kbql"
    "YbBwQWqQcpBrNKY0HvqY38X0Ive6jfkOphEylfKeeJvNHJrnNpe4tofG2cN4Y+yo4ncSX/h8+GFn4aPRS/zSaOlsZO"
    "mtsYAuOrlSpC+fefSLfnHjusQjw8mFHVXeM23/LcL4NN223bKPwxDWpE8RwkwrJTk74mdJs+dKaosabRfNibC19y2/"
    "HNs+InUE9yBn6JwmSxrZdW1Zw5DWivs8fcNVZ3IACgoKCgoKCgoKCvVD2N/krl8XBP7m99r/ddYoldVvkv8WR5ClJ0"
    "+XyoMwKc9htqH9sxUe4fQl6tRx/hdKHKPRc5jBJNsx0/D+pTubqH6fuhX1v+dCjY5fbsTOfzz+D/ad1kcAFgAA"
))  # fmt: skip
ODS = """<?xml version="1.0" encoding="UTF-8"?>
<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"
 xmlns:table="urn:oasis:names:tc:opendocument:xmlns:table:1.0"
 xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0" office:version="1.2">
<office:body><office:spreadsheet><table:table table:name="Contacts">
<table:table-row><table:table-cell office:value-type="string"><text:p>Phone</text:p>
</table:table-cell><table:table-cell office:value-type="string"><text:p>Name</text:p>
</table:table-cell><table:table-cell office:value-type="string"><text:p>Since</text:p>
</table:table-cell></table:table-row>
<table:table-row><table:table-cell office:value-type="float" office:value="33612345679">
<text:p>3.4E10</text:p></table:table-cell>
<table:table-cell office:value-type="string"><text:p>Zoé</text:p></table:table-cell>
<table:table-cell office:value-type="date" office:date-value="2024-05-01"><text:p>1 May</text:p>
</table:table-cell></table:table-row>
</table:table></office:spreadsheet></office:body></office:document-content>"""
MANIFEST = """<?xml version="1.0" encoding="UTF-8"?>
<manifest:manifest xmlns:manifest="urn:oasis:names:tc:opendocument:xmlns:manifest:1.0"/>"""


def archive(**parts: Any) -> bytes:
    file = io.BytesIO()
    with ZipFile(file, "w", ZIP_DEFLATED) as opened:
        for name, content in parts.items():
            opened.writestr(name.replace("__", "/"), content)
    return file.getvalue()


def ods(content: str = ODS) -> bytes:
    return archive(**{
        "mimetype": "application/vnd.oasis.opendocument.spreadsheet",
        "META-INF/manifest.xml": MANIFEST,
        # python-calamine expects no line ends between cells; no program writes any.
        "content.xml": content.replace("\n<", "<"),
    })  # fmt: skip


def changed(content: bytes, name: str, change: Callable[[bytes], bytes]) -> bytes:
    """The archive `content` with another part of this `name`."""
    with ZipFile(io.BytesIO(content)) as opened:
        parts = {each: opened.read(each) for each in opened.namelist()}
    return archive(**(parts | {name: change(parts[name])}))


def xlsb_record(kind: int, content: bytes = b"") -> bytes:
    """A record of MS-XLSB, 2.1.4: its kind and size have seven bits a byte."""
    kinds = bytes([kind & 0x7F | 0x80, kind >> 7]) if kind > 0x7F else bytes([kind])
    return kinds + bytes([len(content)]) + content


def xlsb_text(text: str) -> bytes:
    return len(text).to_bytes(4, "little") + text.encode("utf-16-le")


def xlsb(*rows: list[str]) -> bytes:
    """A binary workbook with one sheet."""
    record = xlsb_record
    bounds = [0, len(rows) - 1, 0, len(rows[0]) - 1]
    sheet = record(129) + record(148, b"".join(each.to_bytes(4, "little") for each in bounds))
    sheet += record(145)
    for number, row in enumerate(rows):
        sheet += record(0, number.to_bytes(4, "little") + bytes(13))
        for column, text in enumerate(row):
            sheet += record(6, column.to_bytes(4, "little") + bytes(4) + xlsb_text(text))
    entry = bytes(4) + (1).to_bytes(4, "little") + xlsb_text("rId1") + xlsb_text("People")
    relations = (
        '<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">'
        '<Relationship Id="rId1" Type="worksheet" Target="worksheets/sheet1.bin"/></Relationships>'
    )
    return archive(**{
        "xl/workbook.bin": record(131) + record(143) + record(156, entry) + record(144)
        + record(132),
        "xl/_rels/workbook.bin.rels": relations,
        "xl/worksheets/sheet1.bin": sheet + record(146) + record(130),
    })  # fmt: skip


def test_binary_workbooks_are_read(tmp_path: Path) -> None:
    assert read(tmp_path, xlsb(["Phone", "Name"], ["+33612345678", "Zoé"])) == [
        {"Phone": "+33612345678", "Name": "Zoé"}
    ]


def opened(folder: Path, content: bytes) -> RecordFile:
    path = folder / "people"
    path.write_bytes(content)
    return RecordFile(path)


def read(folder: Path, content: bytes) -> list[Any]:
    return [record.cells for record in opened(folder, content).records()]


def refusal(folder: Path, content: bytes) -> str:
    with pytest.raises(UnreadableFile) as refused:
        read(folder, content)
    return str(refused.value)


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("content", [XLS, ods()], ids=["xls", "ods"])
def test_old_and_open_workbooks_are_read(tmp_path: Path, content: bytes, is_packed: bool) -> None:
    assert read(tmp_path, gzip.compress(content) if is_packed else content) == [
        {"Phone": "33612345679", "Name": "Zoé", "Since": "2024-05-01"}
    ]


def test_cells_become_text_and_phones_keep_their_digits(tmp_path: Path) -> None:
    def fill(book: Workbook) -> None:
        sheet = book.add_worksheet()
        day, moment, clock = (
            book.add_format({"num_format": code})
            for code in ("yyyy-mm-dd", "yyyy-mm-dd hh:mm", "hh:mm")
        )
        sheet.write_row(0, 0, ["phone", *"abcdefghi"])
        sheet.write_number(1, 0, 33612345679)
        sheet.write_datetime(1, 1, date(2024, 5, 1), day)
        sheet.write_datetime(1, 2, datetime(2024, 5, 1, 10, 30), moment)  # noqa: DTZ001
        sheet.write_datetime(1, 3, time(10, 30), clock)
        sheet.write_boolean(1, 4, True)
        sheet.write_formula(1, 5, "=NA()", None, "#N/A")
        sheet.write_formula(1, 6, "=1+1", None, 2)
        sheet.write_number(1, 7, 1.5)
        sheet.write_string(1, 8, "=1+1")
        sheet.write_string(1, 10, "without a column")

    assert read(tmp_path, xlsx(fill)) == [
        {"phone": "33612345679", "a": "2024-05-01", "b": "2024-05-01T10:30:00", "c": "10:30:00",
         "d": "true", "e": "", "f": "2", "g": "1.5", "h": "=1+1", "i": ""}
    ]  # fmt: skip


def test_the_first_sheet_with_a_header_is_read_from_the_header_on(tmp_path: Path) -> None:
    def fill(book: Workbook) -> None:
        book.add_worksheet("Empty")
        book.add_worksheet("Notes").write_row(0, 0, ["Read me", "first"])
        hidden = book.add_worksheet("Hidden")
        hidden.write_row(0, 0, ["phone"])
        hidden.hide()
        sheet = book.add_worksheet("People")
        sheet.write_row(2, 1, ["Phone numbers"])
        sheet.write_row(4, 1, ["Phone", "Name"])
        sheet.write_row(5, 1, ["1", "Ann"])
        sheet.write_row(8, 1, ["2", "Bob"])
        book.add_worksheet("More").write_row(0, 0, ["phone"])

    source = opened(tmp_path, xlsx(fill))
    assert source.header == ["Phone", "Name"]
    assert [(record.line, record.cells["Name"]) for record in source.records()] == [
        (6, "Ann"), (9, "Bob"),
    ]  # fmt: skip
    assert [record.line for record in source.records(9)] == [9]


def test_columns_with_the_same_title_are_kept_apart(tmp_path: Path) -> None:
    source = opened(tmp_path, table(["phone", "Phone", "phone"], ["1", "2", "3"]))
    assert (source.titles, source.header_line) == (["phone", "Phone", "phone"], 1)
    assert [record.cells for record in source.records()] == [
        {"phone": "1", "Phone": "2", "phone (2)": "3"}
    ]


def test_columns_that_nobody_knows_can_be_mapped(tmp_path: Path) -> None:
    assert read(tmp_path, table(["Foo", "Bar"], ["1", "2"])) == [{"Foo": "1", "Bar": "2"}]


def test_the_rows_are_kept_for_the_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, cache = tmp_path / "upload", tmp_path / "sheet"
    path.write_bytes(table(["phone"], *([str(n)] for n in range(300))))
    first, all_records = ([*kind(path, cache=cache).records()] for kind in (FileHead, RecordFile))
    monkeypatch.setattr(workbooks, "PROGRAM", tmp_path / "gone")
    head, source = FileHead(path, cache=cache), RecordFile(path, cache=cache)
    assert (head.header, [*head.records()]) == (source.header, first)
    assert [*source.records()] == all_records
    assert all_records[: len(first)] == first
    assert {each.name for each in tmp_path.iterdir()} == {"upload", "sheet", "sheets"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (table(), "no sheet with values"),
        (table(["+33612345678", "Ann"]), "No row names the columns"),
        (archive(**{"word/document.xml": "x"}), "a Word document"),
        (archive(**{"Index/Document.iwa": "x"}), "Numbers"),
        (archive(**{"people.csv": "phone\n1"}), "This is an archive"),
        (b"PK\x03\x04" + b"x" * 100, "The workbook cannot be read"),
        (table(["phone"])[:-50], "The workbook cannot be read"),
        (XLS[:3000], "damaged"),
        (ods("<broken"), "damaged"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
         + "EncryptedPackage".encode("utf-16-le").ljust(64, b"\0") + b"\x22\0" + bytes(600),
         "a workbook with a password. Remove the password"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600)
         + "WordDocument".encode("utf-16-le").ljust(64, b"\0") + b"\x1a\0" + bytes(600),
         "a Word document"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_with_a_sentence(
    tmp_path: Path, content: bytes, sentence: str
) -> None:
    assert sentence in refusal(tmp_path, content)


ENTITIES = b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "lol"><!ENTITY b SYSTEM "secret.txt">]>'


@pytest.mark.parametrize("part", ["xl/workbook.xml", "xl/worksheets/sheet1.xml"])
def test_a_workbook_with_entities_is_refused(tmp_path: Path, part: str) -> None:
    content = changed(table(["phone"], ["1"]), part, lambda xml: ENTITIES + xml.partition(b"?>")[2])
    assert "document type" in refusal(tmp_path, content)


def test_bombs_are_refused_with_little_time_and_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    far = changed(
        table(["phone"], ["1"]), "xl/worksheets/sheet1.xml",
        lambda xml: xml.replace(
            b"</sheetData>", b'<row r="1048576"><c r="XFD1048576"><v>1</v></c></row></sheetData>'
        ),
    )  # fmt: skip
    assert refusal(tmp_path, far) == workbooks.TOO_LARGE
    rows = '<table:table-row table:number-rows-repeated="1048576">'
    cells = '<table:table-cell table:number-columns-repeated="900" '
    repeated = ods(ODS.replace("<table:table-row>", rows).replace("<table:table-cell ", cells))
    assert refusal(tmp_path, repeated).startswith(("The workbook is", "The workbook cannot"))
    large = archive(**{"xl/workbook.xml": "x", "xl/a.xml": bytes(30_000_000)})
    monkeypatch.setattr(workbooks, "MAX_UNPACKED", 1_000_000)
    assert "unpacks to more than 1,000,000 bytes" in refusal(tmp_path, large)
    monkeypatch.setattr(workbooks, "MAX_TEXT", 10)
    assert refusal(tmp_path, table(["phone"], ["1" * 10])) == workbooks.TOO_LARGE


def test_an_archive_of_many_parts_is_refused(tmp_path: Path) -> None:
    parts = {f"xl/{number}.xml": "" for number in range(sheet_program.MAX_PARTS + 1)}
    assert "10,000 parts" in refusal(tmp_path, archive(**{"xl/workbook.xml": "x"}, **parts))


@pytest.mark.django_db
def test_a_workbook_is_imported_and_so_is_its_corrected_error_file(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    path = tmp_path / "people.xlsx"
    path.write_bytes(table(
        ["Phone", "Name", "Town"], ["+33 6 12 34 56 78", "Ann", "Lyon"], ["+33 6", "'=Bob", "'@x"],
    ))  # fmt: skip
    command = ["import_contacts", "--tenant", "acme", "--rest-to-metadata"]
    with pytest.raises(SystemExit):
        call_command(*command, str(path), stdout=io.StringIO())
    errors = tmp_path / "people.xlsx.acme.errors.xlsx"
    [failed] = RecordFile(errors).records()
    assert (failed.cells["Phone"], failed.cells["line"]) == ("+33 6", "3")
    assert {each.name for each in tmp_path.iterdir()} == {"people.xlsx", errors.name}
    errors.write_bytes(table(
        ["Phone", "Name", "Town", "line", "error"],
        ["+33 6 12 34 56 79", f"'{failed.cells['Name']}", failed.cells["Town"], "3", "x"],
    ))  # fmt: skip
    call_command(*command, str(errors), stdout=io.StringIO())
    stored = Contact.objects.order_by("phone").values_list("name", "metadata")
    # As in a CSV, the apostrophe before a formula is not a part of the value.
    assert [*stored] == [("Ann", {"Town": "Lyon"}), ("=Bob", {"Town": "@x"})]


# Several sheets


def shop(book: Workbook) -> None:
    for name, *rows in [
        ("Notes", ["Read me"]), ("Empty",),
        ("Customers", ["List"], ["Phone", "Name"], ["+33612345678", "Ann"]),
        ("Staff", ["+33612345679", "Bob", "x"], *[[]] * 200, *[["+33612345670", "Al"]] * 250,
         ["+33612345671", "Eve", "y", "a cell more"]),
    ]:  # fmt: skip
        sheet = book.add_worksheet(name)
        for number, row in enumerate(rows):
            sheet.write_row(number, 0, row)


def large(book: Workbook) -> None:
    book.add_worksheet("Large").write_column(0, 0, range(300))


def test_a_sheet_and_a_header_can_be_chosen(tmp_path: Path) -> None:
    path = tmp_path / "shop"
    path.write_bytes(xlsx(shop))
    source = RecordFile(path)
    assert (source.sheet, source.sheets) == ("Customers", ["Notes", "Customers", "Staff"])
    staff = RecordFile(path, sheet="Staff", header_line=0)
    assert (staff.header, staff.header_line) == (["Column 1", "Column 2", "Column 3"], 0)
    first, *_, last = staff.records()
    assert (first.line, last.line) == (1, 452)
    assert last.cells[None] == ["a cell more"]  # type: ignore[index]
    assert RecordFile(path, header_line=1).header == ["List"]
    with pytest.raises(UnreadableFile, match=r"Choose: “Notes”, “Customers”, “Staff”"):
        _ = RecordFile(path, sheet="Empty").header
    with pytest.raises(UnreadableFile, match="one of the first ten rows"):
        _ = RecordFile(path, header_line=3, sheet="Notes").header


def test_rows_that_are_kept_of_another_sheet_are_not_read(tmp_path: Path) -> None:
    path, cache = tmp_path / "shop", tmp_path / "sheet"
    path.write_bytes(xlsx(lambda book: [each(book) for each in (shop, large)]))
    for sheet, expected in [("Staff", 252), ("Large", 300), ("Staff", 252)]:
        source = RecordFile(path, sheet=sheet, header_line=0, cache=cache)
        assert len([*source.records()]) == expected


def with_prefix(xml: bytes) -> bytes:
    """The XML of a sheet as some programs write it: each element has a prefix."""
    text = re.sub(rb"<(/?)(?=[a-zA-Z])", rb"<\1x:", xml)
    return text.replace(b'xmlns="', b'xmlns:x="', 1)


@pytest.mark.parametrize("in_strings", [False, True])
@pytest.mark.parametrize("change", [lambda xml: xml, with_prefix], ids=["plain", "prefix"])
def test_the_beginning_of_a_large_workbook_is_what_the_whole_begins_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, in_strings: bool, change: Any
) -> None:
    file = io.BytesIO()
    with Workbook(file, {"constant_memory": not in_strings}) as book:
        sheet = book.add_worksheet("People")
        sheet.write_row(0, 0, ["Title"])
        sheet.write_row(1, 0, ["phone", "name"])
        for number in range(400):  # every second row is blank
            sheet.write_blank(2 * number + 2, 0, "", book.add_format({"bold": True}))
            sheet.write_row(2 * number + 3, 0, [f"+336123{number:05}", f"Name {number} </row>"])
        book.add_worksheet("More").write_row(0, 0, ["x"])
    path = tmp_path / "people"
    path.write_bytes(changed(file.getvalue(), "xl/worksheets/sheet1.xml", change))
    monkeypatch.setattr(sheet_program, "BLOCK", 100)
    with ZipFile(path) as opened:
        assert sheet_program.can_be_cut(opened)
    cut = sheet_program.heads_of_start(str(path))
    assert cut is not None
    monkeypatch.setattr(sheet_program, "BLOCK", 1024 * 1024)
    assert sheet_program.heads_of_start(str(path)) is None
    output = io.StringIO()
    sheet_program.write_heads(str(path), output)
    whole = [*workbooks.heads_of(output.getvalue().splitlines(keepends=True))]
    heads = [*workbooks.heads_of(cut)]
    assert [head.rows for head in heads] == [head.rows for head in whole]
    assert [head.is_whole for head in heads] == [False, False]
    assert [head.is_whole for head in whole] == [False, True]
