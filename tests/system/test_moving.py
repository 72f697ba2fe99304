"""`move_from_qyvo` against a real server of this project as the other side."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from threading import Event
from types import SimpleNamespace

import httpx
import pytest

from contacts.importing.storage import spool_folder
from contacts.jobs.files import read_json
from contacts.models import Contact, Import
from contacts.moving.download import POSITION
from tenants.models import Tenant
from tests.support.databases import test_database_url
from tests.support.mcp_proxy import adding
from tests.support.paths import ROOT
from tests.support.processes import PATIENCE
from tests.support.sql import assert_links_match_tags

FIELDS = ("phone", "name", "email", "tags", "metadata", "locale", "opted_in_at", "opted_out_at")
NAMES = ["Zoé", "山田太郎", "أحمد", "Ўзбек", "สมชาย", "--", 'O\'Brien "Bob"', "👩‍👩‍👧"]


def start(url: str, token: str, data_dir: Path) -> subprocess.Popen:
    database = {"DATABASE_URL": test_database_url(), "DATA_DIR": str(data_dir)}
    return subprocess.Popen(
        [sys.executable, "manage.py", "move_from_qyvo", "--tenant", "acme", "--base-url", url],
        cwd=ROOT, env=os.environ | database | {"QYVO_HOSTED_TOKEN": token},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def furnish(member: SimpleNamespace, number: int) -> None:
    """Contacts with everything that a contact can have."""
    people = [
        {"phone": f"+1415555{n:04}", "name": NAMES[n % len(NAMES)], "locale": "pt-BR",
         "email": f"p{n}@example.com" if n % 3 else None, "tags": ["vip", f"t{n % 7}", "名前; |"],
         "metadata": {"n": n, "nested": {"list": [1, None, "é"]}} if n % 2 else {}}
        for n in range(number)
    ]  # fmt: skip
    for begin in range(0, number, 1000):
        body = people[begin : begin + 1000]
        assert member.api.act("create-contacts", contacts=body).status_code == 200
    for n, status in ((1, "opted_in"), (2, "opted_out"), (3, "opted_in"), (3, "opted_out")):
        at = f"2026-05-0{1 + (status == 'opted_out')}T08:00:00Z"
        member.api.act("record-consent", phone=f"+1415555{n:04}", status=status, at=at)
    for n, new in ((2, "+14155560002"), (7, "+14155560007"), (7, "+14155570007")):
        key = {"phone": f"+1415555{n:04}"}  # a former phone finds its contact, too
        answer = member.api.act("update-contact", **key, new_phone=new, keep_former=True)
        assert answer.status_code == 200


def stored(tenant: Tenant) -> list[tuple]:
    return [*tenant.contacts.order_by("phone").values_list(*FIELDS)]


def former_phones(tenant: Tenant) -> dict[str, list[str]]:
    """By the current phone."""
    contacts = tenant.contacts.filter(phone__gte="+14155560000")
    former = Contact.all_phones.former_phones(contacts)
    return {contact.phone: sorted(former[contact.pk]) for contact in contacts}


@pytest.mark.django_db(transaction=True)
def test_everything_of_another_server_comes_in_though_the_move_is_killed(
    server: httpx.Client, acme: SimpleNamespace, globex: SimpleNamespace, data_dir: Path
) -> None:
    furnish(globex, 1250)
    url = str(server.base_url).rstrip("/")
    pages: list[bytes] = []
    has_come, is_killed = Event(), Event()

    def hold_the_fifth(body: bytes) -> None:
        pages.extend([body] * (b'"list_contacts"' in body))
        if len(pages) == 5:
            has_come.set()
            is_killed.wait(PATIENCE)

    with adding(globex.plaintext, url, hold_the_fifth) as slow:
        process = start(slow, globex.plaintext, data_dir)
        assert has_come.wait(PATIENCE)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        is_killed.set()
        job = Import.objects.get()
        assert read_json(spool_folder(job) / POSITION, [])[1] == 5
        assert not acme.tenant.contacts.exists()
        printed, errors = start(slow, globex.plaintext, data_dir).communicate(timeout=PATIENCE)
    assert len(pages) == 5 + 9, "the pages after the fourth"
    assert printed.splitlines() == [
        "account 1250, read 1250",
        "created 1250, updated 0, unchanged 0, superseded 0, failed 0",
    ], errors
    assert stored(acme.tenant) == stored(globex.tenant)
    assert former_phones(acme.tenant) == {
        "+14155560002": ["+14155550002"],
        "+14155570007": ["+14155550007", "+14155560007"],
    }
    assert Import.objects.get() == job
    assert_links_match_tags()
