"""The list of changes in the admin: who changed what, and how it is brought back."""

import re
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from html import unescape
from itertools import chain
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contacts.admin import changes
from contacts.admin.changes import ChangeAdmin
from contacts.change_log.cause import caused_by
from contacts.models import Change, Contact
from contacts.writing import delete, merge
from tenants.fields import new_ulid
from tenants.models import User
from tests.support.admin import context_of, logged_in, staff_of, text_of
from tests.support.cases import in_one_test
from tests.support.factories import ContactFactory, UserFactory
from tests.support.sql import statements

pytestmark = pytest.mark.django_db
LIST = reverse("admin:contacts_change_changelist")
ZOE, ADA = "+33612345678", "+14155550101"


@pytest.fixture
def colleague(acme: SimpleNamespace) -> User:
    return staff_of(acme.tenant)


@pytest.fixture
def staff(acme: SimpleNamespace) -> Client:
    return logged_in(staff_of(acme.tenant))


@pytest.fixture
def superuser(db: None) -> Client:
    return logged_in(UserFactory.create(tenant=None, is_staff=True, is_superuser=True))


def by(actor: str, action: Callable[[], Any]) -> str:
    """The change set of `action`, which `actor` does."""
    with caused_by(actor, change_set := new_ulid()):
        action()
    return change_set


def rows(client: Client, **asked: str) -> list[str]:
    """The visible text of each row."""
    page = client.get(LIST, asked)
    assert page.status_code == 200, page
    found = re.findall(r"<tr(.*?)</tr>", page.content.decode().partition("<tbody")[2], re.DOTALL)
    texts = (" ".join(unescape(re.sub(r"<[^>]+>", " ", f"<tr{row}")).split()) for row in found)
    return [text for text in texts if text]


def renamed(contact: Contact, name: str) -> None:
    contact.tenant.contacts.update_or_create(phone=contact.phone, defaults={"name": name})


def moved(change_set: str, **back: float) -> None:
    """Makes the change older."""
    at = timezone.now() - timedelta(**back)
    Change.objects.filter(change_set=change_set).update(at=at)


@pytest.fixture
def zoe(acme: SimpleNamespace) -> Contact:
    return ContactFactory.create(tenant=acme.tenant, phone=ZOE, name="Zoé")


@pytest.fixture
def ada(acme: SimpleNamespace) -> Contact:
    return ContactFactory.create(tenant=acme.tenant, phone=ADA, name="Ada")


@pytest.mark.both
@pytest.mark.usefixtures("noon")
def test_the_list_says_who_changed_what_and_is_filtered(
    staff: Client, acme: SimpleNamespace, colleague: User, zoe: Contact, ada: Contact
) -> None:
    me, token = f"user:{colleague.pk}", acme.token.actor
    early = by(me, lambda: renamed(ada, "Ada L"))
    moved(early, days=1)
    moved(by(token, lambda: renamed(ada, "Ada Lovelace")), days=5)
    by(me, lambda: acme.tenant.contacts.update_or_create(phone=ADA, defaults={"tags": ["vip"]}))
    gone = by(me, lambda: delete.delete_one(acme.tenant, {"contact_id": zoe.pk}))
    yesterday = timezone.localdate() - timedelta(days=1)

    [deleted, tagged, *created, renamed_row, by_token] = rows(staff)
    assert f"{colleague.email} Zoé deleted +33 6 12 34 56 78 Deleted Undo" in deleted
    assert f"{colleague.email} Ada Lovelace +1 415-555-0101 Updated tags added: vip" in tagged
    assert ["Created" in row for row in created] == [True, True]
    assert "Updated name: Ada → Ada L Undo" in renamed_row
    assert f"{token} (tests) Ada Lovelace" in by_token
    for asked, found in (
        ({"when": "yesterday", "who": me}, [renamed_row]),
        ({"at_from": f"{yesterday}", "at_to": f"{yesterday}"}, [renamed_row]),
        ({"when": "week", "who": token}, [by_token]),
        ({"who": "token:"}, [by_token]),
        ({"when": "today", "who": "user:"}, [deleted, tagged]),
        ({"kind": "tagged"}, [tagged]),
        ({"kind": "ended"}, [deleted]),
        ({"kind": "deleted", "who": token}, []),
        ({"q": "zoe"}, [deleted, created[1]]),
        ({"q": "06 12 34 56 78"}, []),
        ({"q": ZOE}, [deleted, created[1]]),
        ({"q": zoe.pk}, [deleted, created[1]]),
        ({"q": "ada love", "kind": "tagged"}, [tagged]),
        ({"q": "nobody"}, []),
        ({"who": "user:999"}, []),
    ):
        assert [*map(squeezed, rows(staff, **asked))] == [*map(squeezed, found)], asked
    page = staff.get(LIST).content.decode()
    assert reverse("admin:contacts_contact_undo", args=[gone]) in page
    assert reverse("admin:contacts_contact_change", args=[ada.pk]) in page
    assert reverse("admin:contacts_contact_change", args=[zoe.pk]) not in page, "it is gone"
    assert f"{LIST}?q={zoe.pk}" in page


