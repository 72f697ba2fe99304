"""vCards of all versions, as phones and mail programs write them."""

import gzip
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command
from hypothesis import given, settings
from hypothesis import strategies as st

from contacts.importing.formats import decoding, vcard
from contacts.importing.record_file import FileHead, RecordFile
from contacts.importing.records import Record, UnreadableFile
from contacts.models import Contact
from tests.support.files import card


def read(folder: Path, text: str | bytes, **given: Any) -> list[Record]:
    path = folder / "people.vcf"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(RecordFile(path, **given).records())


def problem(record: Record) -> str:
    cells: dict[Any, Any] = record.cells
    return cells.get(None, "")


def cells(folder: Path, *lines: str, version: str = "3.0") -> dict[str, Any]:
    [record] = read(folder, card(*lines, version=version))
    return record.cells


@pytest.mark.parametrize(
    ("line", "column", "version"),
    [
        ("TEL;TYPE=CELL:1", "Mobile phone", "3.0"),
        ("TEL;type=CELL;type=VOICE;type=pref:1", "Mobile phone", "3.0"),
        ('TEL;VALUE=uri;TYPE="cell,voice":1', "Mobile phone", "4.0"),
        ("TEL;CELL:1", "Mobile phone", "2.1"),
        ("TEL;WORK;CELL:1", "Mobile phone", "2.1"),
        ("TEL;TYPE=WORK,VOICE:1", "Work phone", "3.0"),
        ("TEL;HOME;PREF:1", "Home phone", "2.1"),
        ("TEL:1", "Phone", "2.1"),
        ("TEL;TYPE=MAIN:1", "Phone", "3.0"),
        ("TEL;TYPE=CAR:1", "Other phone", "3.0"),
        ("TEL;WORK;FAX:1", "Fax", "2.1"),
        ("TEL;TYPE=pager:1", "Pager", "4.0"),
        ("TEL;type=CELL;waid=33612345678:1", "WhatsApp", "3.0"),
        ("IMPP;X-SERVICE-TYPE=WhatsApp:x-apple:1", "WhatsApp", "3.0"),
        ("X-WHATSAPP:1", "WhatsApp", "3.0"),
    ],
)
def test_the_kind_of_a_phone_is_its_column(
    tmp_path: Path, line: str, column: str, version: str
) -> None:
    assert cells(tmp_path, line, version=version) == {column: "1"}


@pytest.mark.parametrize(
    ("label", "column"),
    [
        ("_$!<Mobile>!$_", "Mobile phone"),
        ("_$!<HomeFAX>!$_", "Fax"),
        ("WhatsApp", "WhatsApp"),
        ("Assistant", "Assistant phone"),
        ("Boutique", "Other phone"),
    ],
)
def test_a_label_of_the_owner_says_the_kind(tmp_path: Path, label: str, column: str) -> None:
    assert cells(tmp_path, "item1.TEL:1", f"item1.X-ABLabel:{label}") == {column: "1"}


def test_the_properties_become_columns(tmp_path: Path) -> None:
    found = cells(
        tmp_path,
        "N:Lee;Ann,Mary;;Dr.;",
        "FN:Dr. Ann Lee",
        "ORG:Acme\\; Sons;Sales",
        "item1.EMAIL;TYPE=WORK:ann@acme.example",
        "EMAIL;TYPE=pref:ann@example.com",
        "ADR;TYPE=HOME:;;1 Main St\\, B;Lyon;;69001;France",
        "CATEGORIES:vip,fr-FR,myContacts",
        "NOTE:one\\ntwo \\, three",
        "BDAY:1990-05-01",
        "X-SHOE-SIZE:38",
        "UID:1",
    )
    assert found == {
        "Last name": "Lee", "First name": "Ann Mary", "Name prefix": "Dr.", "Name": "Dr. Ann Lee",
        "Organization": "Acme; Sons", "Department": "Sales",
        "Email": "ann@example.com ::: ann@acme.example",
        "Street": "1 Main St, B", "City": "Lyon", "Postal code": "69001", "Country": "France",
        "Tags": ["vip", "fr-FR"], "Note": "one\ntwo , three", "Birthday": "1990-05-01",
        "X-SHOE-SIZE": "38", "UID": "1",
    }  # fmt: skip


def test_a_card_of_an_old_phone(tmp_path: Path) -> None:
    """Quoted-printable with soft line breaks, character sets, and no FN."""
    found = cells(
        tmp_path,
        "N;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=C5=81=C3=B3d=C5=BA;=5A=6F=C3=",
        "=AB;;;",
        "NOTE;ENCODING=QUOTED-PRINTABLE;CHARSET=ISO-8859-1:caf=E9=0D=0Atwo",
        "TITLE;CHARSET=no-such-set;QUOTED-PRINTABLE:=C3=A9",
        "ROLE;CHARSET=UTF-8\0;QUOTED-PRINTABLE:=C3=A9",
        "ORG:C:\\new\\;x",
        "NICKNAME;BASE64:no é",
        version="2.1",
    )
    assert found == {
        "Last name": "Łódź", "First name": "Zoë", "Name": "Zoë Łódź", "Note": "café\r\ntwo",
        "Title": "é", "Role": "é", "Organization": "C:\\new;x", "Nickname": "no é",
    }  # fmt: skip


@settings(max_examples=50)
@given(
    st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1),
    st.integers(1, 20),
)
def test_a_folded_line_is_read_as_one(tmp_path_factory: Any, name: str, width: int) -> None:
    escaped = name.replace("\\", "\\\\").replace(",", "\\,").replace(";", "\\;")
    line = f"FN:{escaped}"
    folded = "\r\n ".join(line[at : at + width] for at in range(0, len(line), width))
    lines = card(folded, "TEL:+33612345678")
    [record, *_] = [*read(tmp_path_factory.mktemp("vcf"), lines)]
    assert record.cells.get("Name", "") == name.strip()


