"""How a CSV is written is found out: the delimiter, the header, the names of the columns."""

from pathlib import Path
from typing import Any

import pytest

from contacts.importing.record_file import FileHead, RecordFile
from contacts.importing.records import UnreadableFile

ANN, BOB = "+33612345678", "+33612345679"


def read(folder: Path, text: str, **options: Any) -> RecordFile:
    path = folder / "people.csv"
    path.write_bytes(text.encode())
    source = RecordFile(path, **options)
    head = FileHead(path, **options)
    assert (head.delimiter, head.header, head.header_line) == (
        source.delimiter, source.header, source.header_line,
    )  # fmt: skip
    return source


@pytest.mark.parametrize(
    ("text", "delimiter", "header"),
    [
        (f"phone;name\n{ANN};Lee, Ann\n", ";", ["phone", "name"]),
        (f"Name, Vorname;Telefon\nLee, Ann;{ANN}\n", ";", ["Name, Vorname", "Telefon"]),
        (f"name|phone|a;b;c;d\nAnn|{ANN}|1;2;3;4\n", "|", ["name", "phone", "a;b;c;d"]),
        (f"phone\tname\n{ANN}\tLee, Ann; Jr\n", "\t", ["phone", "name"]),
        (f"phone\n{ANN}\n", ",", ["phone"]),
        (f'"name, full";phone\n"Lee; Ann";{ANN}\n', ";", ["name, full", "phone"]),
        (f"Kontakt;Nummer, mobil\nLee, Ann;{ANN}\n", ";", ["Kontakt", "Nummer, mobil"]),
        (f"phone,name\n{ANN},a;b;c\n{BOB},d;e;f\n", ",", ["phone", "name"]),
    ],
)
def test_the_delimiter_parts_header_and_rows(
    tmp_path: Path, text: str, delimiter: str, header: list[str]
) -> None:
    source = read(tmp_path, text)
    assert (source.delimiter, source.header) == (delimiter, header)


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
def test_a_line_of_excel_names_the_delimiter(tmp_path: Path, line: str) -> None:
    source = read(tmp_path, f"{line}\r\nphone;a,b,c,d\r\n{ANN};Ann\r\n")
    assert (source.delimiter, source.header_line) == (";", 2)
    assert [record.line for record in source.records()] == [3]


@pytest.mark.parametrize(
    "titles",
    [
        "Customer export 2026-11-01\n\n",
        "Shop,,\nAll customers,,\n,,\n",
        '"Customers, all\nof them"\n',
        'The "best" customers\n',
        '"Report\n',
        f"Support: {BOB}\n",
        "Phone\n",
        ",,Phone numbers,\n",
    ],
)
def test_lines_above_the_header_are_no_records(tmp_path: Path, titles: str) -> None:
    source = read(tmp_path, f"{titles}phone,name\n{ANN},Ann\n")
    assert source.header == ["phone", "name"]
    assert source.header_line == titles.count("\n") + 1
    assert [record.cells["phone"] for record in source.records()] == [ANN]


@pytest.mark.parametrize(
    "text",
    [
        f"{ANN},Ann\n{BOB},Bob\n",
        "ann@example.com,Ann\n",
        f"{ANN},phone,name\n",
        f"Home phone: {ANN},Mobile: {BOB}\n",
        "Title\n" * 10 + f"phone,name\n{ANN},Ann\n",
    ],
)
def test_a_file_without_header_is_refused_and_not_shown(tmp_path: Path, text: str) -> None:
    path = tmp_path / "people.csv"
    path.write_text(text)
    source = RecordFile(path)
    if text.startswith("Title"):  # the first row may be a header that the user maps
        assert not source.names_columns
        return
    with pytest.raises(UnreadableFile) as refused:
        _ = source.header
    assert "No row names the columns" in str(refused.value)
    assert not any(cell in str(refused.value) for cell in (ANN, "Ann", "example"))


