"""A file whose encoding is not certain: the admin shows the names in each, other doors name the
encodings."""

from pathlib import Path
from types import SimpleNamespace

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management import CommandError, call_command

from contacts.importing import uploads
from contacts.importing.incoming import Incoming
from contacts.importing.options import clean
from contacts.importing.preview import preview
from contacts.importing.storage import spool_folder
from contacts.models import Contact, Import
from tests.support.api import Api, assert_error

pytestmark = pytest.mark.django_db

PEOPLE = "phone,name\n+33612345678,Petrică\n".encode("cp1250")


def test_the_command_names_the_encodings_only(acme: SimpleNamespace, tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    path.write_bytes(PEOPLE)
    with pytest.raises(CommandError, match="not certain; give it: cp125") as refused:
        call_command("import_contacts", str(path), "--tenant", "acme")
    assert "Petric" not in str(refused.value)
    call_command("import_contacts", str(path), "--tenant", "acme", "--encoding", "cp1250")
    assert Contact.objects.get().name == "Petrică"


def test_the_api_names_the_encodings_only(api: Api) -> None:
    file = SimpleUploadedFile("people.csv", PEOPLE)
    answer = api.client.post("/api/v1/imports", {"file": file}, headers=api.headers)
    body = assert_error(answer, 422, "validation_failed", "file")
    assert "cp1250" in str(body)
    assert "Petric" not in str(body)


def test_the_admin_shows_the_names_in_each(acme: SimpleNamespace) -> None:
    job = Import(tenant=acme.tenant, file_name="people.csv", options=clean({}))
    with Incoming("people.csv") as file:
        file.write(PEOPLE)
        file.flush()
        uploads.store_draft(job, file)
    doubtful = preview(job, spool_folder(job))
    assert "cp1250: Petrică" in doubtful.problem
    assert "cp1252: Petricã" in doubtful.problem
    job.options["encoding"] = "cp1250"
    chosen = preview(job, spool_folder(job))
    assert (chosen.problem, chosen.rows[0].cells) == ("", ["+33612345678", "Petrică"])
