"""CSV is read strictly: a mistake in a record costs this record, and no other one."""

import csv
import io
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from contacts.importing import error_workbook
from contacts.importing.error_workbook import write_workbook
from contacts.importing.formats import quoting
from contacts.importing.formats.quoting import looks_like_phone
from contacts.importing.record_file import RecordFile
from contacts.importing.records import Record, UnreadableFile

HEADER = ["phone", "name", "town", "note"]


def records(folder: Path, text: str) -> list[Record]:
    path = folder / "people.csv"
    path.write_bytes(text.encode())
    return [*RecordFile(path).records()]


def good(found: list[Record]) -> dict[str, dict[str, Any]]:
    """The records that can be read, by phone."""
    return {record.cells["phone"]: record.cells for record in found if None not in record.cells}


def mistakes(found: list[Record]) -> dict[int, Any]:
    cells: list[tuple[int, dict[Any, Any]]] = [(record.line, record.cells) for record in found]
    return {line: each[None] for line, each in cells if None in each}


# The law


@st.composite
def files(draw: st.DrawFn) -> tuple[list[list[str]], str, str, bool]:
    """The rows of a valid file, which may have empty cells at the end, its delimiter, its line end,
    and whether all cells are quoted."""
    cell = st.text(st.sampled_from([*'ab 1"\\,;\t\n\r']), max_size=6)
    cells = draw(st.lists(st.tuples(cell, cell, cell), min_size=2, max_size=5))
    empty = [""] * draw(st.integers(0, 2))
    rows = [[f"+3361234560{n}", *row, *empty] for n, row in enumerate(cells)]
    end = draw(st.sampled_from(["\n", "\r\n", "\r"]))
    return rows, draw(st.sampled_from(",;\t|")), end, draw(st.booleans())


def as_written(cell: str, delimiter: str, is_quoted: bool) -> str:
    """The cell as it stands in the file (RFC 4180)."""
    if is_quoted or cell.startswith(" ") or {*cell} & {'"', delimiter, "\n", "\r"}:
        return '"' + cell.replace('"', '""') + '"'
    return cell


def joined(rows: list[list[str]], delimiter: str, end: str) -> str:
    return "".join(delimiter.join(row) + end for row in rows)


@given(files(), st.data())
def test_a_sign_in_one_cell_changes_no_other_record(
    tmp_path_factory: pytest.TempPathFactory,
    file: tuple[list[list[str]], str, str, bool],
    data: st.DataObject,
) -> None:
    rows, delimiter, end, is_quoted = file
    folder = tmp_path_factory.getbasetemp()
    header = [*HEADER, *[""] * (len(rows[0]) - len(HEADER))]
    raw = [[as_written(cell, delimiter, is_quoted) for cell in row] for row in [header, *rows]]
    before = good(records(folder, joined(raw, delimiter, end)))
    assert len(before) == len(rows)
    row = data.draw(st.integers(1, len(rows)), "row")
    column = data.draw(st.integers(0, len(HEADER) - 1), "column")
    cell = raw[row][column]
    place = data.draw(st.integers(0, len(cell)), "place")
    sign = data.draw(st.sampled_from(['"', delimiter, "\n", "\r", "\r\n"]), "sign")
    raw[row][column] = cell[:place] + sign + cell[place:]
    after = good(records(folder, joined(raw, delimiter, end)))
    for phone in before.keys() - {rows[row - 1][0]}:
        assert after.get(phone) == before[phone]


# By example

HEAD = "phone,name,town\n"
ANN, BOB, CY = "+33612345678", "+33612345679", "+33612345670"


@pytest.mark.parametrize(
    "line",
    [
        f'{ANN},"Ann,Lyon\n',  # not closed
        f'"{ANN},Ann,Lyon\n',
        f'{ANN},Ann,"Lyon\n',
        f'{ANN},"Ann"x,Lyon\n',  # followed by text
        f'{ANN},""Ann"",Lyon\n',
        f'{ANN},"Ann" ,Lyon\n',
        f'{ANN},"\n',
    ],
)
@pytest.mark.parametrize(
    "behind",
    [
        f"{BOB},Bob,Paris\n{CY},Cy,Nice\n",
        f'{BOB},"Bob",Paris\n{CY},Cy,"Nice"\n',
        f'{BOB},",",Paris\n{CY},Cy,"\nNice"\n',
        f'{BOB},"Bob\n\nB.",Paris\n{CY},Cy,5" Nice\n',
        f'{BOB},,""\n\n\n{CY},"",Nice',
    ],
)
def test_a_wrong_quote_costs_its_own_record(tmp_path: Path, line: str, behind: str) -> None:
    expected = good(records(tmp_path, HEAD + behind))
    assert expected.keys() == {BOB, CY}
    found = records(tmp_path, HEAD + line + behind)
    assert good(found) == expected
    assert all("quote" in reason for reason in mistakes(found).values())
    assert [*mistakes(found)] == [2]
    assert records_from(tmp_path, 3) == found[1:], "also if reading goes on there"


