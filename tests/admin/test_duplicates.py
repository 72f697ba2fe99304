"""The staff's list of possible duplicates: who sees it, merging, dismissing, one by one or all."""

import re
from collections.abc import Collection
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse
from django.utils import translation
from django.utils.translation import trans_real

from contacts.finding import duplicates
from contacts.models import BulkAction, Contact, Duplicate, DuplicateSearch
from contacts.writing import edit
from contacts.writing.undo import ChangeSet
from tenants.models import Tenant
from tests.support.admin import LIST, logged_in, staff_of, url
from tests.support.cases import in_one_test
from tests.support.factories import ContactFactory
from tests.support.german import teach_german
from tests.support.sql import statements

pytestmark = [pytest.mark.both, pytest.mark.django_db]
PAGE = reverse("admin:contacts_duplicate_changelist")
ALL = reverse("admin:contacts_duplicate_all")
State = Duplicate.State
MAY = ("view_contact", "change_contact", "delete_contact")


def check(tenant: Tenant, pks: Collection[str]) -> None:
    """What the search does with these contacts."""
    keys, _ = duplicates.key_changes(tenant, pks)
    duplicates.store_keys(tenant, keys)
    duplicates.store_pairs(tenant, duplicates.pair_changes(tenant, pks))


def pair_of(member: SimpleNamespace, number: int = 0, **fields: Any) -> Duplicate:
    """Two contacts that are likely one person, and their pair."""
    fields = {"email": f"ann{number}@example.com", "name": f"Ann Smith{number}"} | fields
    pks = [
        ContactFactory.create(tenant=member.tenant, phone=f"+336{number:02}{n}45678", **fields).pk
        for n in (1, 8)
    ]
    check(member.tenant, pks)
    return Duplicate.objects.get(first_id=min(pks))


@pytest.fixture
def web(acme: SimpleNamespace) -> Client:
    return logged_in(staff_of(acme.tenant, *MAY))


def page(client: Client, **query: str) -> str:
    answer = client.get(PAGE, query)
    assert answer.status_code == 200
    return answer.content.decode()


def test_the_list_shows_both_contacts_and_the_reasons_in_words(
    acme: SimpleNamespace, globex: SimpleNamespace, web: Client
) -> None:
    pair_of(acme, tags=["vip"])
    pair_of(globex, 1, name="Somebody Else")
    shown = page(web)
    for text in ("+33 6 00 14 56 78", "+33 6 00 84 56 78", "ann0@example.com", "vip", "Same e-mail",
                 "Same name", "Phones differ by a typing error", "Very likely", "Merge…",
                 "Not duplicates"):  # fmt: skip
        assert text in shown, text
    assert "Somebody Else" not in shown
    assert "<strong>1</strong> pair" in shown
    badge = re.search(r"Possible duplicates.*?<span[^>]*>\s*1\s*</span>", shown, re.DOTALL)
    assert badge, "the menu has their number"


def test_the_page_of_a_contact_names_who_may_be_the_same_person(
    acme: SimpleNamespace, web: Client
) -> None:
    pair = pair_of(acme)
    shown = web.get(url(Contact, "change", pair.first_id)).content.decode()
    assert "May be the same person as" in shown
    assert url(Contact, "change", pair.second_id) in shown
    Duplicate.objects.update(state=State.DISMISSED)
    shown = web.get(url(Contact, "change", pair.first_id)).content.decode()
    assert "May be the same person as" not in shown


def test_permissions_are_those_of_contacts_and_of_merging(
    acme: SimpleNamespace, outsider: SimpleNamespace
) -> None:
    pair = pair_of(acme)
    nobody = logged_in(staff_of(acme.tenant, "view_tag"))
    assert nobody.get(PAGE).status_code == 403
    viewer = logged_in(staff_of(acme.tenant, "view_contact", "change_contact"))
    assert "Merge…" not in page(viewer)
    answers = [
        viewer.post(PAGE, {"pair": pair.pk, "state": State.DISMISSED}),
        viewer.get(ALL, {"reason": "email"}),
        viewer.post(f"{ALL}?reason=email", {"count": "1"}),
    ]
    assert [answer.status_code for answer in answers] == [403] * 3
    homeless = logged_in(staff_of(None))
    assert "Ann Smith" not in page(homeless)
    homeless.post(PAGE, {"pair": pair.pk, "state": State.DISMISSED})
    assert Duplicate.objects.get().state == State.OPEN


