"""Saved views: the filters of the list under a name, for the menu, the API and exports."""

import json
from collections import Counter
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlencode

import pytest
from django.contrib.messages import get_messages
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from contacts.finding import saved_views
from contacts.finding.saved_views import rounded
from contacts.jobs import view_counting
from contacts.models import MetadataField, SavedView, Tag, tag_counts
from contacts.values import rules
from tenants.models import Tenant
from tests.support.admin import LIST, context_of, errors, logged_in, staff_of, text_of, url
from tests.support.factories import ContactFactory

pytestmark = pytest.mark.both
DAY = datetime(2026, 5, 1, 12, tzinfo=UTC)
COUNTS = reverse("admin:contacts_savedview_counts")


def save(client: Client, name: str, *, shared: bool = False, **listed: Any) -> Any:
    """Saves the filters `listed` of the list as a view."""
    page = f"{url(SavedView, 'add')}?{urlencode({'list': urlencode(listed)})}"
    return client.post(page, {"name": name} | ({"is_shared": "on"} if shared else {}))


def menu(client: Client) -> dict[str, str]:
    """The views in the menu: their addresses by their names, as text."""
    [views] = [
        group
        for group in context_of(client, reverse("admin:index"))["sidebar_navigation"]
        if "Views" in group.get("title", "")
    ]
    return {item["title"].split('"')[3]: item["link"] for item in views["items"]}


def names(client: Client, address: str) -> list[str]:
    return sorted(contact.name for contact in context_of(client, address)["cl"].result_list)


def sentences(response: Any) -> str:
    return " ".join(map(str, get_messages(response.wsgi_request)))


def people_of(tenant: Tenant) -> None:
    people: list[tuple[str, str, dict[str, Any]]] = [
        ("Ada", "+33612345678", {"tags": ["vip"], "email": "ada@x.example", "source": "shopify"}),
        ("Bea", "+14165550123", {"tags": ["vip", "new"], "opted_in_at": DAY}),
        ("Cid", "+14155550123", {"metadata": {"n": 5, "city": "Nîmes, “Sud”"}}),
        ("Dan", "+77011234567", {"metadata": {"n": "5", "list": [1]}, "updated_at": DAY}),
    ]
    for name, phone, fields in people:
        values = {"created_at": DAY, "email": ""} | fields
        ContactFactory.create(tenant=tenant, name=name, phone=phone, **values)


# Who sees what


def test_own_views_are_seen_by_their_user_and_shared_ones_by_the_tenant_only(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace
) -> None:
    people_of(acme.tenant)
    editor, manager = staff_of(acme.tenant, "view_contact"), staff_of(acme.tenant)
    ann, boss = logged_in(editor), logged_in(manager)
    save(ann, "Mine", tag="vip")
    save(ann, "Ours <b>", shared=True, tag="vip")
    assert [*menu(ann)] == ["Mine", "Ours &lt;b&gt;"]
    mine, ours = SavedView.objects.order_by("name")
    colleague = logged_in(staff_of(acme.tenant, "view_contact"))
    assert [*menu(colleague)] == [*menu(boss)] == ["Ours &lt;b&gt;"]
    strangers = [
        logged_in(staff_of(globex.tenant)),
        logged_in(staff_of(None)),
        logged_in(staff_of(acme.tenant, "view_tag")),
    ]
    for client in strangers:
        assert "Ours" not in text_of(client.get(reverse("admin:index")))
        assert ours.pk not in client.get(COUNTS).content.decode()
    for client in [*strangers, colleague]:
        for view in (mine, ours):
            stolen = {"name": "Stolen", "initial-name": view.name, "is_shared": "on"}
            client.post(url(SavedView, "change", view.pk), stolen)
            client.post(url(SavedView, "delete", view.pk), {"post": "yes"})
    assert {*SavedView.objects.values_list("name", flat=True)} == {"Mine", "Ours <b>"}
    answer = boss.get(url(SavedView, "change", mine.pk), follow=True)
    assert "Mine" not in text_of(answer).replace(mine.pk, "")
    form = {"name": "All", "initial-name": "Ours <b>", "is_shared": "on"}
    boss.post(url(SavedView, "change", ours.pk), form)
    assert [*menu(colleague)] == ["All"]
    boss.post(url(SavedView, "delete", ours.pk), {"post": "yes"})
    ann.post(url(SavedView, "change", mine.pk), {"name": "Me", "initial-name": "Mine"})
    assert ([*menu(ann)], [*menu(colleague)]) == (["Me"], [])


