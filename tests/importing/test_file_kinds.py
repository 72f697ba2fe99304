"""What a file is shows in its first bytes. A file without records is refused with a sentence."""

import gzip
import io
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.test import Client
from django.urls import reverse

from contacts.importing import storage, uploads
from contacts.importing.formats import FORMATS
from contacts.importing.record_file import RecordFile
from contacts.importing.records import UnreadableFile
from contacts.models import Contact, Import
from tests.support.admin import permit
from tests.support.api import PHONE
from tests.support.factories import UserFactory
from tests.support.files import card, table

SECRET = "+33612345678"
IMPORTS = "/api/v1/imports"


@pytest.fixture
def staff(acme: SimpleNamespace) -> Client:
    user = UserFactory.create(tenant=acme.tenant, is_staff=True)
    permit(user)
    client = Client()
    client.force_login(user)
    return client


def kind_of(folder: Path, content: bytes) -> str:
    path = folder / "people.csv"
    path.write_bytes(content)
    return RecordFile(path).kind.name


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("is_packed", [False, True])
@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("phone,name\n1,Ann\n", "CSV"),
        ("[phone],name\n1,Ann\n", "CSV"),
        ("<phone>,name\n1,Ann\n", "CSV"),
        ('\n \n{"phone": "1"}\n', "NDJSON"),
        ('[\n {"phone": "1"}]', "JSON"),
        ("[]", "JSON"),
        ("\r\nbegin:vcard\r\nTEL:1\r\nend:vcard\r\n", "vCard"),
    ],
)
def test_the_format_shows_in_the_first_characters(
    tmp_path: Path, text: str, name: str, encoding: str, is_packed: bool
) -> None:
    content = text.encode(encoding)
    assert kind_of(tmp_path, gzip.compress(content) if is_packed else content) == name


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"<html><body><table><tr><td>%s</td></tr></table></body></html>", "a web page"),
        (b"\xef\xbb\xbf \n<!DOCTYPE html>\n<p>%s", "a web page"),
        (b'<?xml version="1.0"?>\n<html xmlns="x">%s', "a web page"),
        (b"MIME-Version: 1.0\r\nContent-Type: multipart/related\r\n%s", "a web page"),
        (b'<?xml version="1.0"?><Workbook xmlns="urn:schemas-microsoft-com:office:spreadsheet">%s',
         "the XML format of Excel 2003"),
        (b'<?xml version="1.0"?><contacts>%s</contacts>', "an XML document"),
        (b'<?xml version="1.0"?><o:document><o:style/>%s', "an XML document"),
        (b"dn: cn=%s,mail=ann@example.com\nobjectclass: top\n", "LDIF"),
        (b"# Thunderbird\nversion: 1\n\ndn:: Y249%s\n", "LDIF"),
        (b"BEGIN:VCALENDAR\r\n%s", "a calendar"),
        (b"%%PDF-1.7\n%s", "a PDF"),
        (b"\x89PNG\r\n\x1a\n%s", "an image"),
        (b"\xff\xd8\xff\xe0\0\x10JFIF%s", "an image"),
        (b"GIF89a%s", "an image"),
        (b"RIFF\x10\0\0\0WEBPVP8 %s", "an image"),
        (b"\0\0\0\x18ftypheic%s", "an image"),
        (b"{\\rtf1\\ansi %s}", "RTF"),
        (b"SQLite format 3\0%s", "SQLite"),
        (b"\x7fELF\x02\x01%s", "a program"),
        (b"MZ\x90\0\x03\0\0\0%s", "a program"),
        (b"7z\xbc\xaf\x27\x1c%s", "an archive"),
        (b"Rar!\x1a\x07%s", "an archive"),
        (b"\x01\x02\x03\x04\x05\x06\x07\x08%s" * 9, "a binary file"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_records_is_refused_by_its_name(
    tmp_path: Path, content: bytes, what: str
) -> None:
    path = tmp_path / "people.xls"
    whole = content.replace(b"%s", SECRET.encode()).replace(b"%%", b"%")
    for packed in (whole, gzip.compress(whole)):
        path.write_bytes(packed)
        with pytest.raises(UnreadableFile) as refused:
            RecordFile(path)
        assert what in str(refused.value)
        assert "CSV" in str(refused.value) or "one after the other" in str(refused.value)
        assert SECRET not in str(refused.value)


def test_a_gzip_file_inside_a_gzip_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnreadableFile, match="gzip file inside a gzip file"):
        kind_of(tmp_path, gzip.compress(gzip.compress(b"phone\n1\n")))


