"""Files as shops, phones and mail programs write them, and what must be stored afterwards: each
through the command, the API and the admin.

`cases.json` has the file as `text` in `encoding`, the options as the command takes them, and the
contacts that must be there afterwards, and no others. A field that a contact does not name is not
compared. `before` is a file that is imported first. `failed` has the lines of records that fail.
"""

import base64
import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.core.management.base import CommandError
from django.test import Client

from contacts.models import Contact, Import
from tests.support.admin import errors
from tests.support.admin_imports import press, upload
from tests.support.cases import in_one_test
from tests.support.imports import bring
from tests.support.imports_api import IMPORTS, worked

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]
Case = dict[str, Any]
CASES: dict[str, Case] = {
    case["id"]: case for case in json.loads(Path(__file__).with_name("cases.json").read_text())
}


def file_of(case: Case) -> SimpleUploadedFile:
    if case["encoding"] == "base64":
        content = base64.b64decode(case["text"])
    else:
        content = case["text"].encode(case["encoding"])
    return SimpleUploadedFile(case["file_name"], content)


def switches(options: list[str]) -> dict[str, str]:
    """The options of the command as those of a form."""
    pairs = zip(options, [*options[1:], "--"], strict=False)
    return {
        name.removeprefix("--").replace("-", "_"): "true" if value.startswith("--") else value
        for name, value in pairs
        if name.startswith("--")
    }


# Each door returns the finished import, or the sentence of its refusal.


class Command:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(self, file: SimpleUploadedFile, options: list[str]) -> Import | str:
        path = self.folder / str(file.name)
        path.write_bytes(file.read())
        try:
            bring(path, *options)
        except CommandError as refused:
            return str(refused)
        return Import.objects.latest("pk")


class OverApi:
    def __init__(self, acme: SimpleNamespace) -> None:
        self.client, self.headers = acme.api.client, acme.api.headers

    def __call__(self, file: SimpleUploadedFile, options: list[str]) -> Import | str:
        form = {"file": file} | switches(options)
        answer = self.client.post(IMPORTS, form, headers=self.headers)
        if answer.status_code == 422:
            return json.dumps(answer.json()["errors"]["file"])
        assert answer.status_code == 202, answer.json()
        return worked(Import.objects.latest("pk"))


class Admin:
    def __init__(self, staff: Client) -> None:
        self.staff = staff

    def __call__(self, file: SimpleUploadedFile, options: list[str]) -> Import | str:
        given = switches(options)
        on_next_page = {name: given.pop(name) for name in ["rest_to_metadata"] if name in given}
        answer = upload(self.staff, file.read(), str(file.name), **given)
        if answer.status_code == 200:
            return str(errors(answer))
        job = Import.objects.latest("pk")
        if on_next_page:
            press(self.staff, job, "update", **on_next_page)
        press(self.staff, job, "run")
        return worked(job)


@pytest.fixture(params=["command", "api", "admin"])
def door(request: Any, acme: SimpleNamespace, staff: Client, tmp_path: Path) -> Any:
    doors = {"command": Command(tmp_path), "api": OverApi(acme), "admin": Admin(staff)}
    return doors[request.param]


@in_one_test("name", CASES)
def test_what_people_really_have_comes_in_as_it_should(door: Any, name: str) -> None:
    case = CASES[name]
    options = case.get("options", [])
    if "before" in case:
        door(SimpleUploadedFile("before.csv", case["before"].encode()), [])
    outcome = door(file_of(case), options)
    if case.get("refused"):
        assert isinstance(outcome, str)
        assert not any(secret in outcome for secret in ("Ann", "Bob", "33612345678"))
        assert not Contact.objects.exists()
    else:
        assert stored_as(case["contacts"]) == case["contacts"]
        assert Contact.objects.count() == len(case["contacts"])
        assert isinstance(outcome, Import)
        lines = outcome.failures.order_by("line").values_list("line", flat=True)
        assert [*lines] == case.get("failed", [])


def stored_as(expected: list[Case]) -> list[Case]:
    """The contacts with these phones, with the fields that are expected."""
    found = {contact.phone: contact for contact in Contact.objects.all()}
    return [
        {name: shown(found[contact["phone"]], name) for name in contact}
        for contact in expected
        if contact["phone"] in found
    ]


def shown(contact: Contact, name: str) -> Any:
    """The value as the API shows it: an empty one is null."""
    value = getattr(contact, name)
    return None if value == "" else value
