"""An import writes its messages in the language of the page on which a user has started it."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.test import Client
from django.utils import translation as of_django

from contacts.db.dialects import dialect_of
from contacts.importing import language, pools
from contacts.importing.batch import BatchWriter
from contacts.importing.erasures import ERASED, in_words
from contacts.importing.records import Record
from contacts.importing.row import ReadOptions
from contacts.importing.spool import parse, read_chunk
from contacts.models import Import
from contacts.values.translation import gettext
from tenants.models import User
from tests.support.admin_imports import drafted, press
from tests.support.german import teach_german
from tests.support.imports_api import post, worked
from tests.support.marking import write_catalogue

NO_PHONE = "The phone is required."
NO_EMAIL = "The email must be a valid address."
NOT_THERE = "There is no contact with this phone to update."
GERMAN = {
    NO_PHONE: "Die Telefonnummer fehlt.",
    NO_EMAIL: "Das ist keine E-Mail-Adresse.",
    NOT_THERE: "Diesen Kontakt gibt es nicht.",
}
FILE = "phone,name,email\n,Ann,\n+14155550123,Bob,bob\n"

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]


@pytest.fixture(autouse=True)
def german(monkeypatch: pytest.MonkeyPatch) -> None:
    teach_german(monkeypatch, GERMAN)


def messages(job: Import) -> list[str]:
    errors = job.own_failures().order_by("line").values_list("error", flat=True)
    return [*errors, *(one.warning for one in job.warned())]


def test_an_import_of_the_admin_speaks_to_its_user(
    staff: Client, settings: SimpleNamespace, tmp_path: Path
) -> None:
    User.objects.update(language="de")
    job = drafted(staff, FILE)
    press(staff, job, "run", mode="create-only")
    assert messages(worked(job)) == [GERMAN[NO_PHONE], GERMAN[NO_EMAIL]]
    job = drafted(staff, FILE.replace("0123", "0124"), mode="update-only")
    press(staff, job, "run")
    assert messages(worked(job)) == [GERMAN[NO_PHONE], GERMAN[NOT_THERE]]
    settings.LOCALE_PATHS = [tmp_path]  # German is no longer offered
    job = drafted(staff, FILE.replace("0123", "0125"))
    press(staff, job, "run")
    assert messages(worked(job)) == [NO_PHONE, NO_EMAIL]


def test_an_import_of_a_user_without_a_language_is_in_the_one_of_the_browser(
    staff: Client,
) -> None:
    job = drafted(staff, FILE)
    press(staff, job, "run")
    with of_django.override("de"):  # of somebody else's page
        assert messages(worked(job)) == [NO_PHONE, NO_EMAIL]
    job = drafted(staff, FILE.replace("0123", "0124"))
    staff.defaults["HTTP_ACCEPT_LANGUAGE"] = "de"
    press(staff, job, "run")
    assert messages(worked(job)) == [GERMAN[NO_PHONE], GERMAN[NO_EMAIL]]


def test_an_import_of_a_program_is_english(acme: SimpleNamespace) -> None:
    User.objects.update(language="de")
    post(acme.api, FILE.encode())
    with of_django.override("de"):
        assert messages(worked(Import.objects.latest("pk"))) == [NO_PHONE, NO_EMAIL]


def test_reading_processes_speak_the_language(settings: SimpleNamespace, tmp_path: Path) -> None:
    write_catalogue(tmp_path, "de", GERMAN)
    settings.LOCALE_PATHS = [tmp_path]
    record = Record(2, {"phone": ""}, 1)
    options = ReadOptions({"phone": "phone"})
    with of_django.override("de"):
        folders_and_locale = language.catalogues()
    with pools.reading_processes(*folders_and_locale) as pool:
        line = pool.submit(read_chunk, [record], options, dialect_of()).result()
    assert parse(line).error == GERMAN[NO_PHONE]


def test_writing_threads_speak_the_language(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(BatchWriter, "write", lambda *given: said.append(gettext(NO_PHONE)))
    with of_django.override("de"):
        writer = BatchWriter(Import(tenant=acme.tenant), 1)
    with ThreadPoolExecutor(1) as pool:
        pool.submit(writer.write_in_thread, 0, []).result()
        assert said == [GERMAN[NO_PHONE]]
        assert pool.submit(gettext, NO_PHONE).result() == NO_PHONE


def test_the_error_of_an_erased_person_is_stored_in_english(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    erased_on = "Erased on %(date)s; --allow-erased imports it all the same."
    teach_german(monkeypatch, {erased_on: "Am %(date)s gelöscht."})
    stored = erased_on % {"date": "2026-05-07"}
    assert stored.startswith(ERASED)
    with of_django.override("de"):
        assert in_words(f"Line 2: {stored}") == "Line 2: Am 2026-05-07 gelöscht."
    assert in_words(stored) == stored