FILES = {
    "CSV": b"phone,name\n%b,Ann\n12,Bob\n" % PHONE.encode(),
    "NDJSON": b'{"phone": "%b", "name": "Ann"}\n{"phone": "12"}\n' % PHONE.encode(),
    "JSON": b'[{"phone": "%b", "name": "Ann"},\n{"phone": "12"}]' % PHONE.encode(),
    "vCard": (card(f"TEL:{PHONE}", "FN:Ann") + card("TEL:12")).encode(),
    "workbook": table(["phone", "name"], [PHONE, "Ann"], ["12", "Bob"]),
}
LINES = {"CSV": 3, "NDJSON": 2, "JSON": 2, "vCard": 6, "workbook": 3}


def test_every_format_is_tried_here() -> None:
    assert {each.name for each in FORMATS} == {*FILES}


@pytest.mark.django_db
@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("is_packed", [False, True])
def test_the_command_imports_every_format(
    acme: SimpleNamespace, tmp_path: Path, name: str, is_packed: bool
) -> None:
    path = tmp_path / "people"
    path.write_bytes(gzip.compress(FILES[name]) if is_packed else FILES[name])
    printed = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("import_contacts", str(path), "--tenant", "acme", stdout=printed)
    assert "created 1, updated 0, unchanged 0, superseded 0, failed 1" in printed.getvalue()
    [contact] = Contact.objects.all()
    assert (contact.phone, contact.name) == (PHONE, "Ann")
    assert Import.objects.get().failures.get().line == LINES[name]


@pytest.mark.django_db
@pytest.mark.parametrize("kind", FORMATS, ids=lambda kind: kind.name)
def test_the_api_takes_every_format_under_its_own_media_types(
    acme: SimpleNamespace, kind: Any
) -> None:
    for media_type in kind.media_types:
        answer = acme.api.send(FILES[kind.name], IMPORTS, content_type=media_type)
        assert answer.status_code == 202, answer.json()
        uploads.run_import.call(answer.json()["id"])
        job = acme.api.get(f"{IMPORTS}/{answer.json()['id']}").json()
        assert (job["created"] + job["unchanged"], job["failed"]) == (1, 1)
        errors = acme.api.get(f"{IMPORTS}/{job['id']}/errors")
        assert b"12," in b"".join(errors.streaming_content)
    assert not list(storage.data_folder("imports").glob("*/sheet"))


@pytest.mark.django_db
@pytest.mark.parametrize("name", FILES)
def test_the_admin_previews_and_imports_every_format(
    staff: Client, name: str, tmp_path: Path
) -> None:
    file = io.BytesIO(FILES[name])
    file.name = "people"
    add = reverse("admin:contacts_import_add")
    answer = staff.post(add, {"file": file, "mode": "upsert", "clear_marker": "--"})
    assert answer.status_code == 302, answer.context["adminform"].form.errors
    job = Import.objects.get()
    page = staff.get(answer.headers["Location"]).content.decode()
    assert "1 with errors" in page
    assert uploads.begin(job, "user:1", dry_run=False)
    uploads.run_import.call(job.pk)
    job.refresh_from_db()
    assert (job.created, job.failed) == (1, 1)
    errors: Any = staff.get(reverse("admin:contacts_import_errors", args=[job.pk]))
    path = tmp_path / "errors"
    path.write_bytes(b"".join(errors.streaming_content))
    source = RecordFile(path)
    assert source.kind.name == ("workbook" if name in {"vCard", "workbook"} else "CSV")
    assert [record.cells["line"] for record in source.records()] == [str(LINES[name])]


@pytest.mark.django_db
def test_no_door_shows_a_cell_of_a_file_that_it_refuses(
    acme: SimpleNamespace, staff: Client, tmp_path: Path
) -> None:
    page = f"<html><table><tr><td>{SECRET}</td></tr></table></html>".encode()
    path = tmp_path / "people.xls"
    path.write_bytes(page)
    with pytest.raises(CommandError, match="a web page") as refused:
        call_command("import_contacts", str(path), "--tenant", "acme")
    answer = acme.api.send(page, IMPORTS, content_type="application/vnd.ms-excel")
    [sentence] = answer.json()["errors"]["file"]
    with path.open("rb") as file:
        shown = staff.post(reverse("admin:contacts_import_add"), {"file": file, "mode": "upsert"})
    assert "a web page" in sentence
    assert "a web page" in shown.content.decode()
    for text in (str(refused.value), json.dumps(answer.json()), shown.content.decode()):
        assert SECRET not in text
