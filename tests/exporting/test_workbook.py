"""Workbooks: what a spreadsheet shows is what is stored, and nothing runs or is lost."""

import importlib.util
import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from hypothesis import given
from hypothesis import strategies as st

from contacts.exporting import workbook
from contacts.exporting.export import FIELDS, FORMATS, export, select_ids
from contacts.values import rules
from contacts.writing import former_phones
from tenants.models import Tenant
from tests.support.api import PHONE
from tests.support.examples import FEW
from tests.support.factories import ContactFactory, TenantFactory
from tests.support.sheets import cells_of

pytestmark = pytest.mark.usefixtures("data_dir")
XLSX = FORMATS["xlsx"]
IMPORTS_WORKBOOKS = importlib.util.find_spec("contacts.importing.formats.workbook")
EMPTY: dict[str, Any] = dict.fromkeys(FIELDS, "") | {"tags": [], "metadata": {}}
CHARACTERS = "'=+-@<>r/&\"_x0041\n\t\x0b\x1f ;aé😀"
TEXT = st.text(st.sampled_from(CHARACTERS), max_size=8)


def stored(tenant: Tenant) -> list[dict[str, Any]]:
    return [*tenant.contacts.order_by("phone").values(*FIELDS)]


def phones_before(tenant: Tenant) -> dict[str, list[str]]:
    return {one.phone: former_phones.of([one])[one.pk] for one in tenant.contacts.all()}


def written(contacts: list[dict[str, Any]]) -> bytes:
    return b"".join(XLSX.pieces([contacts], FIELDS))


@pytest.mark.parametrize(
    "name",
    [
        "=1+1", "+1", "@SUM(A1)", "007", "1e5", "https://example.com", "<r><t>x</t></r>", "<r></r>",
        "_x0041_", "a\x0bb", " a  b ", "a\nb", "]]>&lt;", "{=1}", "TRUE", "😀" * 50,
    ],
)  # fmt: skip
def test_each_cell_is_text_as_it_is_stored(name: str) -> None:
    header, row = cells_of(written([EMPTY | {"phone": PHONE, "name": name}]))
    assert header == FIELDS
    assert row[:2] == [PHONE, name]


@FEW
@given(st.text(st.sampled_from(CHARACTERS + "\ufffe"), max_size=8))
def test_any_text_is_read_back(name: str) -> None:
    _, row = cells_of(written([EMPTY | {"phone": PHONE, "name": name}]))
    guarded = workbook.readable(name)
    assert row[1:2] == ([guarded] if guarded else [])


def test_a_cell_that_is_too_long_is_refused_and_not_cut(data_dir: Path) -> None:
    longest = {"a": "😀" * ((workbook.MAX_CELL - 9) // 2)}
    _, row = cells_of(written([EMPTY | {"phone": PHONE, "metadata": longest}]))
    assert row[5] == rules.spelled(longest)
    with pytest.raises(workbook.NotExportable) as refusal:
        written([EMPTY | {"phone": PHONE, "metadata": {"a": longest["a"] + "12"}}])
    assert str(refusal.value) == (
        f"The metadata of {PHONE} has more than 32,767 characters, and a cell of a workbook holds"
        " no more. Export the contacts as CSV or NDJSON."
    )
    assert not [*(data_dir / "exports").iterdir()]


def test_more_contacts_than_a_sheet_has_rows_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(workbook, "MAX_CONTACTS", 2)
    people = [EMPTY | {"phone": PHONE}] * 3
    assert len(cells_of(written(people[:2]))) == 3
    with pytest.raises(workbook.NotExportable, match="holds at most 2 contacts"):
        written(people)


@pytest.mark.django_db
def test_the_command_writes_a_workbook_into_a_file_only(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, name="Ann", tags=["vip", "a"])
    with pytest.raises(CommandError, match="name the file with -o FILE"):
        call_command("export_contacts", "--tenant", "acme", "--format", "xlsx")
    path = tmp_path / "shop.xlsx"
    call_command("export_contacts", "--tenant", "acme", "--format", "xlsx", "-o", str(path))
    assert cells_of(path.read_bytes())[1:] == [[PHONE, "Ann", "", "vip,a"]]
    contact = acme.tenant.contacts.get()
    contact.metadata = {"a": "x" * 40_000}
    contact.save()
    with pytest.raises(CommandError, match="a cell of a workbook holds no more"):
        call_command("export_contacts", "--tenant", "acme", "--format", "xlsx", "-o", str(path))
    assert cells_of(path.read_bytes())[1:] == [[PHONE, "Ann", "", "vip,a"]], "the file of before"


@pytest.mark.skipif(not IMPORTS_WORKBOOKS, reason="imports read no workbooks")
@pytest.mark.django_db
@FEW
@given(
    st.lists(
        st.fixed_dictionaries({
            "name": TEXT.map(rules.name),
            "locale": TEXT.map(rules.locale).filter(lambda text: text != "-"),  # means nothing
            "tags": st.lists(TEXT.map(lambda text: text.replace(",", ""))).map(rules.tags),
            "metadata": st.dictionaries(TEXT, TEXT | st.integers() | st.none(), max_size=2),
            "opted_out_at": st.sampled_from([None, "2026-05-07T08:14:23+00:00"]),
        }),
        min_size=1, max_size=3,
    )
)  # fmt: skip
def test_export_then_import_into_an_empty_tenant_gives_the_same_contacts(
    acme: SimpleNamespace, tmp_path: Path, contacts: list[dict[str, Any]]
) -> None:
    acme.tenant.contacts.all().delete()
    Tenant.objects.filter(slug="empty").delete()
    other = TenantFactory.create(slug="empty")
    for number, fields in enumerate(contacts):
        one = ContactFactory.create(
            tenant=acme.tenant, phone=f"+1415555{number:04}", email="", **fields
        )
        former_phones.insert(one, [f"+1415556{number:03}{n}" for n in range(number)])
    path = tmp_path / "x.xlsx"
    path.write_bytes(b"".join(export(select_ids(acme.tenant.contacts.all()), XLSX)))
    consent = [f"--map={name}={name}" for name in FIELDS if name.startswith("opted_")]
    call_command("import_contacts", str(path), "--tenant=empty", *consent, stdout=io.StringIO())
    assert stored(other) == stored(acme.tenant)
    assert phones_before(other) == phones_before(acme.tenant)