def records_from(folder: Path, line: int) -> list[Record]:
    return [*RecordFile(folder / "people.csv").records(line)]


def test_a_row_over_several_lines_has_a_cell_for_each_column(tmp_path: Path) -> None:
    """The open quote of Ann is closed by Bob's, and the phones stand behind both."""
    bob = f'Bob,"\nmet in Paris",{BOB}\n'
    expected = good(records(tmp_path, f"name,note,phone\n{bob}"))
    found = records(tmp_path, f'name,note,phone\nAnn,"friendly,{ANN}\n{bob}')
    assert good(found) == expected
    assert [*mistakes(found)] == [2]


def test_a_row_without_its_last_cells_is_not_swallowed(tmp_path: Path) -> None:
    """The quote of Ann's note is closed after Bob's row, which has no town and no note."""
    text = f'phone,name,town,note\n{ANN},Ann,Lyon,"x\n{BOB},Bob\ny"\n{CY},Cy,,\n'
    found = records(tmp_path, text)
    assert mistakes(found) == {2: quoting.SWALLOWED}
    assert {BOB, CY} < {*good(found)}


def test_a_cell_of_several_lines_is_read(tmp_path: Path) -> None:
    note = 'Rue X 1\n75001, Paris\n\nTel: +33145678901, evenings\n2026-05-07, called\n5" pipe'
    quoted = note.replace('"', '""')
    [record] = records(tmp_path, f'note,phone,name\n"{quoted}",{ANN},Ann\n')
    assert record.cells == {"note": note, "phone": ANN, "name": "Ann"}


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (r'"Ann \"Annie\" Lee",Lyon', ['Ann "Annie" Lee', "Lyon"]),
        (r'"Ann \"Lee\", Bob",Lyon', ['Ann "Lee", Bob', "Lyon"]),
        (r'"5\"",Lyon', ['5"', "Lyon"]),
        (r'"C:\\dir \"x\"",Lyon', [r'C:\dir "x"', "Lyon"]),
        (r'"C:\\",Lyon', [r"C:\\", "Lyon"]),  # no doubt: the backslashes are text
        (r"C:\dir,Lyon", [r"C:\dir", "Lyon"]),
        (r'"C:\dir \"x\"",Lyon', [r'C:\dir "x"', "Lyon"]),  # R escapes quotes, but no backslash
        (r'"Ann \"A\" O\'Hara",Ly\on', ['Ann "A" O\'Hara', r"Ly\on"]),
        (r"Ann \"Annie\" Lee,C:\dir", ['Ann "Annie" Lee', r"C:\dir"]),
        ('Ann "Annie" Lee,Lyon', ['Ann "Annie" Lee', "Lyon"]),
        ("5'10\" Bob,Lyon", ["5'10\" Bob", "Lyon"]),
        (' "Lee, Ann",  "Lyon"', ["Lee, Ann", "Lyon"]),
    ],
)
def test_quotes_as_other_programs_write_them(
    tmp_path: Path, cells: str, expected: list[str]
) -> None:
    found = records(tmp_path, f'{HEAD}{ANN},{cells}\n{BOB},"Bob",Paris\n')
    assert [[*record.cells.values()] for record in found] == [
        [ANN, *expected], [BOB, "Bob", "Paris"],
    ]  # fmt: skip


NOTES = [
    "Lee, Ann",
    'the "x", y',
    "C:\\dir\\",
    "it's, ok",
    "two\nlines, here",
    "O'Brien",
    'a "b" \\ c',
]
WRITERS: dict[str, dict[str, Any]] = {
    "doubled quotes": {},
    "single quotes": {"quotechar": "'"},
    "single quotes everywhere": {"quotechar": "'", "quoting": csv.QUOTE_ALL},
    "escaped quotes": {"doublequote": False, "escapechar": "\\", "quoting": csv.QUOTE_ALL},
    "escaped quotes, few cells quoted": {"doublequote": False, "escapechar": "\\"},
    "escaped delimiters": {"quoting": csv.QUOTE_NONE, "escapechar": "\\"},
}


@pytest.mark.parametrize("options", WRITERS.values(), ids=[*WRITERS])
@pytest.mark.parametrize("delimiter", [",", ";"])
def test_files_of_python_are_read_as_they_were_written(
    tmp_path: Path, options: dict[str, Any], delimiter: str
) -> None:
    rows = [[f"+1415555010{n}", note, "", note[::-1]] for n, note in enumerate(NOTES)]
    rows += [[f"+1415555020{n}", "", note, note] for n, note in enumerate(NOTES)]
    text = io.StringIO()
    csv.writer(text, delimiter=delimiter, **options).writerows([HEADER, *rows])
    found = records(tmp_path, text.getvalue())
    assert mistakes(found) == {}
    assert [[*record.cells.values()] for record in found] == rows


