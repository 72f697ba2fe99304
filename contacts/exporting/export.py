"""Contacts → a file that an import can read again."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any

from contacts import schema
from contacts.db.expressions import IsAnyOf, packed_ids
from contacts.db.replica import read_all
from contacts.importing.defined_values import cell_of
from contacts.jobs.bulk_actions import ID_BYTES
from contacts.models import Contact, ContactQuerySet, fields_of
from contacts.values.defined_fields import DefinedField
from tenants.models import Tenant

from .csv import Csv
from .formats import Format, Page
from .ndjson import Ndjson
from .vcard import VCard
from .workbook import Xlsx

FIELDS = [field.name for field in schema.FIELDS if field.is_exported]
COLUMNS = [*FIELDS, "former_phones"]
# A new format is one module with a class that has what `Format` asks for, and one line here.
FORMATS: dict[str, Format] = {"xlsx": Xlsx(), "csv": Csv(), "ndjson": Ndjson(), "vcard": VCard()}
CSV_FOR_SPREADSHEETS = Csv(for_spreadsheets=True)
PAGE = 2000  # contacts


def select_ids(contacts: ContactQuerySet) -> bytes:
    """The ids of `contacts` at this moment, `ID_BYTES` bytes each, ordered by phone.

    One statement evaluates the filter once, however many pages the export has.
    """
    return read_all(lambda: packed_ids(contacts, "phone", "pk"))


def export(
    ids: bytes,
    form: Format,
    tenant: Tenant | None = None,
    progress: Callable[[int], object] = lambda number: None,
) -> Iterator[bytes]:
    """The pieces of a file with the contacts that `select_ids` has found. A contact has the values
    that it has when its page is read; contacts that were deleted before are left out. `progress`:
    called with the number of contacts of each page.

    Between two pages, the export keeps ids only, and no statement or transaction stays open: a slow
    reader must not hold a transaction for hours. Raises `NotExportable`.
    """
    defined = defined_for(form, tenant)

    def counted() -> Iterator[Page]:
        for size, page in pages(ids, tenant, defined):
            yield page
            progress(size // ID_BYTES)

    return form.pieces(counted(), columns_with(defined))


def defined_for(form: Format, tenant: Tenant | None) -> tuple[DefinedField, ...]:
    """The fields that get columns of their own: those that the tenant defines, in tables. The other
    formats have the metadata itself, or none."""
    return fields_of(tenant) if tenant and form.is_table else ()


def columns_with(defined: Sequence[DefinedField]) -> list[str]:
    return [*COLUMNS, *(field.label for field in defined)]


def pages(
    ids: bytes, tenant: Tenant | None = None, defined: Sequence[DefinedField] = ()
) -> Iterator[tuple[int, Page]]:
    """The contacts with these ids, page by page, each with how many bytes of `ids` it has used.
    `tenant`: None for contacts of all tenants, which only a superuser exports. `defined`: the
    fields of which a contact has the cell under the label."""
    contacts = tenant.contacts.all() if tenant else Contact.objects.all()
    step = PAGE * ID_BYTES
    for start in range(0, len(ids), step):
        chosen = ids[start : start + step]
        found = contacts.filter(IsAnyOf("pk", chosen.hex(",", ID_BYTES).split(",")))
        page = read_all(partial(with_former_phones, found.order_by("phone", "pk")))
        yield len(chosen), [row | cells_of(row, defined) for row in page]


def cells_of(row: dict[str, Any], defined: Sequence[DefinedField]) -> dict[str, str]:
    return {field.label: cell_of(field, row["metadata"].get(field.key)) for field in defined}


def with_former_phones(contacts: ContactQuerySet) -> Page:
    rows = list(contacts.values("pk", "tenant", *FIELDS))
    keys = [Contact(pk=row.pop("pk"), tenant_id=row.pop("tenant")) for row in rows]
    former = Contact.all_phones.former_phones(keys)
    return [row | {"former_phones": former[key.pk]} for key, row in zip(keys, rows, strict=True)]
