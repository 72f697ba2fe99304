"""How a file is read is chosen in the preview: encoding, delimiter, header row, sheet."""

import io
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import call_command
from django.test import Client
from xlsxwriter import Workbook

from contacts.admin.import_forms import ENCODINGS
from contacts.importing.formats.code_pages import CODE_PAGES
from contacts.models import Contact, Import
from tests.support.admin import text_of
from tests.support.admin_imports import (
    drafted,
    fields_of,
    looked_at,
    page_of,
    press,
    work,
)  # fmt: skip
from tests.support.api import PHONE
from tests.support.files import xlsx
from tests.support.imports import bring

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
IMPORTS = "/api/v1/imports"


def choices_of(client: Client, job: Import, name: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for value, label in looked_at(client, job)["form"].fields[name].widget.choices:
        found |= dict(label) if isinstance(label, list) else {value: label}
    return found


def cells_of(client: Client, job: Import) -> list[list[str]]:
    return [row.cells for row in looked_at(client, job)["preview"].rows]


def test_the_encoding_is_chosen_by_the_names_in_each(staff: Client) -> None:
    job = drafted(staff, "phone,name\n+33612345678,Petrică\n".encode("cp1250"))
    choices = choices_of(staff, job, "encoding")
    assert choices["cp1250"] == "Central European (Windows-1250): Petrică"
    assert choices["cp1252"] == "Western European (Windows-1252): Petricã"
    assert choices["cp1251"] == "Cyrillic (Windows-1251)"
    assert "not certain" in text_of(press(staff, job, "run"))
    press(staff, job, "update", encoding="cp1250")
    assert cells_of(staff, job) == [["+33612345678", "Petrică"]]
    press(staff, job, "run")
    assert work(job).created == 1
    assert Contact.objects.get().name == "Petrică"


def test_each_code_page_that_is_detected_can_be_chosen() -> None:
    assert {*CODE_PAGES} < {*ENCODINGS}


def test_the_delimiter_is_chosen(staff: Client) -> None:
    job = drafted(staff, f"phone;name\tcity\n{PHONE};Ann\tLyon\n")
    assert choices_of(staff, job, "delimiter")[""] == "Detected: Semicolon ;"
    press(staff, job, "update", delimiter=r"\t")
    assert cells_of(staff, job) == [[f"{PHONE};Ann", "Lyon"]]
    form = looked_at(staff, job)["form"]
    assert (form["delimiter"].value(), choices_of(staff, job, "delimiter")[""]) == (r"\t", "Detect")
    press(staff, job, "update", delimiter="")
    assert cells_of(staff, job) == [[PHONE, "Ann\tLyon"]]


def test_the_header_row_is_chosen_among_the_first_ten(staff: Client, acme: SimpleNamespace) -> None:
    rows = "".join(f"+1415555{n:04};Ann;x\n" for n in range(12))
    job = drafted(staff, f"Phone;list;\n\nNr;Wer;Phone\n{rows}")
    choices = choices_of(staff, job, "header_line")
    assert [*choices] == ["", "1", *map(str, range(3, 12)), "0"]
    assert (choices[""], choices["3"]) == ("Detected: line 1", "Line 3: Nr · Wer · Phone")
    press(staff, job, "update", header_line="3")
    assert fields_of(staff, job) == {"Nr": "", "Wer": "", "Phone": "phone"}
    press(staff, job, "update", header_line="0")
    assert looked_at(staff, job)["preview"].rows[1].cells == ["Nr", "Wer", "Phone"]
    press(staff, job, "try", **{"Column 1": "phone"})
    assert (work(job).rows, job.created, job.failed) == (14, 12, 2)


def test_a_row_of_somebody_erased_is_no_choice_for_the_header(staff: Client) -> None:
    job = drafted(staff, f"phone,name\n{PHONE},Zoé\n+33612345678,Bob\n")
    call_command("erase_contact", PHONE, "--tenant", "acme", "--yes", stdout=io.StringIO())
    choices = choices_of(staff, job, "header_line")
    assert (choices["2"], choices["3"]) == ("Line 2: ", "Line 3: +33612345678 · Bob")


def test_the_sheet_is_chosen_and_the_others_are_named(staff: Client, acme: SimpleNamespace) -> None:
    def fill(book: Workbook) -> None:
        for name in ("Notes", "Customers", "Staff"):
            book.add_worksheet(name).write_row(0, 0, ["Phone", name][name == "Notes" :])
            book.get_worksheet_by_name(name).write_row(1, 0, [PHONE, name])

    content = xlsx(fill)
    job = drafted(staff, content, name="shop.xlsx")
    note = "The workbook has 3 sheets with rows; “Customers” is read. Not read: “Notes”, “Staff”."
    assert note in text_of(staff.get(page_of("preview", job)))
    assert choices_of(staff, job, "sheet") == {
        "": "Detected: Customers", "Notes": "Notes", "Customers": "Customers", "Staff": "Staff",
    }  # fmt: skip
    press(staff, job, "update", sheet="Staff")
    assert fields_of(staff, job) == {"Phone": "phone", "Staff": ""}
    press(staff, job, "run", Staff="name")
    assert work(job).created == 1
    assert Contact.objects.get().name == "Staff"
    file = SimpleUploadedFile("shop.xlsx", content)
    answer = acme.api.client.post(
        IMPORTS, {"file": file, "sheet": "Staff"}, headers=acme.api.headers
    )
    assert answer.status_code == 202, answer.json()
    work(Import.objects.latest("pk"))
    shown = acme.api.get(answer.headers["Location"]).json()
    assert (shown["sheet"], shown["sheets"]) == ("Staff", ["Notes", "Customers", "Staff"])


def test_the_command_names_the_sheets_that_it_does_not_read(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    def fill(book: Workbook) -> None:
        for name in ("A", "B"):
            book.add_worksheet(name).write_column(0, 0, ["Phone", PHONE])

    path = tmp_path / "shop.xlsx"
    path.write_bytes(xlsx(fill))
    _, printed = bring(path, "--sheet=B")
    assert printed.startswith(
        "sheet “B”, header in line 1\n"
        "The workbook has 2 sheets with rows; “B” is read. Not read: “A”.\n"
    )