def test_a_file_of_php_is_read_as_it_was_written(tmp_path: Path) -> None:
    """fputcsv leaves a quote after a backslash as it is."""
    written = [
        r'"Ann ""Lee""",plain', r'"Bob \"B\" Lee","x, y"', r'Cy,"ends with \"', r'Dee,"a \", b"',
        r'Eve,"C:\dir\, ""q"""', r'"json {""a"": ""b\"c, d""}",',
    ]  # fmt: skip
    meant = [
        ['Ann "Lee"', "plain"], [r'Bob \"B\" Lee', "x, y"], ["Cy", "ends with \\"],
        ["Dee", r'a \", b'], ["Eve", r'C:\dir\, "q"'], [r'json {"a": "b\"c, d"}', ""],
    ]  # fmt: skip
    lines = [f"+1415555010{n},{cells}" for n, cells in enumerate(written)]
    found = records(tmp_path, "\n".join(["phone,name,note", *lines]))
    assert [[*record.cells.values()][1:] for record in found] == meant


def test_a_file_of_mysql_is_read_as_it_was_written(tmp_path: Path) -> None:
    """SELECT INTO OUTFILE quotes nothing; a backslash escapes tabs, line ends and itself."""
    text = (
        "phone\tname\ttown\tnote\n"
        "+33612345678\tAnn\t\\N\tone\\\ntwo\\\nthree\n"
        "+33612345679\tBob\\\tB\tNice\\\nSud\tc:\\\\dir\n"
        "+33612345670\t\\N\t\\N\tsee\\\n+33612345671\\\tMallory\\\tx\n"
        "+33612345672\tEve\tLille\t\\N\n"
    )
    found = records(tmp_path, text)
    assert not mistakes(found)
    assert [[*record.cells.values()][1:] for record in found] == [
        ["Ann", "", "one\ntwo\nthree"], ["Bob\tB", "Nice\nSud", "c:\\dir"],
        ["", "", "see\n+33612345671\tMallory\tx"], ["Eve", "Lille", ""],
    ]  # fmt: skip


def test_a_line_that_may_be_a_record_or_the_rest_of_one_is_refused_with_it(tmp_path: Path) -> None:
    """After a backslash at the end of a line that nothing else explains."""
    full = "+33612345678,Ann,Lyon,C:\\\n+33612345679,Bob,Nice,C:\\\n"
    short = "+33612345670,Cy,Paris,C:\\\n+33612345671,Di\n+33612345672,Eve,Lille,x\n"
    for lines, wrong in [(full + short, [4, 5]), (full, [])]:
        found = records(tmp_path, f"phone,name,town,note\n{lines}")
        assert [*mistakes(found)] == wrong
        assert {*mistakes(found).values()} <= {quoting.IN_DOUBT}
        assert good(found)["+33612345679"]["note"] == "C:\\"


def test_lines_of_a_cell_in_single_quotes_are_no_records_where_the_file_uses_others(
    tmp_path: Path,
) -> None:
    """A name such as 't Hooft in the last column is text."""
    text = "phone,name,town,note\n+33612345678,Ann,Lyon,'t Hooft\n+33612345679,Bob,Nice,'see\n"
    more = "+33612345670\nor so'\n+33612345671,Di,Lille,x\n"
    found = records(tmp_path, text + more)
    assert {*good(found)} == {"+33612345678", "+33612345671"}
    assert mistakes(found) == dict.fromkeys([3, 4, 5], quoting.OTHER_QUOTE)


def test_a_cell_in_single_quotes_is_not_parted_where_the_file_uses_others(tmp_path: Path) -> None:
    """The first 100 lines have no quotes, so the file is not known to use single ones."""
    lines = [f"+1415555{n:04},'t Hart,x" for n in range(200)]
    found = records(tmp_path, "\n".join(["phone,name,town", *lines, f"{BOB},'Lee, Bob'"]))
    assert mistakes(found) == {202: quoting.OTHER_QUOTE}
    assert len(good(found)) == 200


def test_a_phone_that_an_export_has_disarmed_opens_no_quote(tmp_path: Path) -> None:
    """`export_contacts --for-spreadsheets` of a contact with a single quote as its locale."""
    found = records(tmp_path, "phone,name,locale,tags\n'+33612345678,Ann,',vip\n")
    assert good(found)["'+33612345678"]["locale"] == "'"


