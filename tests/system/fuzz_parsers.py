"""What people send is read for a while in ever new forms: phones, tags, addresses, bodies, files.

`pytest -s tests/system/fuzz_parsers.py`; .ci/run runs it. FUZZ_SECONDS, of the processor, is for
each parser; the files share the time of two. What was found once is in `corpus.json`, and is tried
first.
"""

import csv
import io
import json
import os
import random
import resource
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from contacts.importing.formats import sheet_program
from contacts.importing.record_file import FileHead, RecordFile
from contacts.importing.records import UnreadableFile
from contacts.importing.row import BadRecord, ReadOptions, clean
from contacts.values import rules
from tests.importing.test_workbooks import XLS, changed, ods
from tests.support.api import Api
from tests.support.files import card, table

SECONDS = float(os.environ.get("FUZZ_SECONDS", "6"))
CORPUS = json.loads(Path(__file__).with_name("corpus.json").read_text())
pieces = st.sampled_from([
    "+", "00", "1", "415", "5550123", " ", "-", "(", ")", ".", "tel:", ";ext=", ",", "vip", "@",
    "x", ".example", "xn--", "\u200b", "\ufeff", "٣", "１", "\0", "\ud800", "é", "İ", '"', "\\",
    "{", "}", "[", "]", ":", "null", "1e400", "-0.0", '"phone"', '"tags"', '"metadata"', "\n",
    "\r", "=", "%",
])  # fmt: skip
texts = st.lists(pieces | st.text(st.characters(exclude_categories=[]), max_size=8)).map("".join)
fields = st.sampled_from(["phone", "name", "email", "tags", "metadata", "x"])
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | texts | st.just("+14155550123"),
    lambda inner: st.lists(inner, max_size=5) | st.dictionaries(texts, inner, max_size=5),
    max_leaves=15,
)
bodies = st.dictionaries(fields, values).map(json.dumps)


def fuzz(strategy: Any, check: Callable[[str], None]) -> int:
    """How many inputs were tried."""
    tried = 0

    @settings(max_examples=200, database=None)
    @given(strategy)
    def some(text: str) -> None:
        nonlocal tried
        tried += 1
        check(text)

    for text in CORPUS:
        check(text)
    end = time.process_time() + SECONDS
    while time.process_time() < end:
        some()
    return tried


RULES: dict[str, Callable[[Any], Any]] = {
    "phone": rules.phone,
    "phone of a region": lambda text: rules.phone(text, "AR"),
    "tags": rules.tags,
    "email": rules.email,
}


@pytest.mark.parametrize("name", RULES)
def test_a_rule_reads_any_text_or_says_why_not(name: str) -> None:
    rule = RULES[name]

    def check(text: str) -> None:
        try:
            once = rule(text)
        except ValueError as error:
            assert str(error)
        else:
            assert rule(once) == once

    print(f"\n{name}: {fuzz(texts, check):,} inputs")


@pytest.mark.django_db
def test_a_body_is_read_or_refused(api: Api, log: io.StringIO) -> None:
    statuses: Counter[int] = Counter()

    def check(text: str) -> None:
        answer = api.send(text.encode(errors="surrogatepass"))
        statuses[int(answer.status_code)] += 1
        assert answer.status_code in {201, 400, 413, 422}, text

    fuzz(texts | bodies, check)
    print(f"\nbodies: {sum(statuses.values()):,} inputs, answers {dict(statuses)}")


# Files: valid ones, changed at random

PEOPLE = [
    ["phone", "name", "tags"],
    ["+33612345678", 'Zoé "Z" Martin', "vip,new"],
    ["+48512345678", "Łukasz; Żak", "a|b"],
    ["+79161234567", "Юлия\nИванова", ""],
    ["+819012345678", "山田", "x"],
]
SLOWEST = 5.0  # seconds for one file, on a busy machine


def as_csv(delimiter: str, encoding: str, **dialect: Any) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text, delimiter=delimiter, **dialect).writerows(PEOPLE)
    return text.getvalue().encode(encoding, "replace")


def as_objects() -> list[dict[str, str]]:
    return [dict(zip(PEOPLE[0], row, strict=True)) for row in PEOPLE[1:]]


def as_cards(version: str) -> bytes:
    name = "FN;CHARSET=UTF-8;ENCODING=QUOTED-PRINTABLE:=5A=6F=\r\n=C3=A9"
    photo = "PHOTO;ENCODING=b;TYPE=JPEG:" + "AAAA\r\n " * 9
    lines = ["item1.TEL;type=CELL:+33612345678", "item1.X-ABLabel:_$!<Mobile>!$_", "N:Lee;Ann;;;"]
    return (card(name, photo, *lines, "CATEGORIES:vip,a\\,b", version=version) * 3).encode()


