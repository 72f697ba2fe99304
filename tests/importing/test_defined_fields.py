"""Imports and exports of the fields that a tenant defines."""

import io
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.management import call_command

from contacts.models import Change, Contact, MetadataField
from contacts.values import rules
from tenants.models import Tenant
from tests.support.api import PHONE
from tests.support.factories import ContactFactory
from tests.support.imports import bring, counts, write

pytestmark = [pytest.mark.both, pytest.mark.django_db(transaction=True)]

KINDS = {
    "City": "text", "Order count": "number", "Birthday": "date", "Level": "choice",
    "Member": "yes_no",
}  # fmt: skip
KEYS = {"City": "city", "Order count": "orders", "Birthday": "birthday", "Level": "level",
        "Member": "member"}  # fmt: skip


def define(tenant: Tenant) -> None:
    for number, (label, kind) in enumerate(KINDS.items()):
        MetadataField.objects.create(
            tenant=tenant, label=label, key=KEYS[label], kind=kind, position=number,
            choices=["VIP", "new"],
        )  # fmt: skip


def metadata_of(phone: str = PHONE, slug: str = "acme") -> dict[str, Any]:
    return Contact.objects.get(tenant__slug=slug, phone=phone).metadata


def test_columns_are_recognised_and_their_cells_get_the_kind(
    acme: SimpleNamespace, globex: SimpleNamespace, tmp_path: Path
) -> None:
    """A value that does not fit is kept as text, with a warning that does not repeat it."""
    define(acme.tenant)
    path = write(
        tmp_path / "shop.csv",
        ["phone", "CITY", "orders", "Birthday", "level", "Member"],
        [PHONE, "5", "1,5", "1999-12-31", "vip", "no"],
        ["+14155550001", "Lyon", "1,234", "31.12.1999", "none", "perhaps"],
        ["+14155550002", "--", "-", "", "gold", "1"],
    )
    status, printed = bring(path, "--rest-to-metadata")
    assert status == 0
    assert "Birthday → metadata.birthday" in printed
    assert counts(printed)["created"] == 3
    typed = {"city": "5", "orders": 1.5, "birthday": "1999-12-31", "level": "VIP", "member": False}
    assert rules.spelled(metadata_of()) == rules.spelled(typed)
    kept = {"city": "Lyon", "orders": "1,234", "birthday": "31.12.1999", "member": "perhaps"}
    assert metadata_of("+14155550001") == kept
    assert metadata_of("+14155550002") == {"city": None, "level": "gold", "member": True}
    assert "line 3: Order count: a number is expected, such as 1234.5." in printed
    assert "Birthday: a date is expected" in printed
    assert "31.12.1999" not in printed
    # Another tenant has not defined the fields.
    bring(path, "--rest-to-metadata", tenant="globex")
    assert metadata_of(slug="globex")["orders"] == "1,5"
    # The order of days is said, and a mistake fails the record.
    status, printed = bring(path, "--dates", "dmy", "--strict")
    assert (status, counts(printed)["failed"]) == (1, 2)
    bring(path, "--dates", "dmy")
    assert metadata_of("+14155550001")["birthday"] == "1999-12-31"


STORED: list[dict[str, Any]] = [
    {"city": "Lyon", "orders": 1.50, "birthday": "1999-12-31", "level": "VIP", "member": True},
    {"city": "=1+1", "orders": -5, "birthday": "20000101", "level": "vip", "member": False},
    {"city": "--", "orders": 10**20, "birthday": "soon", "level": None, "member": "yes"},
    {"city": " a", "orders": "007", "birthday": ["x"], "level": "n/a", "member": 1},
    {"city": 5, "orders": "5", "birthday": "", "level": {"a": 1}, "other": "kept"},
    {"city": "two\nlines", "orders": 1e-7},
    {},
]


@pytest.mark.parametrize("suffix", ["csv", "xlsx"])
def test_an_import_of_an_export_changes_nothing_and_restores_what_was_lost(
    acme: SimpleNamespace, tmp_path: Path, suffix: str
) -> None:
    define(acme.tenant)
    for number, metadata in enumerate(STORED):
        phone = f"+1415555000{number}"
        ContactFactory.create(tenant=acme.tenant, phone=phone, metadata=metadata)
    path = tmp_path / f"contacts.{suffix}"
    call_command("export_contacts", "--tenant", "acme", "--format", suffix, "-o", str(path))
    if suffix == "csv":
        head, first, *_ = path.read_text().splitlines()
        assert head.endswith(",former_phones,City,Order count,Birthday,Level,Member")
        assert first.endswith(",,Lyon,1.5,1999-12-31,VIP,yes")
    before = Change.objects.count()
    status, printed = bring(path)
    assert (status, counts(printed)["unchanged"]) == (0, len(STORED))
    assert Change.objects.count() == before
    acme.tenant.contacts.all().delete()
    bring(path)
    for number, metadata in enumerate(STORED):
        assert rules.spelled(metadata_of(f"+1415555000{number}")) == rules.spelled(metadata)


def test_an_edited_cell_of_an_export_changes_the_value(
    acme: SimpleNamespace, tmp_path: Path
) -> None:
    define(acme.tenant)
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, metadata={"orders": 1, "other": "x"})
    out = io.StringIO(newline="")
    call_command("export_contacts", "--tenant", "acme", stdout=out)
    edited = out.getvalue().replace(",1,,,", ",2,,,")
    path = tmp_path / "contacts.csv"
    path.write_text(edited, newline="")
    bring(path)
    assert metadata_of() == {"orders": 2, "other": "x"}
