"""JSON arrays: read block by block, and never a record lost or mixed without a word."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contacts.importing.formats import decoding, json_array
from contacts.importing.record_file import FileHead, RecordFile
from contacts.importing.records import Record, TurnEnded, UnreadableFile

PEOPLE = [{"phone": f"+3361234567{n}", "tags": ["a", "b"], "metadata": {"n": n}} for n in range(5)]
LAYOUTS: list[dict[str, Any]] = [{}, {"indent": 2}, {"separators": (",", ":")}]

texts = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from('"\\[]{},:\n'))
values = st.recursive(
    st.none() | st.booleans() | st.integers(-99, 99) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=6,
)
people = st.lists(st.dictionaries(texts, values, min_size=1, max_size=4), min_size=1, max_size=4)


def read(folder: Path, text: str | bytes, **given: Any) -> list[Record]:
    path = folder / "people.json"
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return list(RecordFile(path, **given).records())


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("is_packed", [False, True])
def test_an_array_is_read_however_it_is_laid_out(
    tmp_path: Path, layout: dict[str, Any], encoding: str, is_packed: bool
) -> None:
    content = json.dumps(PEOPLE, **layout).encode(encoding)
    records = read(tmp_path, gzip.compress(content) if is_packed else content)
    assert [record.cells for record in records] == PEOPLE


@settings(max_examples=50)
@given(people, st.sampled_from(LAYOUTS), st.booleans(), st.integers(1, 7))
def test_what_was_written_is_read_wherever_blocks_end(
    tmp_path_factory: Any, people: list[Any], layout: dict[str, Any], ascii_only: bool, size: int
) -> None:
    text = json.dumps(people, ensure_ascii=ascii_only, **layout)
    blocks = (text[at : at + size] for at in range(0, len(text), size))
    found = [json.loads(element) for _, element in json_array.Elements(blocks)]
    assert found == people


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize(
    "around",
    [
        {"contacts": PEOPLE},
        {"contacts": PEOPLE, "total": 5, "next": None},
        {"meta": {"page": [{"phone": 1}]}, "ids": [1, 2], "none": [], "contacts": PEOPLE},
        {"name": "of a list", "data": PEOPLE, "padding": "x" * 200_000},
    ],
)
def test_the_array_may_be_a_value_of_an_object(
    tmp_path: Path, layout: dict[str, Any], around: dict[str, Any]
) -> None:
    path = tmp_path / "people.json"
    path.write_text(json.dumps(around, **layout))
    source = RecordFile(path)
    assert (source.kind.name, source.header) == ("JSON", ["phone", "tags", "metadata"])
    records = list(source.records())
    assert [record.cells for record in records] == PEOPLE
    assert [*source.records(records[2].line)] == records[2:]


def test_an_object_with_several_arrays_of_objects_is_refused(tmp_path: Path) -> None:
    text = json.dumps({"contacts": PEOPLE, "deleted": PEOPLE})
    with pytest.raises(UnreadableFile, match="several arrays, “contacts” and “deleted”"):
        read(tmp_path, text)
    for end in ("", "]"):
        with pytest.raises(UnreadableFile, match="so the file is not complete"):
            read(tmp_path, '{"a": 1, "contacts": [{"x": 1}' + end)


@pytest.mark.parametrize(
    "line",
    [
        {"name": "Ann", "addresses": [{"town": "Lyon"}], "phone": "+33612345678"},
        {"name": "Ann", "addresses": [{"town": "Lyon"}]},
        {"phone": "+33612345678", "addresses": [{"padding": "x" * 100_000}]},
    ],
)
def test_lines_of_records_that_hold_arrays_are_ndjson(tmp_path: Path, line: Any) -> None:
    text = json.dumps(line) + "\n" + json.dumps(PEOPLE[0])
    assert [record.cells for record in read(tmp_path, text)] == [line, PEOPLE[0]]


def test_each_record_has_a_line_of_its_own_from_which_reading_can_go_on(tmp_path: Path) -> None:
    path = tmp_path / "people.json"
    path.write_text('[{"phone": "1"}, {"phone": "2"},\n\n\n{\n"phone": "3"}, {"phone": "4"}]')
    source = RecordFile(path)
    assert [record.line for record in source.records()] == [1, 2, 4, 5]
    for record in source.records():
        assert next(iter(source.records(record.line))) == record


def test_keys_are_collected_in_several_turns(tmp_path: Path) -> None:
    path = tmp_path / "people.json"
    path.write_text(json.dumps([{"phone": "1"}, {"name": "Ann"}, {"town": "Lyon"}]))
    found: dict[str, Any] | None = None
    for _ in range(2):
        source = RecordFile(path, found=found, turn_is_over=lambda: True)
        with pytest.raises(TurnEnded):
            _ = source.header
        found = json.loads(json.dumps(source.found()))
    assert RecordFile(path, found=found, turn_is_over=lambda: True).header == [
        "phone", "name", "town",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "broken",
    [
        '{"phone": +33612345678}',
        '{"phone": "1",}',
        '{"phone" "1"}',
        '{"phone": NaN}',
        '{"a": [1, 2}',
        '["phone", "1"]',
        '"phone"',
        "12",
        "[" * 80 + "]" * 80,
    ],
)
def test_a_broken_record_fails_alone(tmp_path: Path, broken: str) -> None:
    text = f'[{{"phone": "1"}},\n{broken},\n{{"phone": "3"}}]'
    if broken == '{"a": [1, 2}':
        with pytest.raises(UnreadableFile, match="Line 2"):
            read(tmp_path, text)
        return
    first, second, third = read(tmp_path, text)
    assert (first.cells, third.cells) == ({"phone": "1"}, {"phone": "3"})
    assert (second.line, [*second.cells.values()]) == (2, [broken])


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[{"phone": "1"},\n{"phone": "2},\n{"phone": "3"}]', 2),
        ('[{"phone": "1, "name": "Ann"}, {"phone": "2, "name": "Bob"}]', 1),
        ('[{"phone": "1",\n{"phone": "2"}}, {"phone": "3"}]', 1),
        ('[{"phone": "1"},\n{"phone": "2"}', 2),
        ('[{"phone": "1"},\n{"phone": "2"', 2),
        ('[{"phone": "1"},\n]', 2),
        ('[{"phone": "1"}\n{"phone": "2"}]', 2),
        ('[{"phone": "1"}]\n[{"phone": "2"}]', 2),
        ("[" * 200_000, 1),
        ('[{"phone": "' + "1" * json_array.MAX_RECORD * 2 + '"}]', 1),
    ],
)
def test_an_array_whose_records_cannot_be_told_apart_is_refused(
    tmp_path: Path, text: str, line: int
) -> None:
    with pytest.raises(UnreadableFile, match=rf"^Line {line}: ") as refused:
        read(tmp_path, text)
    assert "Ann" not in str(refused.value)


def test_the_head_of_a_long_array_is_read_as_far_as_it_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(decoding, "HEAD", 1)
    path = tmp_path / "people.json"
    path.write_text(json.dumps([{"phone": str(number)} for number in range(20_000)]))
    records = list(FileHead(path).records())
    assert 1000 < len(records) < 20_000
    assert records[-1].cells == {"phone": str(len(records) - 1)}


@settings(max_examples=60)
@given(st.integers(0, 4), st.integers(0, 400), st.sampled_from(["", '"', "{", "}", "[", "]", ","]))
def test_damage_in_one_record_changes_no_other(
    tmp_path_factory: Any, layout: int, at: int, put: str
) -> None:
    """The file is refused, or the damage costs the record in which it is."""
    texts = [json.dumps(person, **LAYOUTS[layout % 3]) for person in PEOPLE]
    at %= len(texts[2])
    damaged = texts[2][:at] + put + texts[2][at + (not put) :]
    try:
        json.loads(f"[{damaged}]")
    except ValueError:
        others = [*PEOPLE[:2], *PEOPLE[3:]]
    else:
        return  # it is valid
    text = "[" + ",\n".join([*texts[:2], damaged, *texts[3:]]) + "]"
    try:
        records = read(tmp_path_factory.mktemp("json"), text)
    except UnreadableFile:
        return
    assert [record.cells for record in records if None not in record.cells] == others