def test_more_cells_than_columns_fail_and_empty_ones_do_not(tmp_path: Path) -> None:
    found = records(tmp_path, f"{HEAD}{ANN},Ann,Lyon,x\n{BOB},Bob,Paris,, ,\n")
    assert mistakes(found) == {2: ["x"]}
    assert good(found).keys() == {BOB}


def test_delimiters_at_the_end_of_the_lines_are_no_columns(tmp_path: Path) -> None:
    """A delimiter that is not quoted would move the cells behind it into the wrong columns."""
    text = f"phone,name,town,\n{ANN},Lee, Ann,Lyon\n{BOB},Lee, Bob,Nice,\n"
    found = records(tmp_path, f"{text}{CY},Cy,Paris,\n+33612345671,Di,,\n")
    assert mistakes(found) == {2: ["Lyon"], 3: ["Nice", ""]}
    assert good(found)[CY] == {"phone": CY, "name": "Cy", "town": "Paris"}


def test_a_column_without_a_name_may_have_values(tmp_path: Path) -> None:
    found = records(tmp_path, f"phone,name,\n{ANN},Ann,x\n{BOB},Bob,y\n{CY},Cy,\n")
    assert not mistakes(found)
    assert len(found) == 3


def test_lines_end_in_any_way_and_are_counted_once(tmp_path: Path) -> None:
    text = f'{HEAD}{ANN},Ann,"a\r\nb"\r\r\n{BOB},Bob,"c\rd"\r\n\n , \n{CY},Cy,e\r\x1a'
    found = records(tmp_path, text)
    assert [record.line for record in found] == [2, 5, 9]
    assert [record.cells["town"] for record in found] == ["a\r\nb", "c\rd", "e"]
    assert records_from(tmp_path, 5) == found[1:]


def test_a_line_end_may_lie_between_two_blocks(tmp_path: Path) -> None:
    for size in range(65530, 65540):
        name = "x" * (size - len(HEAD) - len(ANN) - 1)
        found = records(tmp_path, f"{HEAD}{ANN},{name}\r\n{BOB},Bob,\r{CY},Cy,")
        assert [record.line for record in found] == [2, 3, 4]


# Limits


def test_an_open_quote_in_a_large_file_is_read_over_a_bounded_part(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quoting, "MAX_RECORD", 1000)
    found = records(tmp_path, f'{HEAD}{ANN},"Ann,Lyon\n' + "x\n" * 2000)
    assert [*mistakes(found)] == [2]
    assert len(found) == 2001


def test_many_open_quotes_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them reads ahead; without a limit, the time would grow with the square."""
    monkeypatch.setattr(quoting, "MAX_READ_AGAIN", 100_000)
    text = HEAD + ('x,"' + "\n" * 5000 + '""y\n') * 100
    with pytest.raises(UnreadableFile, match="Too many quotes are not closed"):
        records(tmp_path, text)


def test_a_cell_that_is_too_long_costs_its_record(tmp_path: Path) -> None:
    found = records(tmp_path, f'{HEAD}{ANN},"{"x" * 1_100_000}",Lyon\n{BOB},Bob,Paris\n')
    assert [*mistakes(found)] == [2]
    assert good(found).keys() == {BOB}


def test_an_import_and_an_error_file_in_two_threads_do_not_change_the_limit_of_each_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = "x" * (quoting.MAX_CELL + 1)
    errors = tmp_path / "errors.csv"
    errors.write_text(f"name,phone\nAna,1\n{long},2\n")

    def write(_: object = None) -> None:
        write_workbook(errors, io.BytesIO(), ",")

    def lines() -> Iterator[str]:
        yield "Ana,1\n"
        in_other_thread(write)
        yield f'"{long}",2\n'

    rows = quoting.RowReader(lines(), ",").rows()
    assert [row.mistake for row in rows] == ["", quoting.TOO_LONG]

    def original(cell: str) -> str:
        in_other_thread(lambda: quoting.RowReader(iter(()), ","))
        return cell

    monkeypatch.setattr(error_workbook, "original", original)
    in_other_thread(write)


def in_other_thread(work: Callable[[], object]) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(work).result()


@pytest.mark.parametrize(
    ("cell", "is_phone"),
    [
        (ANN, True),
        (f" '{ANN}", True),
        ("(0)6 12-34.56/78", True),
        ("p:+33612345678", True),
        ("33612345678@s.whatsapp.net", True),
        ("https://wa.me/33612345678", True),
        ("\uff0b３３６１２３４５６７８", True),
        ("123456", False),
        ("1234567890123456", False),
        ("2026-05-07", False),
        ("31.12.2026 09:30", False),
        ("call 0612345678", False),
        ("", False),
    ],
)
def test_what_looks_like_a_phone(cell: str, is_phone: bool) -> None:
    assert looks_like_phone(cell) is is_phone
