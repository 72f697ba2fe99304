"""Queries whose SQL is kept: each caller gets the answer to its own question."""

from types import SimpleNamespace
from typing import Any

import pytest

from contacts.db import keyset
from contacts.db.kept import statement
from tests.support.factories import ContactFactory

pytestmark = [pytest.mark.both, pytest.mark.django_db]


def names(member: SimpleNamespace, **body: Any) -> str:
    """The names of all contacts that a search finds, two on a page."""
    found = list[str]()
    cursor: str | None = ""
    while cursor is not None:
        answer = member.api.act("search-contacts", limit=2, cursor=cursor, **body)
        found += [contact["name"] for contact in answer.json()]
        cursor = answer.headers.get("Qyvo-Next-Cursor")
    return " ".join(sorted(found))


def test_a_shape_is_compiled_once_for_all_tenants_texts_and_positions(
    acme: SimpleNamespace, globex: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(keyset, "FIRST_WINDOW", 1)  # so that an index has to find most of them
    monkeypatch.setattr(keyset, "SEARCH_WINDOW", 1)
    for member in (acme, globex):
        for number, name in enumerate(["Anna", "Hanna", "Joanna", "Marianne", "Bert", "Robert"]):
            name = f"{member.tenant.slug} {name}"
            ContactFactory.create(tenant=member.tenant, phone=f"+1415555012{number}", name=name)
    assert names(acme, query="anna") == "acme Anna acme Hanna acme Joanna"
    compiled = statement.cache_info().misses
    for member, query, expected in [
        (globex, "anna", ["Anna", "Hanna", "Joanna"]),
        (acme, "bert", ["Bert", "Robert"]),
        (globex, "anne", ["Marianne"]),
        (acme, "_nna", []),
    ]:
        slug = member.tenant.slug
        assert names(member, query=query) == " ".join(f"{slug} {name}" for name in expected)
    assert statement.cache_info().misses == compiled
