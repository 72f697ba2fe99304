"""vCards: what RFC 2426 asks for, so that phones read each card."""

from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contacts.exporting.export import FIELDS, FORMATS
from contacts.exporting.vcard import escaped, folded
from contacts.importing import options
from contacts.importing.record_file import RecordFile
from contacts.importing.row import clean, read_options

VCARD = FORMATS["vcard"]
EMPTY = {"name": "", "email": "", "tags": []}


def cards(*contacts: dict) -> str:
    return b"".join(VCARD.pieces([[*contacts]], FIELDS)).decode()


def test_a_card_has_phone_name_email_and_tags() -> None:
    contact = {
        "phone": "+33612345678", "name": "Zoé; Martin, \\Lyon", "email": "zoe@example.com",
        "tags": ["vip", "a;b"],
    }  # fmt: skip
    assert cards(contact).split("\r\n") == [
        "BEGIN:VCARD", "VERSION:3.0",
        "FN:Zoé\\; Martin\\, \\\\Lyon", "N:;Zoé\\; Martin\\, \\\\Lyon;;;",
        "TEL;TYPE=CELL:+33612345678", "EMAIL;TYPE=INTERNET:zoe@example.com",
        "CATEGORIES:vip,a\\;b", "END:VCARD", "",
    ]  # fmt: skip


def test_a_contact_without_a_name_shows_its_phone_because_fn_is_required() -> None:
    lines = cards(EMPTY | {"phone": "+14155550123"}).split("\r\n")
    assert lines[2:5] == ["FN:+14155550123", "N:;;;;", "TEL;TYPE=CELL:+14155550123"]
    assert lines[5] == "END:VCARD"


@pytest.mark.parametrize(
    ("name", "read"), [("", ""), ("+1 (415) 555-0123", ""), ("1", "1"), ("Ann", "Ann")]
)
def test_an_import_of_the_file_takes_no_phone_for_a_name(
    tmp_path: Path, name: str, read: str
) -> None:
    path = tmp_path / "people.vcf"
    path.write_text(cards(EMPTY | {"phone": "+14155550123", "name": name}))
    source = RecordFile(path)
    [record] = source.records()
    fields, _ = clean(record.cells, read_options(source, options.clean({}), ""))
    assert fields == {"phone": "+14155550123"} | ({"name": read} if read else {})


@example(text="a" * 200)
@example(text="é" * 100)
@example(text="a" * 74 + "😀")
@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\r\n")))
def test_a_line_has_at_most_75_octets_and_unfolds_to_what_it_was(text: str) -> None:
    lines = folded(text).split("\r\n")
    assert all(len(line.encode()) <= 75 for line in lines)
    assert lines[0] + "".join(line.removeprefix(" ") for line in lines[1:]) == text
    assert all(line.startswith(" ") for line in lines[1:])


@given(st.text(st.sampled_from("\r\n\x0b\x1c\x00\u2028:;,\\n a"), max_size=9))
def test_no_text_can_begin_a_line_or_a_value_of_its_own(text: str) -> None:
    value = escaped(text)
    assert not {*map(ord, value)} & {*range(9), *range(10, 32)}
    bare = value.replace("\\\\", "")
    assert bare.count(";") == bare.count("\\;")
    assert bare.count(",") == bare.count("\\,")


def test_a_name_cannot_bring_a_line_of_its_own() -> None:
    text = cards(EMPTY | {"phone": "+14155550123", "name": "Ann\r\nTEL:+1900"})
    assert "FN:Ann\\nTEL:+1900\r\n" in text
    assert text.count("\r\nTEL") == 1