def squeezed(row: str) -> str:
    return row.replace(" ", "")


@in_one_test(
    "asked",
    [
        {"who": "x" * 300}, {"who": "user:"}, {"when": "x"}, {"kind": "x"}, {"at_from": "x"},
        {"at_to": "9999-12-31"}, {"after": "x"}, {"after": "2026-01-01~1"}, {"before": "~"},
        {"after": "2026-01-01T00:00:00+00:00~9999999999999999999999"}, {"tenant": "x"},
        {"q": "x" * 5000}, {"q": "%00"}, {"q": "a b c d e f g h i j k l m"}, {"p": "9"}, {"o": "1"},
    ],
)  # fmt: skip
def test_an_invalid_address_is_answered(staff: Client, ada: Contact, asked: dict[str, str]) -> None:
    assert staff.get(LIST, asked, follow=True).status_code == 200


@pytest.mark.both
def test_deleted_and_merged_contacts_are_brought_back_and_conflicts_are_told(
    staff: Client, acme: SimpleNamespace, zoe: Contact, ada: Contact
) -> None:
    by("user:1", lambda: delete.delete_one(acme.tenant, {"contact_id": zoe.pk}))
    bea = other(acme)
    by("user:1", lambda: merge.merge_into(acme.tenant, ada.pk, [bea.pk]))
    page = staff.get(LIST, {"kind": "ended"}).content.decode()
    undo_merge, undo_delete = re.findall(r'href="([^"]*/change-sets/[^"]*)"', page)
    assert "Bea merged +1 415-555-0102 Merged into" in rows(staff, kind="merged")[0]
    acme.tenant.contacts.update_or_create(phone=ZOE, defaults={"name": "Another"})
    refused = staff.get(undo_delete).content.decode()
    assert "another contact has the phone" in refused
    for address in (undo_merge, undo_delete):
        staff.post(address)
    assert {*acme.tenant.contacts.values_list("name", flat=True)} == {"Ada", "Bea", "Another"}
    acme.tenant.contacts.find(phone=ZOE).delete()
    staff.post(undo_delete)
    assert acme.tenant.contacts.get(pk=zoe.pk).name == "Zoé"


def other(member: SimpleNamespace) -> Contact:
    return ContactFactory.create(tenant=member.tenant, phone="+14155550102", name="Bea")


def test_the_history_of_a_contact_tells_who_was_merged_into_it_with_undo(
    staff: Client, acme: SimpleNamespace, ada: Contact
) -> None:
    bea = other(acme)
    merged = by("user:1", lambda: merge.merge_into(acme.tenant, ada.pk, [bea.pk]))
    for page in ("history", "change"):
        text = staff.get(reverse(f"admin:contacts_contact_{page}", args=[ada.pk])).content.decode()
        assert "merged into this contact: Bea · +14155550102" in re.sub(r"</?bdi>", "", text)
        assert reverse("admin:contacts_contact_undo", args=[merged]) in text
    assert any("Merged into" in row for row in rows(staff, q=ada.pk))


