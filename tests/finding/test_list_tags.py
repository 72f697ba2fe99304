"""list-tags page by page: each tag once, in the order of the whole list, at the cost of a page."""

import json
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import connection

from contacts.api.finding import ListTags
from contacts.models import Tag
from tests.support.api import ACTIONS, Api, assert_error
from tests.support.cases import in_one_test
from tests.support.factories import ContactFactory, TagFactory
from tests.support.sql import statements

pytestmark = [pytest.mark.both, pytest.mark.django_db]
# Databases sort some of these in another order than by code point, and UTF-16 does the last two.
NAMES = ["b", "B", "a", "É", "e", "Z", "a%_", "-a", "ß", "ss", "\uff41", "😀"]


def pages(api: Api, **body: Any) -> Iterator[list[dict[str, Any]]]:
    """By the cursor in turns with the link, to which the same body is posted."""
    path = cursor = ""
    for number in range(100):
        answer = api.send(
            json.dumps(body | ({"cursor": cursor} if number % 2 else {})),
            path if path and not number % 2 else ACTIONS + "list-tags",
        )
        assert answer.status_code == 200, answer.content
        yield answer.json()
        assert ("Link" in answer) == ("Qyvo-Next-Cursor" in answer)
        if "Link" not in answer:
            return
        cursor = answer["Qyvo-Next-Cursor"]
        path = answer["Link"].partition(">")[0].removeprefix("<http://testserver")
    pytest.fail("there is no end")


@pytest.fixture
def tags(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant, tags=NAMES)
    ContactFactory.create(tenant=acme.tenant, tags=["b", "😀"])
    ContactFactory.create(tenant=globex.tenant, tags=["b", "c"])
    TagFactory.create(tenant=acme.tenant, name="unused")


@in_one_test("limit", [1, 3, 7, 14, 15, 1000])
@in_one_test("name", ["", "a", "S"])
def test_the_pages_are_the_list_without_a_limit(
    acme: SimpleNamespace, tags: None, limit: int, name: str
) -> None:
    listed = acme.api.act("list-tags", name=name).json()
    assert [tag["name"] for tag in listed] == sorted(tag["name"] for tag in listed)
    found = [*pages(acme.api, name=name, limit=limit)]
    assert [tag for page in found for tag in page] == listed
    assert {len(page) for page in found[:-1]} <= {limit}
    assert len(found[-1]) <= limit


@in_one_test("name", ["", "a", "S", "nobody's"])
@in_one_test("page", [1, 3, 13, 14])
def test_a_long_list_is_sent_page_by_page(
    acme: SimpleNamespace, tags: None, monkeypatch: pytest.MonkeyPatch, page: int, name: str
) -> None:
    """Else sixteen who ask for 50,000 tags keep all others waiting for seconds."""
    listed = acme.api.act("list-tags", name=name)
    with monkeypatch.context() as patch:
        patch.setattr(ListTags, "longest_page", page)
        answer = acme.api.act("list-tags", name=name)
        assert json.loads(answer.getvalue()) == listed.json()
    assert answer.streaming == (len(listed.json()) > page)
    assert answer["Content-Type"] == listed["Content-Type"]
    assert "Link" not in answer


def test_a_page_is_found_behind_a_part_that_few_names_have(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contacts.models.tag.NAMES_READ", 10)
    names = [f"{n:03}{'x' * (n % 20 == 7)}" for n in range(100)]
    Tag.objects.bulk_create(Tag(tenant=acme.tenant, name=name) for name in names)
    found = [tag["name"] for page in pages(acme.api, name="X", limit=2) for tag in page]
    assert found == ["007x", "027x", "047x", "067x", "087x"]


def test_a_tag_made_meanwhile_moves_no_other(acme: SimpleNamespace, tags: None) -> None:
    listed = [tag["name"] for tag in acme.api.act("list-tags").json()]
    found = []
    for page in pages(acme.api, limit=3):
        found += [tag["name"] for tag in page]
        TagFactory.create(tenant=acme.tenant, name=f"!{len(found)}")
    assert found == listed


def test_a_cursor_is_of_its_list_only(
    acme: SimpleNamespace, globex: SimpleNamespace, tags: None
) -> None:
    cursor = acme.api.act("list-tags", limit=1)["Qyvo-Next-Cursor"]
    for answer in (
        globex.api.act("list-tags", limit=1, cursor=cursor),
        acme.api.act("list-tags", limit=1, cursor=cursor, name="a"),
        acme.api.act("search-contacts", limit=1, cursor=cursor),
        acme.api.act("list-tags", limit=1, cursor="nonsense"),
    ):
        assert_error(answer, 422, "validation_failed", "cursor")
    rest = acme.api.act("list-tags", cursor=cursor)
    assert rest.json() == acme.api.act("list-tags").json()[1:]


@in_one_test("limit", [0, 1001, -1, 1.5, "many", True])
def test_a_limit_is_from_one_to_a_thousand(acme: SimpleNamespace, limit: Any) -> None:
    assert_error(acme.api.act("list-tags", limit=limit), 422, "validation_failed", "limit")


def test_a_page_reads_no_more_tags_than_it_has(acme: SimpleNamespace) -> None:
    Tag.objects.bulk_create(Tag(tenant=acme.tenant, name=f"{n:04}") for n in range(2000))
    acme.api.get("/api/v1/me")  # notes the use of the token
    sql = statements(lambda: acme.api.act("list-tags", limit=10))
    assert len(sql) <= 4, "\n".join(sql)
    page = acme.tenant.tags.all()
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # Whatever the statistics are after other tests: the index can do it without a sort.
            for way in ("seqscan", "bitmapscan", "sort"):
                cursor.execute(f"SET LOCAL enable_{way} = off")
    [listing] = [each for each in sql if "LIMIT 11" in each]
    plan = explained(listing)
    assert page.count() == 2000
    index = "tag_by_code_point" if connection.vendor == "postgresql" else "(tenant_id=? AND name>?)"
    assert index in plan, plan
    assert "Sort" not in plan, plan
    assert "TEMP B-TREE" not in plan, plan


def explained(sql: str) -> str:
    how = "EXPLAIN" if connection.vendor == "postgresql" else "EXPLAIN QUERY PLAN"
    with connection.cursor() as cursor:
        cursor.execute(f"{how} {sql[sql.index('SELECT') :]}".replace("%", "%%"))
        return "\n".join(str(row[-1]) for row in cursor.fetchall())
