"""A phone that a file has more than once: the contact becomes what two files would make of it."""

import csv
from itertools import pairwise
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from contacts.importing.records import Record
from contacts.importing.repeats import combine
from contacts.importing.row import ReadOptions
from contacts.importing.spool import parse, read_chunk
from contacts.models import Change, Contact, Import, OptOut
from tests.support.api import PHONE
from tests.support.examples import FEW
from tests.support.factories import ContactFactory
from tests.support.imports import bring, counts
from tests.support.sql import assert_links_match_tags

pytestmark = pytest.mark.django_db

FIELDS = ["phone", "name", "email", "tags", "metadata", "opted_in_at", "opted_out_at"]
STORED = ("phone", "name", "email", "tags", "locale", "metadata", "opted_in_at", "opted_out_at")
CONSENT = ["--map=opted_in_at=opted_in_at", "--map=opted_out_at=opted_out_at"]


def write(path: Path, *rows: list[str], header: list[str] = FIELDS) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def stored() -> list[Any]:
    return list(Contact.objects.order_by("phone").values_list(*STORED))


def test_a_blank_leaves_alone_what_an_earlier_row_gave(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    file = write(
        tmp_path / "x.csv",
        [PHONE, "Ann", "a@example.com", "vip", '{"a": 1, "b": 1}', "", ""],
        ["bad", "", "", "", "", "", ""],
        ["001 415 555 0123", "", "", "", '{"b": 2}', "", ""],
    )
    _, printed = bring(file, "--batch-size", "1")
    assert counts(printed) == {
        "created": 1, "updated": 0, "unchanged": 0, "superseded": 1, "failed": 1,
    }  # fmt: skip
    assert stored() == [(PHONE, "Ann", "a@example.com", ["vip"], "", {"a": 1, "b": 2}, None, None)]
    assert Change.objects.count() == 1
    assert_links_match_tags()


CELLS = [
    st.sampled_from([PHONE, "+33612345678", "+442079460958"]),
    st.sampled_from(["", "Ann", "Bob", "--"]),
    st.sampled_from(["", "a@example.com", "b@example.com", "--", "bad"]),
    st.sampled_from(["", "a", "b;a", "c,d", "--"]),
    st.sampled_from(["", '{"a": 1}', '{"b": {"c": 1.5}, "a": null}', "--", "bad"]),
    st.sampled_from(["", "--", *(f"2026-05-0{day}T08:14:23Z" for day in "123")]),
    st.sampled_from(["", *(f"2026-05-0{day}T08:14:23Z" for day in "123")]),
]


@example(  # what a row clears stays cleared, although a later row adds to it
    rows=[[PHONE, "", "", "--", "--", "", ""], [PHONE, "", "", "a", '{"b": 1}', "", ""]],
    tags="add", tag=[], mode="upsert", is_known=True, has_consent=False,
)  # fmt: skip
@FEW
@given(
    rows=st.lists(st.tuples(*CELLS).map(list), min_size=2, max_size=6),
    tags=st.sampled_from(["replace", "add"]),
    tag=st.sampled_from([[], ["--tag=fair", "--tag=b"]]),
    mode=st.sampled_from(["upsert", "create-only"]),
    is_known=st.booleans(),
    has_consent=st.booleans(),
)
def test_repeated_phones_come_out_as_if_each_row_were_a_file(
    acme: SimpleNamespace,
    tmp_path: Path,
    rows: list[list[str]],
    tags: str,
    tag: list[str],
    mode: str,
    is_known: bool,
    has_consent: bool,
) -> None:
    if not has_consent:
        rows = [[*row[:5], "", ""] for row in rows]
    options = [f"--tags={tags}", f"--mode={mode}", *tag, *CONSENT]
    found = []
    for files in ([rows], [[row] for row in rows]):
        acme.tenant.contacts.all().delete()
        OptOut.objects.all().delete()
        if is_known:
            ContactFactory.create(
                tenant=acme.tenant, phone=PHONE, name="Old", tags=["old", "b"], metadata={"a": 0}
            )
        for part in files:
            bring(write(tmp_path / "x.csv", *part), *options)
        found.append(stored())
    assert found[0] == found[1]
    assert_links_match_tags()


def test_a_repeated_row_counts_its_warning_and_keeps_its_line(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    rows = [[PHONE, "Ann", "bad", "", "", "", ""], [PHONE, "", "worse@", "", "", "", ""]]
    _, printed = bring(write(tmp_path / "x.csv", *rows))
    assert "warnings 2" in printed
    assert [line[:7] for line in printed.splitlines() if line.startswith("line ")] == [
        "line 2:", "line 3:",
    ]  # fmt: skip


def test_metadata_that_does_not_fit_beside_earlier_rows_is_left_out_and_told(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    big = [f'{{"{key}": "{"x" * 40_000}"}}' for key in "ab"]
    rows = [[PHONE, name, "", "", cell, "", ""] for name, cell in zip("AB", big, strict=True)]
    _, printed = bring(write(tmp_path / "x.csv", *rows))
    [contact] = stored()
    assert (contact[1], list(contact[5])) == ("B", ["a"])
    assert "line 3: Left out, because it does not fit" in printed


def full_of_metadata(key: str) -> str:
    return f'{{"{key}": "{"x" * 40_000}"}}'


def failing(tmp_path: Path, *options: str) -> list[list[str]]:
    """Imports two rows whose metadata does not fit together; returns the error file."""
    rows = [[PHONE, name, "", "", full_of_metadata(name), "", ""] for name in "ab"]
    rows.insert(1, ["+33612345678", "Zoé", "", "", "", "", ""])
    path = write(tmp_path / "x.csv", *rows)
    status, printed = bring(path, *options)
    assert (status, counts(printed)["created"]) == (1, 1), printed
    with path.with_name("x.csv.acme.errors.csv").open(newline="") as file:
        return [*csv.reader(file)][1:]


@pytest.mark.parametrize("options", [[], ["--batch-size=1"]])
def test_rows_of_a_phone_that_do_not_fit_beside_the_stored_contact_fail_together(
    acme: SimpleNamespace, tmp_path: Path, options: list[str]
) -> None:
    """The rows are one write. Without the first row, the error file would lose its values."""
    stored = {"old": "x" * 30_000}
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, name="Old", metadata=stored)
    first, last = failing(tmp_path, *options)
    assert [first[1], last[1]] == ["a", "b"]
    assert first[-1] == (f"The phone is repeated, and its rows fail together. Line 4: {last[-1]}")
    assert acme.tenant.contacts.get(phone=PHONE).metadata == stored
    job = Import.objects.get()
    assert job.created + job.failed + job.superseded == 3
    assert (job.failed, job.superseded) == ((1, 1) if options else (2, 0))


def test_strict_fails_rows_that_do_not_fit_together(acme: SimpleNamespace, tmp_path: Path) -> None:
    first, last = failing(tmp_path, "--strict")
    assert [first[1], last[1]] == ["a", "b"]
    assert last[-1].startswith("Left out, because it does not fit")


class Dialect:
    @staticmethod
    def moment(value: Any) -> str:
        return str(value.isoformat())


def test_combining_twice_is_combining_once_and_keeps_every_line(tmp_path: Path) -> None:
    options = ReadOptions({"phone": "phone", "name": "name"})
    cells = [{"phone": f"+1415555{n % 7:04}", "name": f"{n}\t" * (n % 3)} for n in range(40)]
    records = [Record(n + 2, each, 1) for n, each in enumerate([*cells, {"phone": "bad"}])]
    spool = tmp_path / "rows"
    spool.write_text(read_chunk(records, options, Dialect), newline="\n")
    combine(spool, keeps_first=False)
    once = spool.read_bytes()
    lines = [parse(text) for text in once.decode().splitlines(keepends=True)]
    assert [line.line for line in lines] == [record.line for record in records]
    assert sum(line.is_superseded for line in lines) == 33
    assert [bool(line.values) for line in lines[33:]] == [True] * 7 + [False]
    assert all(before.line < after.line for before, after in pairwise(lines))
    combine(spool, keeps_first=False)
    assert spool.read_bytes() == once