def test_list_views_answers_own_and_shared_views_with_the_filter(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    other = staff_of(acme.tenant)
    for user, name, shared in [
        (acme.user, "Zoé", False),
        (other, "Own", False),
        (other, "B", True),
    ]:
        SavedView.objects.create(
            tenant=acme.tenant, actor=f"user:{user.pk}", name=name, is_shared=shared,
            filter={"has_email": True},
        )  # fmt: skip
    found = acme.api.act("list-views").json()
    assert [(view["name"], view["shared"], view["filter"]) for view in found] == [
        ("B", True, {"has_email": True}),
        ("Zoé", False, {"has_email": True}),
    ]
    assert acme.api.act("list-views", name="zoe").json() == found[1:]
    assert globex.api.act("list-views").json() == []


# The same filter everywhere

LISTED: list[dict[str, Any]] = [
    {"tag": "vip"},
    {"tag": "vip", "without": "new"},
    {"country": "FR", "source": "shopify", "has_email": "yes"},
    {"has_email": "no", "consent": "in"},
    {"consent": "none", "created_from": "2026-05-01", "created_to": "2026-05-01"},
    {"updated_from": "2026-04-30", "updated_to": "2026-05-02"},
    {"metadata_key": "n"},
    {"metadata_key": "n", "metadata_value": "5"},
    {"metadata_key": "n", "metadata_value": '"5"'},
    {"metadata_key": "city", "metadata_value": "Nîmes, “Sud”"},
]


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_view_finds_the_same_contacts_in_the_list_and_in_the_api(
    acme: SimpleNamespace, settings: Any, zone: str
) -> None:
    settings.TIME_ZONE = zone
    people_of(acme.tenant)
    ann = logged_in(staff_of(acme.tenant))
    for number, listed in enumerate(LISTED if zone == "UTC" else LISTED[4:6]):
        address = save(ann, f"{number}", shared=True, **listed).url
        view = SavedView.objects.get(name=f"{number}")
        found = acme.api.act("list-contacts", filter=view.filter).json()["data"]
        expected = names(ann, f"{LIST}?{urlencode(listed)}")
        assert names(ann, address) == sorted(row["name"] for row in found) == expected, listed
        assert f">{len(expected)}</span>" in ann.get(COUNTS).content.decode()
    assert context_of(ann, address)["cl"].view == view, "the list knows its view"
    assert menu(ann)[view.name] == address
    page = ann.get(url(SavedView, "change", view.pk)).content.decode()
    assert escape(address) in page
    assert escape(rules.spelled(view.filter)) in page
    assert len({json.dumps(view.filter) for view in SavedView.objects.all()}) == number + 1


def test_what_a_view_cannot_keep_is_said_and_not_lost(acme: SimpleNamespace) -> None:
    people_of(acme.tenant)
    ann = logged_in(staff_of(acme.tenant))
    answer = ann.get(url(SavedView, "add"), {"list": "tag=vip&q=ada"})
    assert "The search “ada” is not saved" in answer.content.decode()
    city = MetadataField.objects.create(tenant=acme.tenant, key="city", label="City")
    refused: list[tuple[dict[str, Any], str]] = [
        ({"tag": "vip", f"field_{city.pk}": "Paris"}, "Remove the filter by “City”"),
        ({}, "Choose filters first"),
        ({"q": "ada"}, "A view does not keep the search."),
        ({"metadata_key": "list", "metadata_value": "[1]"}, "The API does not have this filter"),
        ({"metadata_key": "a" * 300}, "The API does not have this filter"),
        ({"tag": "gone"}, "There is no tag “gone”."),
    ]
    for listed, sentence in refused:
        assert sentence in sentences(save(ann, "x", **listed)), listed
    assert not SavedView.objects.exists()
    save(ann, "VIPs", tag="vip")
    assert errors(save(ann, "VIPs", tag="new"))["name"] == ["There is a view “VIPs” already."]
    assert errors(save(ann, " ", tag="new"))["name"] == ["Enter a name."]
    Tag.objects.get(name="vip").delete()
    answer = ann.get(menu(ann)["VIPs"])
    assert "There is no tag “vip”" in sentences(answer)
    assert not answer.context["cl"].result_list
    page = ann.get(url(SavedView, "change", SavedView.objects.get().pk)).content.decode()
    assert "There is no tag “vip”" in page
    assert ">0</span>" in ann.get(COUNTS).content.decode()
    SavedView.objects.update(filter={"tags_any": ["a", "b"], "of_the_future": 1})
    page = ann.get(menu(ann)["VIPs"]).content.decode()
    assert "The list cannot show this filter." in page
    assert ann.get(COUNTS).status_code == 200


def test_a_view_follows_a_tag_that_is_renamed_or_merged(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    people_of(acme.tenant)
    people_of(globex.tenant)
    ann, other = logged_in(staff_of(acme.tenant)), logged_in(staff_of(globex.tenant))
    save(ann, "VIPs", tag="vip", without="new")
    save(other, "VIPs", tag="vip", without="new")
    mine, theirs = (SavedView.objects.filter(tenant=each.tenant) for each in (acme, globex))
    before = theirs.get().filter
    acme.api.act("rename-tag", tag="vip", new_tag="gold")
    assert mine.get().filter == before | {"tags_all": ["gold"]}
    assert names(ann, menu(ann)["VIPs"]) == ["Ada"]
    acme.api.act("merge-tags", tags=["gold", "new"], into="one")
    assert mine.get().filter == {"tags_all": ["one"], "tags_none": ["one"]}
    call_command("retag", "--tenant", acme.tenant.slug, "--rename", "one=two")
    SavedView.objects.filter(tenant=acme.tenant).update(filter={"tags_any": ["x", "two", "y"]})
    ContactFactory.create(tenant=acme.tenant, tags=["y"])
    for is_tried in (["--dry-run"], []):
        assert mine.get().filter == {"tags_any": ["x", "two", "y"]}
        call_command("retag", "--tenant", acme.tenant.slug, "--merge", "two,y=z", *is_tried)
    assert mine.get().filter == {"tags_any": ["x", "z"]}
    assert theirs.get().filter == before


def test_the_filters_of_a_view_are_changed_in_its_list(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    people_of(acme.tenant)
    ann = logged_in(staff_of(acme.tenant))
    save(ann, "VIPs", shared=True, tag="vip")
    view = SavedView.objects.get()
    page = ann.get(url(SavedView, "change", view.pk)).content.decode()
    listed = f"{LIST}?{urlencode({'view': view.pk, 'tag': 'vip'})}"
    assert escape(listed) in page
    button = "Save this filter to the view “<bdi>VIPs</bdi>”"
    assert button in ann.get(listed).content.decode()
    assert button not in ann.get(f"{LIST}?view={view.pk}").content.decode(), "no filter yet"
    change = reverse("admin:contacts_savedview_filter", args=[view.pk])
    SavedView.objects.update(counted=7)
    for client in (
        logged_in(staff_of(acme.tenant, "view_contact")),
        logged_in(staff_of(globex.tenant)),
        logged_in(staff_of(None)),
    ):
        assert button not in client.get(listed).content.decode()
        client.post(change, {"list": "country=FR"})
    assert "Choose filters first" in sentences(ann.post(change, {"list": f"view={view.pk}"}))
    assert SavedView.objects.get().filter == {"tags_all": ["vip"]}
    answer = ann.post(change, {"list": f"?view={view.pk}&tag=vip&has_email=no"})
    view.refresh_from_db()
    assert (view.filter, view.counted) == ({"tags_all": ["vip"], "has_email": False}, None)
    assert names(ann, answer.headers["Location"]) == ["Bea"]


def test_superusers_save_views_of_one_tenant(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    people_of(acme.tenant)
    people_of(globex.tenant)
    user = staff_of(None)
    user.is_superuser = True
    user.save()
    root = logged_in(user)
    assert "by one tenant first" in sentences(save(root, "x", country="FR"))
    save(root, "x", tag="vip (Acme Co.)", tenant=acme.tenant.pk)
    assert SavedView.objects.get().tenant == acme.tenant
    assert names(root, menu(root)["x"]) == ["Ada", "Bea"]
    assert ">2</span>" in root.get(COUNTS).content.decode()


def test_a_user_has_so_many_views_and_leaves_only_shared_ones(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("contacts.admin.saved_views.MAX_VIEWS", 1)
    people_of(acme.tenant)
    user = staff_of(acme.tenant)
    ann = logged_in(user)
    save(ann, "Own", tag="vip")
    save(ann, "Shared", tag="vip", shared=True)
    assert "is_shared" in errors(save(ann, "More", tag="vip"))
    assert "is_shared" in errors(save(ann, "More", tag="vip", shared=True))
    user.delete()
    assert SavedView.objects.get().name == "Shared"


# Counts


def test_views_of_a_large_tenant_are_counted_by_a_worker_and_tags_at_once(
    acme: SimpleNamespace, globex: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    people_of(acme.tenant)
    ann = logged_in(staff_of(acme.tenant))
    save(ann, "Tag", tag="vip")
    save(ann, "City", metadata_key="city")
    monkeypatch.setattr(tag_counts, "of_tenant", lambda tenant, may_count: Counter(vip=2))
    monkeypatch.setattr(saved_views, "MAX_READ", 2)

    def counts() -> list[str]:
        """In the order of names."""
        page = ann.get(COUNTS).content.decode()
        views = SavedView.objects.order_by("name").values_list("pk", flat=True)
        return [page.partition(pk)[2].partition(">")[2].partition("<")[0] for pk in views]

    assert counts() == ["", "2"]
    view_counting.count_all()
    assert counts() == ["about 1", "2"]
    ContactFactory.create(tenant=acme.tenant, metadata={"city": "Paris"})
    view_counting.count_all()
    assert counts() == ["about 1", "2"], "not counted again within an hour"
    monkeypatch.setattr(saved_views, "MAX_READ", 2_000)
    assert counts() == ["2", "2"]


def test_a_count_of_a_worker_is_rounded_to_two_digits() -> None:
    numbers = [0, 7, 37, 283, 2_837, 2_850_000]
    assert [rounded(number) for number in numbers] == [0, 7, 37, 280, 2_800, 2_800_000]
