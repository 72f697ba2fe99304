"""Several columns for a field, and what the command, the API and the admin say about a file."""

from collections.abc import Callable
from html import unescape

import pytest
from django.test import Client
from django.urls import reverse

from contacts.models import Contact, Import
from tests.support.admin_imports import drafted, fields_of, press
from tests.support.cases import in_one_test
from tests.support.imports_api import worked

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
MOBILE, HOME, WORK = "+33612345678", "+33145678901", "+33145678902"
FILES = {
    "second phone column": "First Name,Phone,Default Address Phone\nAnn,,{mobile}\nBob,{work},\n",
    "mobile before landline": "name,Phone,Mobile\nAnn,{home},{mobile}\nBob,{work},n/a\n",
    "types": "Name,Phone 1 - Type,Phone 1 - Value,Phone 2 - Type,Phone 2 - Value\n"
    "Ann,Home,{home},Mobile,{mobile}\nBob,Home Fax,{home},Other,{work}\n",
    "repeated header": "Name,Phone,Phone\nAnn,,{mobile}\nBob,{work},{home}\n",
    "billing": "ID,Billing First Name,Billing Phone\n7,Ann,{mobile}\n8,Bob,{work}\n",
    "Pipedrive": "Person - Name,Person - Phone - Mobile,Person - Phone - Work\n"
    "Ann,,{mobile}\nBob,{work},{home}\n",
    "German": "Anrede,Vorname,Mobiltelefon,Telefon geschäftlich\n"
    "Frau,Ann,{mobile},{work}\nHerr,Bob,,{work}\n",
    "Portuguese": "Nome,Celular,E-mail\nAnn,{mobile},a@x.example\nBob,{work},b@x.example\n",
    "Arabic": "الاسم,رقم الجوال\nAnn,{mobile}\nBob,{work}\n",
    "NDJSON": '{{"name": "Ann", "phone": null, "mobile": "{mobile}"}}\n'
    '{{"name": "Bob", "phone": "{work}"}}\n',
}
Door = Callable[[str], Import]


@in_one_test("name", FILES)
def test_the_best_phone_of_each_record_comes_in(door: Door, name: str) -> None:
    door(FILES[name].format(mobile=MOBILE, home=HOME, work=WORK))
    assert dict(Contact.objects.values_list("phone", "name")) == {MOBILE: "Ann", WORK: "Bob"}


def test_of_repeated_headers_columns_has_the_first_and_column_list_all(door: Door) -> None:
    job = door(f"Tags,Phone,Phone,Tags\nvip,{MOBILE},,new\n")
    assert job.columns == {"Phone": "phone", "Tags": "tags"}
    keys = ("index", "header", "field")
    listed = [tuple(map(column.get, keys)) for column in job.options["column_list"]]
    assert listed == [
        (0, "Tags", "tags"), (1, "Phone", "phone"), (2, "Phone", "phone"), (3, "Tags", "tags"),
    ]  # fmt: skip
    assert Contact.objects.get().tags == ["vip", "new"]


def preview_of(client: Client, job: Import) -> str:
    page = client.get(reverse("admin:contacts_import_preview", args=[job.pk]))
    return unescape(page.content.decode())


def test_the_preview_tells_the_guesses_and_shows_the_records_anew_when_they_are_changed(
    staff: Client,
) -> None:
    job = drafted(staff, f"Customers\n\nMobile;Name;Line\n;Zoé;{MOBILE}\n".encode("cp1252"))
    page = preview_of(staff, job)
    assert "CSV, encoding cp1252, delimiter “;”, header in line 3." in page
    assert "1 with errors" in page
    press(staff, job, "update", Line="phone")
    assert fields_of(staff, job) == {"Mobile": "phone", "Name": "name", "Line": "phone"}
    assert "no errors" in preview_of(staff, job)
    job.refresh_from_db()
    press(staff, job, "update", encoding="cp1250")
    assert "encoding cp1250" in preview_of(staff, job)
    press(staff, job, "run")
    assert worked(job).created == 1
    assert Contact.objects.get().phone == MOBILE