def test_only_people_of_the_tenant_who_may_see_contacts_see_its_changes(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace, superuser: Client,
    ada: Contact,
) -> None:  # fmt: skip
    theirs = ContactFactory.create(tenant=globex.tenant, phone=ADA, name="Theirs")
    secret = by("user:1", lambda: delete.delete_one(globex.tenant, {"contact_id": theirs.pk}))
    staff = logged_in(staff_of(acme.tenant))
    for asked in ({}, {"q": theirs.pk}, {"q": "theirs"}, {"q": ADA}, {"tenant": globex.tenant.pk}):
        page = staff.get(LIST, asked, follow=True).content.decode()
        assert "Theirs" not in page
        assert secret not in page
        assert globex.user.email not in page
    assert len(rows(superuser, q="theirs")) == 2
    assert len(rows(superuser, tenant=globex.tenant.pk)) == 2
    assert len(rows(superuser)) == 3
    viewer = logged_in(staff_of(acme.tenant, "view_contact"))
    assert "Undo" not in rows(viewer)[0]
    assert LIST in viewer.get(reverse("admin:index")).content.decode(), "in the menu"
    for user in (staff_of(acme.tenant, "view_tag"), staff_of(None), outsider.user):
        answer = logged_in(user).get(LIST)
        assert answer.status_code in (302, 403) or "Ada" not in text_of(answer)


def test_pages_follow_each_other_also_where_few_changes_match(
    staff: Client, acme: SimpleNamespace, ada: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(24):
        by("user:7" if number in (2, 3, 20) else "token:x", partial(renamed, ada, f"n{number}"))
    monkeypatch.setattr(ChangeAdmin, "list_per_page", 2)
    monkeypatch.setattr(changes.ChangeLogList, "window", 5)

    def walk(link: str, address: str) -> list[list[int]]:
        found = []
        while address:
            shown = context_of(staff, LIST + address)["cl"]
            found.append([change.pk for change in shown.result_list])
            is_more = shown.has_next if link == "next_url" else shown.has_previous
            address = getattr(shown, link) if is_more else ""
        return found

    log = [*Change.objects.order_by("-pk").values_list("pk", flat=True)]
    assert [*chain(*walk("next_url", "?"))] == log
    mine = [*Change.objects.filter(actor="user:7").order_by("-pk").values_list("pk", flat=True)]
    pages = walk("next_url", "?who=user:7")
    assert [*chain(*pages)] == mine
    assert [] in pages, "a page stops to search after some changes"
    for _ in range(10):
        ContactFactory.create(tenant=acme.tenant).delete()
    ends = [*Change.objects.filter(kind="deleted").order_by("-pk").values_list("pk", flat=True)]
    rare = [ends[1], ends[8]]
    Change.objects.filter(pk__in=rare).update(kind="erased")
    pages = walk("next_url", "?kind=erased")
    assert [*chain(*pages)] == rare
    assert len(pages) <= len(ends) // 5 + 1, "among the ends only"
    back = walk("previous_url", f"?who=user:7&before={last_position(staff)}")
    assert [*chain(*reversed(back))] == mine


def last_position(client: Client) -> str:
    oldest = Change.objects.earliest("pk")
    return f"{(oldest.at - timedelta(days=1)).isoformat()}~{oldest.pk}".replace("+", "%2B")


@pytest.mark.both
def test_a_page_costs_a_bounded_number_of_statements(
    staff: Client, acme: SimpleNamespace, django_assert_max_num_queries: Any
) -> None:
    def cost(**asked: str) -> int:
        sql = statements(lambda: staff.get(LIST, asked))
        assert not [line for line in sql if "COUNT(" in line]
        return len(sql)

    def some(number: int) -> None:
        for _ in range(number):
            one = ContactFactory.create(tenant=acme.tenant, name="Ann")
            by(f"user:{staff_of(acme.tenant).pk}", partial(renamed, one, "Ann B"))
            by("token:x", partial(delete.delete_one, acme.tenant, {"contact_id": one.pk}))

    some(1)
    asked: list[dict[str, str]] = [{}, {"q": "ann"}, {"kind": "tagged"}, {"when": "today"}]
    first = [cost(**each) for each in asked]
    some(9)
    assert [cost(**each) for each in asked] == first
    assert max(first) <= 20