@pytest.mark.parametrize(
    ("text", "options", "header", "lines"),
    [
        (f"phone\nNr;Wer\n{ANN};Ann\n", {"header_line": 2}, ["Nr", "Wer"], [3]),
        (f'"two\nlines";x\nNr;Wer\n{ANN};Ann\n', {"header_line": 3}, ["Nr", "Wer"], [4]),
        (f"{ANN};Ann\n{BOB};Bob;x\n", {"header_line": 0},
         ["Column 1", "Column 2", "Column 3"], [1, 2]),
        (f"sep=;\n{ANN};Ann\n", {"header_line": 0}, ["Column 1", "Column 2"], [2]),
        (f"{ANN};Ann\n{BOB};Bob\n", {"header_line": 1}, [ANN, "Ann"], [2]),
    ],
)  # fmt: skip
def test_the_user_may_say_which_row_is_the_header(
    tmp_path: Path, text: str, options: dict[str, Any], header: list[str], lines: list[int]
) -> None:
    source = read(tmp_path, text, **options)
    assert source.header == header
    assert [record.line for record in source.records()] == lines
    again = RecordFile(source.path, found=source.found())
    assert [*again.records()] == [*source.records()]


def test_a_header_must_be_one_of_the_first_ten_rows(tmp_path: Path) -> None:
    for line in (2, 12):
        with pytest.raises(UnreadableFile, match="one of the first ten rows"):
            read(tmp_path, f"phone\n\n{ANN}\n" + "x\n" * 20, header_line=line)


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_row_names_of_r_are_a_column_without_a_name(tmp_path: Path, delimiter: str) -> None:
    """R's `write.table` writes no header for the column of the row names."""
    rows = ['"name","phone","town"', f'"7","Ann Lee","{ANN}","Lyon"', f'"3","Bob","{BOB}",NA']
    source = read(tmp_path, "\n".join(rows).replace(",", delimiter) + "\n")
    assert source.titles == ["", "name", "phone", "town"]
    found = [(r.cells["name"], r.cells["phone"], None in r.cells) for r in source.records()]
    assert found == [("Ann Lee", ANN, False), ("Bob", BOB, False)]
    again = RecordFile(source.path, found=source.found())
    assert [*again.records()] == [*source.records()]


@pytest.mark.parametrize(
    "text",
    [
        f"id,name,phone\n1,Lee, Ann,{ANN}\n2,Ray, Bob,{BOB}\n",  # a name that is not quoted
        f'"id","name","phone"\n"1","Ann","{ANN}",\n"2","Bob","{BOB}",\n',
        f'"name","phone"\n"1","Ann","{ANN}"\n"Bob","{BOB}"\n',
    ],
)
def test_other_files_with_more_cells_than_names_have_no_row_names(
    tmp_path: Path, text: str
) -> None:
    assert "" not in read(tmp_path, text).titles


def test_columns_may_have_one_name_or_none(tmp_path: Path) -> None:
    source = read(tmp_path, f"Phone,Phone,Phone (2),,Phone,\n{ANN},{BOB},c,d,e,f\n")
    assert source.titles == ["Phone", "Phone", "Phone (2)", "", "Phone", ""]
    assert source.header == ["Phone", "Phone (3)", "Phone (2)", "", "Phone (4)", ""]
    [record] = source.records()
    assert [record.cells[key] for key in source.header if key] == [ANN, BOB, "c", "e"]


def test_a_name_of_a_column_that_is_too_long_is_not_shown(tmp_path: Path) -> None:
    """The first row may be no header, but a note about somebody."""
    for text in (f"Zoe;{'Zoe is ill. ' * 1000}\n", f"phone;{'Zoe is ill. ' * 1000}\n"):
        path = tmp_path / "people.csv"
        path.write_text(text)
        with pytest.raises(UnreadableFile) as refused:
            _ = RecordFile(path).header
        assert "The name of column 2 has more than" in str(refused.value)
        assert "Zoe" not in str(refused.value)


def test_a_header_in_the_wrong_encoding_is_not_shown(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_text("town;person\nLyon;Ann\n", encoding="utf-32")
    with pytest.raises(UnreadableFile, match="The name of column 1 cannot be stored"):
        _ = RecordFile(path).header


def test_what_was_found_is_not_searched_again(tmp_path: Path) -> None:
    source = read(tmp_path, f"Title\n\nphone;name\n{ANN};Ann\n")
    found = source.found()
    assert (found["encoding"], found["delimiter"], found["header_line"]) == ("utf-8", ";", 3)
    again = RecordFile(source.path, found=found)
    assert (again.header, [*again.records()]) == (source.header, [*source.records()])