@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize("newline", ["\r\n", "\n", "\r"])
def test_a_card_that_is_broken_fails_alone(tmp_path: Path, newline: str, is_packed: bool) -> None:
    text = (
        card("FN:Ann", "TEL:1")
        + "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:Bob\r\nTEL:2\r\n"
        + card("FN:Cid", "TEL:3")
        + card("FN:Dan", "no property", "TEL:4")
        + "FN:Eve\r\nTEL:5\r\nEND:VCARD\r\n\r\n"
        + card("FN:Fay", "TEL:6")
        + "BEGIN:VCARD\r\nFN:Gus\r\n"
    ).replace("\r\n", newline)
    content = gzip.compress(text.encode()) if is_packed else text.encode()
    records = read(tmp_path, content)
    assert [record.cells["Name"] for record in records if not problem(record)] == [
        "Ann", "Cid", "Fay",
    ]  # fmt: skip
    assert [(record.line, problem(record)) for record in records if problem(record)] == [
        (6, vcard.NO_END), (15, vcard.NO_PROPERTY), (21, vcard.NO_BEGIN), (30, vcard.NO_END),
    ]  # fmt: skip
    source = RecordFile(tmp_path / "people.vcf")
    for record in records:
        assert next(iter(source.records(record.line))) == record


def test_pictures_take_no_memory_and_do_not_count(tmp_path: Path) -> None:
    folded = "PHOTO;ENCODING=b;TYPE=JPEG:" + ("A" * 74 + "\r\n ") * 30_000 + "AA"
    bare = "PHOTO;ENCODING=BASE64;JPEG:\r\n" + ("A" * 74 + "\r\n") * 30_000
    for picture in (folded, bare):
        [record] = read(tmp_path, card("FN:Ann", picture, "TEL:1"))
        assert record.cells == {"Name": "Ann", "Phone": "1"}
        assert record.size < 5_000


@pytest.mark.parametrize("end", ["\r\n", "\n", "\r"])
def test_a_picture_in_one_line_may_have_any_length_and_no_other_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, end: str
) -> None:
    monkeypatch.setattr(decoding, "MAX_LINE", 100_000)
    picture = f"item1.PHOTO;ENCODING=b:{'A' * 3_000_000}"
    text = card("FN:Ann", picture, "TEL:1") + card(f"PHOTO:{'A' * 2**20}", "TEL:2")
    found = read(tmp_path, text.replace("\r\n", end))
    assert [record.cells for record in found] == [{"Name": "Ann", "Phone": "1"}, {"Phone": "2"}]
    assert all(record.size < 5_000 for record in found)
    assert found[1].line == text[: text.index("BEGIN", 9)].count("\r\n") + 1
    assert next(RecordFile(tmp_path / "people.vcf").records(found[1].line)) == found[1]
    with pytest.raises(UnreadableFile, match="A line is longer than"):
        read(tmp_path, card(f"NOTE:{'A' * 3_000_000}", "TEL:1"))


def test_the_head_of_a_long_file_is_read_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "HEAD", 1)
    path = tmp_path / "people.vcf"
    path.write_text("".join(card(f"TEL:{number}") for number in range(5000)))
    records = list(FileHead(path).records())
    assert 500 < len(records) < 5000
    assert not any(map(problem, records))


def test_a_card_that_is_too_long_fails_alone(tmp_path: Path) -> None:
    long = "NOTE:" + ("x" * 74 + "\r\n ") * 20_000
    records = read(tmp_path, card("FN:Ann", long, "TEL:1") + card("FN:Bob", "TEL:2"))
    assert [*map(problem, records)] == [vcard.TOO_LONG, ""]
    assert len(str(records[0].cells)) < 100


def test_groups_and_the_cards_of_assistants_are_no_contacts(tmp_path: Path) -> None:
    agent = card("FN:Assistant", "TEL:9", version="2.1").rstrip()
    records = read(
        tmp_path,
        card("FN:Ann", "AGENT:", agent, "TEL:1", version="2.1")
        + card("FN:Friends", "KIND:group", "MEMBER:urn:uuid:1", version="4.0")
        + card(version="4.0"),
    )
    assert [record.cells for record in records] == [{"Name": "Ann", "Phone": "1"}]


@pytest.mark.django_db
def test_a_vcard_is_imported_and_its_errors_open_in_a_spreadsheet(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    path = tmp_path / "people.vcf"
    path.write_text(
        card("FN:=Ann", "TEL;TYPE=CELL:+33 6 12 34 56 78", "CATEGORIES:vip,new", "NOTE:hi")
        + card("FN:=Bob", "TEL;TYPE=CELL:+33 6 12", "CATEGORIES:vip,new")
        + "BEGIN:VCARD\r\nFN:Cid\r\n"
    )
    options = ["import_contacts", "--tenant", "acme", "--rest-to-metadata"]
    with pytest.raises(SystemExit):
        call_command(*options, str(path), stdout=io.StringIO())
    [contact] = Contact.objects.all()
    assert (contact.name, contact.tags) == ("=Ann", ["vip", "new"])
    assert contact.metadata == {"Note": "hi"}
    errors = RecordFile(tmp_path / "people.vcf.acme.errors.xlsx")
    first, second = errors.records()
    assert (first.cells["Name"], first.cells["Mobile phone"]) == ("=Bob", "+33 6 12")
    assert second.cells["error"] == vcard.NO_END