def test_nobody_sees_or_changes_the_pairs_of_another_tenant(
    acme: SimpleNamespace, globex: SimpleNamespace, web: Client
) -> None:
    theirs = pair_of(globex)
    for query in ({"tenant": "globex"}, {"tenant": globex.tenant.pk}, {"after": f"99~{theirs.pk}"}):
        assert "Ann Smith" not in page(web, **query)
    web.post(f"{PAGE}?tenant=globex", {"pair": theirs.pk, "state": State.DISMISSED})
    for do in ("merge", "dismiss"):
        web.post(f"{ALL}?tenant=globex&reason=email&do={do}", {"count": "1"})
    assert Duplicate.objects.get().state == State.OPEN
    assert globex.tenant.contacts.count() == 2


def test_a_superuser_chooses_the_tenant(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    pair_of(globex)
    user = staff_of(None)
    user.is_superuser = True
    user.save()
    web = logged_in(user)
    assert "Ann Smith" not in page(web, tenant="acme")
    assert "Ann Smith" in page(web, tenant="globex")


def test_a_pair_is_dismissed_for_good_and_can_be_shown_again(
    acme: SimpleNamespace, web: Client
) -> None:
    pair = pair_of(acme)
    web.post(PAGE, {"pair": pair.pk, "state": State.DISMISSED})
    check(acme.tenant, pair.ids)
    assert "Ann Smith" not in page(web)
    assert "Show again" in page(web, state=State.DISMISSED)
    web.post(PAGE, {"pair": pair.pk, "state": State.OPEN})
    assert "Ann Smith" in page(web)


def test_the_merge_page_returns_to_the_list(acme: SimpleNamespace, web: Client) -> None:
    pair = pair_of(acme)
    given = {"action": "merge", "select_across": "0", "_selected_action": pair.ids,
             "back": "reason=email"}  # fmt: skip
    asked = web.post(LIST, given)
    back = f"{PAGE}?reason=email"
    assert f'href="{back}"' in asked.content.decode()
    phone = acme.tenant.contacts.get(phone="+33600845678").pk
    chosen = {"seen": asked.context["seen"], "phone": phone}
    done = web.post(LIST, given | chosen)
    assert done["Location"] == back
    assert acme.tenant.contacts.count() == 1
    assert "Ann Smith" not in page(web), "before the next search"


def test_all_of_a_kind_are_merged_as_one_change_set(acme: SimpleNamespace, web: Client) -> None:
    pair_of(acme, 1)
    pair_of(acme, 2)
    other = pair_of(acme, 3, email="")
    asked = web.get(ALL, {"reason": "email", "do": "merge"}).content.decode()
    assert "Merge 2 pairs" in asked
    refused = web.post(f"{ALL}?reason=email&do=merge", {"count": "3"})
    assert "The number of pairs has changed" in refused.content.decode()
    assert acme.tenant.contacts.count() == 6
    answer = web.post(f"{ALL}?reason=email&do=merge", {"count": "2"}, follow=True)
    assert "<strong>2</strong> of 2 pairs: done" in answer.content.decode()
    action = BulkAction.objects.get()
    merged = acme.tenant.changes.filter(change_set=action.pk, kind="merged")
    assert (acme.tenant.contacts.count(), merged.count()) == (4, 2)
    assert Duplicate.objects.get() == other


def test_all_of_a_kind_are_dismissed(acme: SimpleNamespace, web: Client) -> None:
    pair_of(acme, 1)
    other = pair_of(acme, 2, email="")
    answer = web.post(f"{ALL}?reason=email&do=dismiss", {"count": "1"}, follow=True)
    assert Duplicate.objects.open().get() == other
    assert acme.tenant.contacts.count() == 4
    assert "<strong>1</strong> of 1 pair: done" in answer.content.decode()
    action = BulkAction.objects.get()
    assert (action.changed, action.own_change_set, action.can_be_undone) == (1, "", False)


def test_the_list_says_which_pairs_it_leaves_out(acme: SimpleNamespace, web: Client) -> None:
    pair_of(acme)
    shown = page(web)
    assert "a name that more than 50 contacts with similar phones have" in shown
    assert "more than 5 contacts share" in shown


def test_pages_follow_each_other_by_likelihood(
    acme: SimpleNamespace, web: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs = [pair_of(acme, 1, email=""), *(pair_of(acme, number) for number in (2, 3, 4))]
    monkeypatch.setattr("contacts.admin.duplicates.PAGE_SIZE", 2)
    for query in ("", "reason=near_phone"):
        seen, address = [], f"{PAGE}?{query}"
        while address:
            answer = web.get(address)
            seen += [shown.pair for shown in answer.context["pairs"]]
            address = answer.context["next"] and f"{PAGE}{answer.context['next']}"
        assert seen == [*reversed(pairs)], "the one without the e-mail is the least likely"


def test_the_statements_of_the_page_do_not_grow_with_the_pairs(
    acme: SimpleNamespace, web: Client
) -> None:
    pair_of(acme)
    page(web)
    few = len(statements(lambda: page(web)))
    for number in range(1, 8):
        pair_of(acme, number)
    assert len(statements(lambda: page(web))) == few


def test_the_progress_of_the_first_search_is_shown(acme: SimpleNamespace, web: Client) -> None:
    assert "The search has not started yet" in page(web)
    search = DuplicateSearch.objects.create(
        tenant=acme.tenant, place=[], checked=250_000, total=1_000_000
    )
    assert "250,000 of about 1,000,000 contacts checked" in page(web)
    assert search.percent == 25


@in_one_test(
    "query", ["after=~", "after=99~x", "after=%00", "reason=x&state=y", "tenant=%00", "after=9~01"]
)
def test_a_wrong_address_shows_the_list(acme: SimpleNamespace, web: Client, query: str) -> None:
    pair_of(acme)
    assert "Ann Smith" in web.get(f"{PAGE}?{query}").content.decode()
    assert web.post(f"{PAGE}?{query}", {"pair": "\0", "state": "x"}).status_code == 302
    assert web.get(f"{ALL}?{query}").status_code == 302


def test_a_click_on_a_pair_that_is_gone_says_so_and_changes_nothing(
    acme: SimpleNamespace, web: Client
) -> None:
    pair = pair_of(acme)
    acme.tenant.contacts.get(pk=pair.second_id).delete()
    stays = acme.tenant.contacts.get(pk=pair.first_id)
    given = {"action": "merge", "select_across": "0", "_selected_action": pair.ids, "back": ""}
    for address, data in (
        (LIST, given), (PAGE, {"pair": pair.pk, "state": State.DISMISSED}),
        (PAGE, {"pair": stays.pk, "state": State.DISMISSED}),
    ):  # fmt: skip
        answer = web.post(address, data, follow=True)
        assert answer.redirect_chain[-1][0].split("?")[0] == PAGE
        assert re.search("Nothing was (merged|changed)", answer.content.decode())
    assert Duplicate.objects.get().state == State.OPEN
    assert acme.tenant.contacts.get().updated_at == stays.updated_at


def test_a_merge_of_a_pair_that_was_edited_meanwhile_is_shown_again(
    acme: SimpleNamespace, web: Client
) -> None:
    pair = pair_of(acme)
    given = {"action": "merge", "select_across": "0", "_selected_action": pair.ids, "back": ""}
    seen = web.post(LIST, given).context["seen"]
    edit.change(acme.tenant.contacts.get(pk=pair.second_id), name="Somebody Else")
    answer = web.post(LIST, given | {"seen": seen, "phone": pair.first_id, "name": pair.first_id})
    assert "Somebody changed these contacts" in answer.content.decode()
    assert acme.tenant.contacts.count() == 2


def test_the_page_before_a_merge_of_all_shows_what_is_kept_and_its_undo_takes_all_back(
    acme: SimpleNamespace, web: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    pair = pair_of(acme, 1)
    edit.change(acme.tenant.contacts.get(pk=pair.second_id), metadata={"city": "Paris"})
    shown = web.get(ALL, {"reason": "email", "do": "merge"}).content.decode()
    for text in ("What is kept", "+33601145678 is kept", 'Metadata: {&quot;city&quot;:&quot;Paris',
                 "Former phone", f'href="{PAGE}?tenant=acme&amp;reason=email"'):  # fmt: skip
        assert text in shown.replace("</strong>", "").replace("</a>", ""), text
    assert acme.tenant.contacts.count() == 2, "only shown"
    web.post(f"{ALL}?reason=email&do=merge", {"count": "1"})
    assert acme.tenant.contacts.count() == 1
    action = BulkAction.objects.get()
    assert action.value == "Same e-mail"
    teach_german(monkeypatch, {"Same e-mail": "Gleiche E-Mail-Adresse"})
    with translation.override("de"):
        assert str(action) == "Merge duplicates: Gleiche E-Mail-Adresse"
    ChangeSet(action.pk, Tenant.objects.all()).take_back()
    assert acme.tenant.contacts.count() == 2


def test_the_log_of_the_admin_stays_english(
    acme: SimpleNamespace, web: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = pair_of(acme, 1), pair_of(acme, 2)
    monkeypatch.setattr(trans_real.DjangoTranslation, "gettext", lambda self, text: f"_{text}")
    answer = web.post(PAGE, {"pair": first.pk, "state": State.DISMISSED}, follow=True)
    assert "_Not shown again." in answer.content.decode()
    web.post(LIST, {"action": "delete_selected", "_selected_action": second.ids, "count": "2"})
    logged = LogEntry.objects.order_by("pk").values_list("object_repr", "change_message")
    assert [*logged] == [
        ("Possible duplicate: not duplicates", ""),
        ("Delete", "Delete: 2 contacts."),
    ]
