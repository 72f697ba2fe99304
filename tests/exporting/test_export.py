"""Exports: complete, streamed, harmless in a spreadsheet, and taken back by an import."""

import csv
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
from hypothesis import example, given
from hypothesis import strategies as st

from contacts.exporting import export
from contacts.models import Contact
from contacts.values import rules
from contacts.writing import edit, former_phones
from tenants.models import Tenant
from tests.support.api import PHONE
from tests.support.examples import FEW
from tests.support.factories import ContactFactory, TenantFactory, UserFactory
from tests.support.sql import statements

pytestmark = [pytest.mark.both, pytest.mark.django_db]

NDJSON = export.FORMATS["ndjson"]


def exported(tenant: str = "acme", *options: str) -> str:
    out = io.StringIO(newline="")
    call_command("export_contacts", "--tenant", tenant, *options, stdout=out)
    return out.getvalue()


def rows(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_a_contact_is_written_in_full(acme: SimpleNamespace) -> None:
    ContactFactory.create(
        tenant=acme.tenant, phone=PHONE, name="Zoë \"Z\"", email="z@example.com",
        tags=["vip", "a"], metadata={"n": 1.5}, locale="fr",
        opted_in_at="2026-05-07T08:14:23.000123+00:00",
    )  # fmt: skip
    expected = {
        "phone": PHONE, "name": 'Zoë "Z"', "email": "z@example.com", "tags": ["vip", "a"],
        "locale": "fr", "metadata": {"n": 1.5}, "opted_in_at": "2026-05-07T08:14:23.000123+00:00",
    }  # fmt: skip
    assert json.loads(exported("acme", "--format", "ndjson")) == expected
    cells = {"tags": "vip,a", "metadata": '{"n":1.5}', "opted_out_at": "", "former_phones": ""}
    assert rows(exported()) == [expected | cells]


def test_filters_choose_contacts_of_the_tenant_only(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    for member in (acme, globex):
        ContactFactory.create(tenant=member.tenant, phone=PHONE, name="Ann", tags=["vip"])
        ContactFactory.create(tenant=member.tenant, phone="+33612345678", name="Bob")
    acme.tenant.contacts.update(locale="acme")

    def names(*options: str) -> list[str]:
        found = rows(exported("acme", *options))
        assert {row["locale"] for row in found} <= {"acme"}
        return [row["name"] for row in found]

    assert names() == ["Ann", "Bob"]
    assert names("--tag", "vip") == ["Ann"]
    assert names("--query", "BOB") == ["Bob"]
    TenantFactory.create(slug="empty")
    assert exported("empty").count("\n") == 1, "the names of the columns"
    with pytest.raises(CommandError, match="There is no tenant “nobody”"):
        exported("nobody")


@pytest.mark.parametrize(
    "filters", [["--tag", "vpi"], ["--query", "+14155550199"], ["--query", "bob", "--tag", "vip"]]
)
def test_a_filter_that_no_contact_matches_is_an_error(
    acme: SimpleNamespace, globex: SimpleNamespace, tmp_path: Path, filters: list[str]
) -> None:
    ContactFactory.create(tenant=acme.tenant, name="Ann", tags=["vip"])
    ContactFactory.create(tenant=acme.tenant, name="Bob")
    ContactFactory.create(tenant=globex.tenant, phone="+14155550199", tags=["vpi"])
    with pytest.raises(CommandError, match=r"No contact matches --.* “"):
        exported("acme", *filters, "-o", str(tmp_path / "x.csv"))
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz"])
def test_a_file_is_whole_or_not_there(
    acme: SimpleNamespace, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE)
    path = tmp_path / name
    exported("acme", "-o", str(path))
    content = path.read_bytes()
    text = gzip.decompress(content) if name.endswith("gz") else content
    assert text.decode() == exported()
    monkeypatch.setattr("contacts.exporting.cells.cell", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        exported("acme", "-o", str(path))
    assert [file.name for file in tmp_path.iterdir()] == [name]
    assert path.read_bytes() == content
    with pytest.raises(CommandError, match="No such file"):
        exported("acme", "-o", str(tmp_path / "nowhere" / "x.csv"))


def test_pages_join_without_gap_or_repetition(
    acme: SimpleNamespace, globex: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 3)
    for number in reversed(range(10)):
        for member in (acme, globex):
            ContactFactory.create(tenant=member.tenant, phone=f"+1415555{number:04}")
    everybody = Contact.objects.all()
    for contacts in (acme.tenant.contacts.all(), everybody, everybody.filter(links__tag=None)):
        text = b"".join(export.export(export.select_ids(contacts), NDJSON))
        phones = [json.loads(line)["phone"] for line in text.splitlines()]
        assert phones == sorted(contacts.values_list("phone", flat=True))


def test_whom_a_filter_chooses_is_asked_once_and_each_page_by_its_ids(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 3)
    for number in range(10):
        ContactFactory.create(tenant=acme.tenant, phone=f"+1415555{number:04}", tags=["vip"])
    settling, fields, *paging = statements(lambda: exported("acme", "--tag", "vip"))[1:]
    assert "contacts_contacttag" in settling
    assert "contacts_metadatafield" in fields
    assert len(paging) == 8, "each page, and the former phones of its contacts"
    for statement in paging:
        assert "contacts_contacttag" not in statement


def test_a_file_has_those_who_were_settled_as_they_are_when_their_turn_comes(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(export, "PAGE", 1)
    people = [
        ContactFactory.create(tenant=acme.tenant, phone=f"+1415555000{n}", name=f"{n}", tags=["x"])
        for n in (1, 3, 5)
    ]
    pieces = export.export(export.select_ids(acme.tenant.contacts.with_tag("x")), NDJSON)
    text = next(pieces)
    people[1].delete()
    edit.change(people[2], name="changed", tags=[])
    ContactFactory.create(tenant=acme.tenant, phone="+14155550004", tags=["x"])
    told = [json.loads(line) for line in (text + b"".join(pieces)).splitlines()]
    assert [(line["phone"], line["name"]) for line in told] == [
        ("+14155550001", "1"), ("+14155550005", "changed"),
    ]  # fmt: skip


TEXT = st.text(st.sampled_from("'=+-@\"\n\t ,;aé％＝"), max_size=6)
PLAIN: dict[str, Any] = {"locale": "", "tags": [], "metadata": {}, "opted_out_at": None}


NAMES = [PLAIN | {"name": name} for name in ("--", "'--", "=1", "'=1", "''=1")]


@example(
    contacts=[PLAIN | {"name": ";\n;", "metadata": {"": ";'"}}],
    former=2, form="csv", for_spreadsheets=False,
)  # fmt: skip
@example(contacts=NAMES, former=2, form="csv", for_spreadsheets=True)
@example(contacts=NAMES, former=0, form="csv", for_spreadsheets=False)
@FEW
@given(
    contacts=st.lists(
        st.fixed_dictionaries({
            "name": TEXT.map(rules.name),
            "locale": TEXT.map(rules.locale).filter(lambda text: text != "-"),  # means nothing
            "tags": st.lists(TEXT.map(lambda text: text.replace(",", ""))).map(rules.tags),
            "metadata": st.dictionaries(TEXT, TEXT | st.integers() | st.none(), max_size=2),
            "opted_out_at": st.sampled_from([None, "2026-05-07T08:14:23+00:00"]),
        }),
        max_size=3,
    ),
    former=st.integers(0, 2),
    form=st.sampled_from(["csv", "ndjson"]),
    for_spreadsheets=st.booleans(),
)  # fmt: skip
def test_export_then_import_into_an_empty_tenant_then_export_is_the_same_file(
    acme: SimpleNamespace,
    tmp_path: Path,
    contacts: list[dict[str, Any]],
    former: int,
    form: str,
    for_spreadsheets: bool,
) -> None:
    if form == "ndjson" and any("--" in contact.values() for contact in contacts):
        return  # what stands for a cleared field is one in JSON
    acme.tenant.contacts.all().delete()
    Tenant.objects.filter(slug="empty").delete()
    TenantFactory.create(slug="empty")
    for number, fields in enumerate(contacts):
        one = ContactFactory.create(
            tenant=acme.tenant, phone=f"+1415555{number:04}", email="", **fields
        )
        former_phones.insert(one, [f"+1415556{number:03}{n}" for n in range(former)])
    path = tmp_path / f"x.{form}"
    options = ["--format", form, *["--for-spreadsheets"] * (for_spreadsheets and form == "csv")]
    exported("acme", *options, "-o", str(path))
    if contacts:
        columns = (
            export.FIELDS
            if form == "csv"
            else ["opted_out_at"] * ("opted_out_at" in path.read_text())
        )
        consent = [f"--map={name}={name}" for name in columns if name.startswith("opted_")]
        call_command("import_contacts", str(path), "--tenant=empty", *consent, stdout=io.StringIO())
    assert exported("empty", *options).encode() == path.read_bytes()


@pytest.mark.parametrize("form", ["csv", "ndjson", "vcard"])
def test_staff_export_what_they_select_of_their_own_tenant(
    client: Client, acme: SimpleNamespace, globex: SimpleNamespace, form: str
) -> None:
    from django.contrib.auth.models import Permission

    ours = ContactFactory.create(tenant=acme.tenant, name="ours")
    theirs = ContactFactory.create(tenant=globex.tenant, name="theirs")
    acme.user.is_staff = True
    acme.user.save()
    acme.user.user_permissions.set(Permission.objects.filter(codename="view_contact"))
    client.force_login(acme.user)
    address = reverse("admin:contacts_contact_changelist")
    chosen = {"action": "export", "_selected_action": [ours.pk, theirs.pk], "value": form}
    assert "<strong>1</strong> contact" in client.post(address, chosen).content.decode()
    assert (
        "The number of contacts has changed: 1 now, 2 before."
        in client.post(address, chosen | {"count": "2"}).content.decode()
    )
    chosen["count"] = "1"
    answer = client.post(address, chosen)
    assert f'.{export.FORMATS[form].extension}"' in answer.headers["Content-Disposition"]
    text = b"".join(answer.streaming_content).decode()  # type: ignore[attr-defined]
    assert "ours" in text
    assert "theirs" not in text
    everything = chosen | {"select_across": "1", "_selected_action": [ours.pk]}
    text = b"".join(client.post(address, everything).streaming_content).decode()  # type: ignore[attr-defined]
    assert "ours" in text
    assert "theirs" not in text


def test_a_superuser_exports_of_several_tenants(
    client: Client, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    for member, phone in ((acme, "+14155550002"), (globex, "+14155550001")):
        ContactFactory.create(tenant=member.tenant, phone=phone)
    client.force_login(UserFactory.create(tenant=None, is_staff=True, is_superuser=True))
    address = reverse("admin:contacts_contact_changelist")
    chosen = {"action": "export", "value": "ndjson", "select_across": "1", "count": "2"}
    chosen["_selected_action"] = str(acme.tenant.contacts.get().pk)
    answer = client.post(address, chosen)
    lines = b"".join(answer.streaming_content).splitlines()  # type: ignore[attr-defined]
    assert [json.loads(line)["phone"] for line in lines] == ["+14155550001", "+14155550002"]
