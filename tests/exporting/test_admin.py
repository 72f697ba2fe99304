"""Exports in the admin: all formats, none of which runs a formula, and large ones by a worker."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse

from contacts.admin import exports
from contacts.exporting import background, export
from contacts.models import Export
from tests.support.api import PHONE
from tests.support.factories import ContactFactory, UserFactory
from tests.support.sheets import cells_of

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("data_dir")]

LIST = reverse("admin:contacts_contact_changelist")


@pytest.fixture
def viewer(client: Client, acme: SimpleNamespace) -> Client:
    acme.user.is_staff = True
    acme.user.save()
    acme.user.user_permissions.set(Permission.objects.filter(codename="view_contact"))
    client.force_login(acme.user)
    return client


def ask(client: Client, count: int | None = None, **more: Any) -> Any:
    """Chooses all contacts; with `count`, confirms."""
    chosen = {"action": "export", "select_across": "1", "_selected_action": "x"} | more
    return client.post(LIST, chosen | ({} if count is None else {"count": str(count)}))


def body(answer: Any) -> bytes:
    assert answer.status_code == 200
    return b"".join(answer.streaming_content)


def test_all_formats_are_offered_and_excel_is_chosen(viewer: Client, acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant)
    page = ask(viewer).content.decode()
    for form in export.FORMATS:
        assert f'<option value="{form}"' in page
    assert page.count(" selected>") == 1
    assert '<option value="xlsx" selected>' in page
    answer = ask(viewer, 1, value="pdf")
    assert "Select a valid choice" in answer.content.decode()


def test_a_csv_of_the_admin_runs_nothing_and_excel_reads_its_letters(
    viewer: Client, acme: SimpleNamespace
) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, name="=é")
    content = body(ask(viewer, 1, value="csv"))
    assert content.startswith(b"\xef\xbb\xbfphone,")
    assert f"'{PHONE},'=é,".encode() in content


def test_a_workbook_is_downloaded_at_once(
    viewer: Client, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    for member in (acme, globex):
        ContactFactory.create(tenant=member.tenant, phone=PHONE, name=f"=of {member.tenant.slug}")
    answer = ask(viewer, 1, value="xlsx")
    assert '.xlsx"' in answer.headers["Content-Disposition"]
    assert cells_of(body(answer))[1:] == [[PHONE, "=of acme"]]
    assert not Export.objects.exists()


def test_a_large_workbook_is_left_to_a_worker(
    viewer: Client, acme: SimpleNamespace, globex: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(exports, "AT_ONCE", 2)
    ContactFactory.create_batch(3, tenant=acme.tenant)
    answer = ask(viewer, 3, value="xlsx")
    job = Export.objects.get()
    page, file = (reverse(f"admin:contacts_export_{name}", args=[job.pk])
                  for name in ("change", "file"))  # fmt: skip
    assert (answer.status_code, answer.headers["Location"]) == (302, page)
    assert "every 2s" in viewer.get(page).content.decode()
    assert viewer.get(file).status_code == 404
    background.run_export.call(job.pk)
    shown = viewer.get(page).content.decode()
    assert file in shown
    assert "every 2s" not in shown
    assert len(cells_of(body(viewer.get(file)))) == 4
    assert str(job) in viewer.get(reverse("admin:contacts_export_changelist")).content.decode()
    other = UserFactory.create(tenant=globex.tenant, is_staff=True)
    other.user_permissions.set(Permission.objects.all())
    web = Client()
    web.force_login(other)
    assert {web.get(page).status_code, web.get(file).status_code} == {302}
    other.user_permissions.clear()
    assert {web.get(page).status_code, web.get(file).status_code} == {403}
    assert body(ask(viewer, 3, value="csv")), "a CSV of any size begins at once"


def test_what_a_workbook_cannot_hold_is_told(viewer: Client, acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, metadata={"a": "x" * 40_000})
    answer = ask(viewer, 1, value="xlsx")
    assert answer.status_code == 302
    page = viewer.get(answer.headers["Location"]).content.decode()
    assert f"The metadata of {PHONE} has more than 32,767 characters" in page


def test_a_large_workbook_of_several_tenants_is_refused(
    client: Client, acme: SimpleNamespace, globex: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    for member in (acme, globex):
        ContactFactory.create(tenant=member.tenant, phone=PHONE)
    client.force_login(UserFactory.create(tenant=None, is_staff=True, is_superuser=True))
    assert len(cells_of(body(ask(client, 2, value="xlsx")))) == 3
    monkeypatch.setattr(exports, "AT_ONCE", 1)
    answer = ask(client, 2, value="xlsx")
    assert "belong to several tenants" in client.get(answer.headers["Location"]).content.decode()
    assert not Export.objects.exists()


def test_deleting_an_export_deletes_its_file(
    client: Client, acme: SimpleNamespace, data_dir: Path
) -> None:
    client.force_login(UserFactory.create(tenant=None, is_staff=True, is_superuser=True))
    ids = export.select_ids(acme.tenant.contacts.all())
    job = background.plan_chosen(acme.tenant, "user:1", "csv", ids)
    page = reverse("admin:contacts_export_delete", args=[job.pk])
    assert client.post(page, {"post": "yes"}).status_code == 403, "it runs"
    background.run_export.call(job.pk)
    assert [*(data_dir / "exports").iterdir()]
    assert client.post(page, {"post": "yes"}).status_code == 302
    assert not Export.objects.exists()
    assert not [*(data_dir / "exports").iterdir()]
