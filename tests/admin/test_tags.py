"""Tags in the admin: their contacts; renaming, merging and deleting them."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.urls import reverse
from django.utils.html import strip_tags
from django_tasks_db.models import DBTaskResult

from contacts.jobs import bulk_actions
from contacts.models import BulkAction, Change, Contact, Tag
from contacts.writing.tags import add_tags
from contacts.writing.upsert import replace_many
from tests.support.admin import contact_form, errors, logged_in, permit, url
from tests.support.factories import ContactFactory, TagFactory, UserFactory
from tests.support.sql import assert_links_match_tags, statements

pytestmark = pytest.mark.django_db


@pytest.fixture
def staff(acme: SimpleNamespace) -> Client:
    user = UserFactory.create(tenant=acme.tenant, is_staff=True)
    permit(user, content_type__app_label="contacts")
    return logged_in(user)


@pytest.fixture
def people(acme: SimpleNamespace) -> list[Contact]:
    carried = [["a"], ["b", "x"], ["x", "b", "y", "a", "z"], ["x"]]
    return [ContactFactory.create(tenant=acme.tenant, tags=tags) for tags in carried]


def tag(acme: SimpleNamespace, name: str) -> Tag:
    return acme.tenant.tags.get(name=name)


def tags(people: list[Contact]) -> list[str]:
    found = Contact.objects.in_bulk([contact.pk for contact in people])
    return [" ".join(found[contact.pk].tags) for contact in people]


def merge_page(pk: str) -> str:
    return reverse("admin:contacts_tag_merge", args=[pk])


def test_a_tag_links_to_its_contacts(staff: Client, acme: SimpleNamespace, people: Any) -> None:
    page = staff.get(url(Tag, "changelist")).content.decode()
    address = f"{url(Contact, 'changelist')}?tag={tag(acme, 'x').pk}"
    assert f'href="{address}">3</a>' in page
    assert address in staff.get(url(Tag, "change", tag(acme, "x").pk)).content.decode()
    assert len(staff.get(address).context["cl"].result_list) == 3


def test_the_header_has_the_name_of_a_tag_as_it_was_typed(staff: Client, acme: Any) -> None:
    named = TagFactory.create(tenant=acme.tenant, name="vip")
    page = staff.get(url(Tag, "change", named.pk)).content.decode()
    [header] = re.findall("(?s)<h1.*?</h1>", page)
    assert strip_tags(header.replace("<", " <")).split() == ["Tags", "chevron_right", "vip"]


def test_tags_are_found_as_people_type_them_and_keep_their_names(
    staff: Client, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    for member in (acme, globex):
        for name in ("VIP", "Été", "L'été 2026"):
            TagFactory.create(tenant=member.tenant, name=name)

    def found(text: str) -> list[str]:
        rows = staff.get(url(Tag, "changelist"), {"q": text}).context["cl"].result_list
        return sorted(tag.name for tag in rows)

    assert found("vip") == ["VIP"]
    assert found("ete") == ["L'été 2026", "Été"]
    assert found("2026 lete") == ["L'été 2026"]
    assert found("ete vip") == []
    assert [row["name"] for row in acme.api.act("list-tags", name="ETE").json()] == [
        "L'été 2026",
        "Été",
    ]
    acme.api.create(tags=["Été"])
    assert acme.api.act("search-contacts", tag="ete").json() == [], "a tag is its exact name"


def test_a_merged_tag_takes_the_position_of_the_first_of_both(
    staff: Client, acme: SimpleNamespace, people: list[Contact]
) -> None:
    page = merge_page(tag(acme, "b").pk)
    assert "<strong>2</strong> contacts" in staff.get(page).content.decode()
    assert staff.post(page, {"count": 2, "into": tag(acme, "a").pk}).status_code == 302
    assert tags(people) == ["a", "a x", "x a y z", "x"]
    assert not acme.tenant.tags.filter(name="b").exists()
    assert_links_match_tags()
    action = BulkAction.objects.get()
    assert (action.changed, str(action)) == (2, "Merge tags: b → a")
    staff.post(reverse("admin:contacts_contact_undo", args=[action.pk]))
    assert tags(people) == ["a", "b x", "x b y a z", "x"]
    assert_links_match_tags()


def test_several_tags_are_merged_from_the_list(
    staff: Client, acme: SimpleNamespace, people: list[Contact]
) -> None:
    chosen = {"action": "merge", "_selected_action": [tag(acme, n).pk for n in "abx"]}
    assert "<strong>4</strong>" in staff.post(url(Tag, "changelist"), chosen).content.decode()
    data = chosen | {"count": 4, "into": tag(acme, "x").pk}
    assert staff.post(url(Tag, "changelist"), data).status_code == 302
    assert tags(people) == ["x", "x", "x y z", "x"]
    assert {*acme.tenant.tags.values_list("name", flat=True)} == {"x", "y", "z"}
    assert_links_match_tags()


def test_a_tag_is_not_merged_into_itself(
    staff: Client, acme: SimpleNamespace, people: list[Contact]
) -> None:
    answer = staff.post(merge_page(tag(acme, "a").pk), {"count": 2, "into": tag(acme, "a").pk})
    assert "Choose another tag." in answer.content.decode()
    assert not BulkAction.objects.exists()


def test_renaming_a_tag_to_a_name_in_use_offers_to_merge(
    staff: Client, acme: SimpleNamespace, people: list[Contact]
) -> None:
    address = url(Tag, "change", tag(acme, "a").pk)
    answer = staff.post(address, contact_form(staff, address, name="b"))
    [sentence] = errors(answer)["name"]
    assert merge_page(tag(acme, "a").pk) in sentence
    assert merge_page(tag(acme, "a").pk) in answer.content.decode()


def test_a_tag_of_many_contacts_is_renamed_in_the_background(
    staff: Client, acme: SimpleNamespace, people: list[Contact], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bulk_actions, "AT_ONCE", 2)
    monkeypatch.setattr(bulk_actions, "BATCH", 2)
    address, before = url(Tag, "change", tag(acme, "x").pk), tags(people)
    answer = staff.post(address, contact_form(staff, address, name="new"))
    action = BulkAction.objects.get()
    assert answer["Location"] == url(BulkAction, "change", action.pk)
    assert str(action) == "Rename a tag: x → new"
    assert (action.total, tags(people)) == (3, before)
    assert tag(acme, "x").links.count() == 3
    bulk_actions.run_batch(action)
    assert_links_match_tags()
    bulk_actions.run(action)
    assert tags(people) == ["a", "b new", "new b y a z", "new"]
    assert not acme.tenant.tags.filter(name="x").exists()
    assert_links_match_tags()
    staff.post(reverse("admin:contacts_contact_undo", args=[action.pk]))
    assert tags(people) == before


@pytest.mark.parametrize("is_taken", [False, True])
def test_a_tag_keeps_its_id_where_a_worker_renames_it_on_more_than_1000_contacts(
    staff: Client,
    acme: SimpleNamespace,
    django_capture_on_commit_callbacks: Any,
    is_taken: bool,  # whether somebody uses the new name before the worker begins
) -> None:
    phones = [f"+1415{number:07}" for number in range(1001)]
    rows = [{"phone": phone, "tags": ["vip", "x"]} for phone in phones]
    replace_many(acme.tenant, rows, Contact.Source.API)
    renamed = tag(acme, "vip")
    address = url(Tag, "change", renamed.pk)
    with django_capture_on_commit_callbacks(execute=True):
        staff.post(address, contact_form(staff, address, name="new"))
    assert BulkAction.objects.get().total == 1001
    if is_taken:
        ContactFactory.create(tenant=acme.tenant, tags=["new", "x"])
        add_tags(acme.tenant, {"phone": phones[7]}, "new")  # has the old name, too
    [task] = DBTaskResult.objects.all()
    task.task.call(*task.args_kwargs["args"])
    assert not acme.tenant.tags.filter(name="vip").exists()
    assert tag(acme, "new").pk == renamed.pk
    assert renamed.links.count() == 1001 + is_taken
    assert sum("new" in contact.tags for contact in acme.tenant.contacts.all()) == 1001 + is_taken
    assert_links_match_tags()
    entry = Change.objects.filter(change_set=BulkAction.objects.get().pk).latest("pk")
    assert entry.fields == {"tags": {"added": ["new"], "removed": ["vip"]}}


def test_contacts_that_get_the_old_tag_during_a_rename_get_the_new_name(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    action = bulk_actions.plan(acme.tenant, "user:1", "rename_tag", "x,new", [people[1].pk])
    bulk_actions.run(action)
    assert tags(people) == ["a", "b new", "new b y a z", "new"]
    assert not acme.tenant.tags.filter(name="x").exists()
    action.refresh_from_db()
    assert (action.total, action.done, action.changed) == (3, 3, 3)
    assert_links_match_tags()


def test_saving_an_old_page_of_a_tag_keeps_the_newer_name(
    staff: Client, acme: SimpleNamespace, people: list[Contact]
) -> None:
    address = url(Tag, "change", tag(acme, "x").pk)
    stale = contact_form(staff, address)
    staff.post(address, contact_form(staff, address, name="new"))
    asked = statements(lambda: staff.post(address, stale))
    assert not [sql for sql in asked if "UPDATE" in sql and "contacts_contact" in sql]
    assert tags(people) == ["a", "b new", "new b y a z", "new"]


def test_a_tag_of_few_contacts_is_renamed_in_the_request(
    staff: Client, acme: SimpleNamespace, people: list[Contact]
) -> None:
    renamed = tag(acme, "x")
    address = url(Tag, "change", renamed.pk)
    answer = staff.post(address, contact_form(staff, address, name="new"))
    assert answer["Location"] == url(Tag, "changelist")
    assert tags(people) == ["a", "b new", "new b y a z", "new"]
    assert tag(acme, "new").pk == renamed.pk
    assert not BulkAction.objects.exists()


def test_tags_are_deleted_after_their_contacts_were_counted(
    staff: Client, acme: SimpleNamespace, people: list[Contact]
) -> None:
    chosen = {"action": "delete_selected", "_selected_action": [tag(acme, n).pk for n in "ab"]}
    page = staff.post(url(Tag, "changelist"), chosen).content.decode()
    assert "<strong>3</strong> contacts" in page
    assert "“a”, “b”" in page
    staff.post(url(Tag, "changelist"), chosen | {"count": 3})
    assert tags(people) == ["", "x", "x y z", "x"]
    assert_links_match_tags()
    staff.post(reverse("admin:contacts_contact_undo", args=[BulkAction.objects.get().pk]))
    assert tags(people)[0] == "a"


def test_a_tag_without_contacts_is_deleted(staff: Client, acme: SimpleNamespace) -> None:
    unused = TagFactory.create(tenant=acme.tenant)
    for page in (url(Tag, "delete", unused.pk), merge_page(unused.pk)):
        assert 'type="submit"' in staff.get(page).content.decode().partition("main")[2]
    assert staff.post(url(Tag, "delete", unused.pk), {"count": 0}).status_code == 302
    assert not Tag.objects.exists()


def test_a_tag_that_a_contact_gets_during_the_deletion_stays(
    staff: Client, acme: SimpleNamespace, people: list[Contact], monkeypatch: pytest.MonkeyPatch
) -> None:
    action = bulk_actions.plan(acme.tenant, "user:1", "delete_tags", "a", [people[0].pk])
    bulk_actions.run(action)
    assert acme.tenant.tags.filter(name="a").exists()
    assert tags(people)[2] == "x b y a z"


def test_another_tenants_tags_are_neither_merged_nor_deleted(
    staff: Client, globex: SimpleNamespace, acme: SimpleNamespace, people: list[Contact]
) -> None:
    ContactFactory.create(tenant=globex.tenant, tags=["secret"])
    theirs = globex.tenant.tags.get()
    for page in (merge_page(theirs.pk), url(Tag, "delete", theirs.pk)):
        answer = staff.get(page, follow=True)
        assert "secret" not in answer.content.decode()
    for into in (theirs.pk, "nonsense", "\0"):
        answer = staff.post(merge_page(tag(acme, "a").pk), {"count": 2, "into": into})
        assert answer.context["form"].errors["into"]
    chosen = {"action": "delete_selected", "_selected_action": [theirs.pk], "count": 0}
    staff.post(url(Tag, "changelist"), chosen)
    assert globex.tenant.tags.exists()


def test_at_most_a_hundred_tags_are_deleted_at_once(staff: Client, acme: SimpleNamespace) -> None:
    made = [TagFactory.create(tenant=acme.tenant) for _ in range(101)]
    for action in ("delete_selected", "merge"):
        chosen = {"action": action, "_selected_action": [tag.pk for tag in made], "count": 0}
        answer = staff.post(url(Tag, "changelist"), chosen, follow=True)
        assert "Select at most 100 tags." in answer.content.decode()
    assert acme.tenant.tags.count() == 101


def test_users_who_may_not_view_contacts_see_no_names(
    acme: SimpleNamespace, people: list[Any]
) -> None:
    user = UserFactory.create(tenant=acme.tenant, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(content_type__model="tag"))
    page = logged_in(user).get(url(Tag, "delete", tag(acme, "a").pk)).content.decode()
    assert "contacts" in page
    assert not [contact for contact in people if contact.phone in page]


def test_users_who_may_not_delete_tags_may_not_merge_them(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    user = UserFactory.create(tenant=acme.tenant, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=["view_tag", "change_tag"]))
    client = logged_in(user)
    assert client.get(merge_page(tag(acme, "a").pk)).status_code == 403
    assert client.get(url(Tag, "delete", tag(acme, "a").pk)).status_code == 403


@pytest.mark.parametrize("pk", ["nonsense", "01M8648WV59PDQJAG60764PTZG", "%00"])
def test_a_missing_tag_gets_a_message(staff: Client, pk: str) -> None:
    assert staff.get(f"/admin/contacts/tag/{pk}/merge/").status_code == 302