def as_xlsx() -> bytes:
    return table(*PEOPLE)


FILES: dict[str, Callable[[], list[bytes]]] = {
    "CSV": lambda: (
        [
            as_csv(delimiter, encoding, quoting=quoting)
            for delimiter in ",;\t|"
            for encoding in ("utf-8", "utf-16", "cp1250", "cp1251", "shift_jis", "gb18030")
            for quoting in (csv.QUOTE_MINIMAL, csv.QUOTE_ALL)
        ]
        + [as_csv(",", "utf-8", doublequote=False, escapechar="\\")]
    ),
    "NDJSON": lambda: ["\n".join(map(json.dumps, as_objects())).encode()],
    "JSON": lambda: [
        json.dumps(value, indent=indent).encode()
        for indent in (None, 1)
        for value in (as_objects(), {"contacts": as_objects()}, {"x": 1, "a": as_objects()})
    ],
    "vCard": lambda: [as_cards(version) for version in ("2.1", "3.0", "4.0")],
    "XLSX": lambda: [as_xlsx()],
    "XLS": lambda: [XLS],
    "ODS": lambda: [ods()],
}
INSERTED = [
    b'"', b"\\", b"\n", b"\r", b"\0", b",", b";", b"{", b"}", b"[", b"]", b":", b"\xff", b"\x1a",
    b"BEGIN:VCARD\n", b"END:VCARD\n", b"=\n", b" ", b"\xef\xbb\xbf", b"<", b"&#0;",
]  # fmt: skip


def mutated(content: bytes, chance: random.Random) -> bytes:
    """`content` with some bytes changed, inserted, left out or repeated."""
    for _ in range(chance.choice([1, 2, 5, 50])):
        at = chance.randrange(len(content) + 1)
        end = min(len(content), at + chance.choice([0, 1, 1, 2, 40]))
        piece = chance.choice([*INSERTED, chance.randbytes(2), b"", content[at:end] * 2])
        content = content[:at] + piece + content[end:]
    return content


def mutated_part(content: bytes, chance: random.Random) -> bytes:
    """The archive `content` with a changed part; sometimes the archive itself is changed."""
    if chance.random() < 0.3:
        return mutated(content, chance)
    with ZipFile(io.BytesIO(content)) as archive:
        name = chance.choice(archive.namelist())
    return changed(content, name, lambda part: mutated(part, chance))


def sheet_is_read_or_refused(path: Path) -> None:
    """In a fork: starting the program takes longer than reading the file. A file may keep
    python-calamine in an endless loop, or crash it; both end the process only."""
    if not (child := os.fork()):
        with suppress(BaseException):
            resource.setrlimit(resource.RLIMIT_CPU, (1, 1))
            read_sheets(path)
            os._exit(0)
        os._exit(1)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status) or status == 0


def read_sheets(path: Path) -> None:
    output = io.StringIO()
    for sheet in ("heads", "0"):
        sheet_program.main(str(path), 50_000_000, sheet, output)
        end = json.loads(output.getvalue().splitlines()[-1])
        assert end == "done" or end["refused"].endswith(".")


def is_read_or_refused(path: Path) -> None:
    options = ReadOptions({"phone": "phone", "name": "name", "tags": "tags"})
    for kind in (RecordFile, FileHead):
        try:
            source = kind(path, max_unpacked=50_000_000)
            _ = source.header
            for record in source.records():
                assert record.line > 0
                with suppress(BadRecord):
                    clean(record.cells, options)
        except UnreadableFile as error:
            assert str(error).endswith((".", "?")), error


def used() -> float:
    """The seconds of the processor, with those of forks: what else runs takes no file away."""
    return sum(os.times()[:4])


@pytest.mark.parametrize("name", FILES)
def test_a_file_is_read_or_refused(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RUST_BACKTRACE", "0")  # writing one takes seconds
    path = tmp_path / "people"
    seed = random.randrange(2**32)
    chance = random.Random(seed)
    is_workbook = name in {"XLSX", "XLS", "ODS"}
    change = mutated_part if name in {"XLSX", "ODS"} else mutated
    check = sheet_is_read_or_refused if is_workbook else is_read_or_refused
    files, tried = FILES[name](), 0
    end = used() + 2 * SECONDS / len(FILES)
    while used() < end:
        path.write_bytes(change(chance.choice(files), chance))
        began = time.process_time()
        try:
            check(path)
        except BaseException as error:
            error.add_note(f"seed {seed}, file {tried}: {path.read_bytes()!r}")
            raise
        assert time.process_time() - began < SLOWEST, path.read_bytes()
        tried += 1
    print(f"\n{name}: {tried:,} files, seed {seed}")
