"""The pages in docs/import/: the file that a page shows comes in as the page says."""

import re
from pathlib import Path
from types import SimpleNamespace

import pytest

from contacts.models import Contact
from tests.support.documents import PAGES, SOURCE_PAGES
from tests.support.imports import bring

FILE = re.compile(r"^```(?:csv|vcf)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
RESULT = re.compile(
    r"^What comes in(?:, with `(.*)`)?:\n\n(\|.*\n)\|[- |]+\|\n((?:\|.*\n)+)", re.MULTILINE
)
SHOWN = {name: page for name, page in SOURCE_PAGES.items() if FILE.search(page)}


def cells(row: str) -> list[str]:
    return [cell.strip() for cell in row.strip().strip("|").split("|")]


def contacts_of(page: str) -> tuple[list[str], list[dict[str, str]]]:
    """The options of the import, and the contacts that `page` says come in."""
    found = RESULT.search(page)
    assert found
    options, header, rows = found.groups(default="")
    return options.split(), [dict(zip(cells(header), cells(row), strict=True))
                             for row in rows.splitlines()]  # fmt: skip


@pytest.mark.django_db
@pytest.mark.parametrize("name", SHOWN)
def test_the_file_of_a_page_comes_in_as_the_page_says(
    acme: SimpleNamespace, tmp_path: Path, name: str
) -> None:
    [text] = FILE.findall(SHOWN[name])
    options, expected = contacts_of(SHOWN[name])
    file = tmp_path / "people.csv"
    file.write_text(text)
    status, printed = bring(file, *options)
    assert (status, "warnings" in printed) == (0, False), printed
    stored = [
        {"phone": contact.phone, "name": contact.name, "email": contact.email,
         "tags": ", ".join(contact.tags), "locale": contact.locale}
        for contact in Contact.objects.order_by("pk")
    ]  # fmt: skip
    empty = dict.fromkeys(("name", "email", "tags", "locale"), "")
    assert sorted(map(str, stored)) == sorted(
        str({**dict.fromkeys(stored[0], ""), **empty, **contact}) for contact in expected
    )


def test_each_page_shows_a_file() -> None:
    assert {*SHOWN} == {*SOURCE_PAGES}


def test_each_page_is_short_and_linked_from_the_page_on_imports() -> None:
    for name, page in SOURCE_PAGES.items():
        assert f"]({name.removeprefix('docs/')})" in PAGES["docs/import-and-export.md"], name
        assert len(page.splitlines()) < 50, name
