"""Bulk actions and merging in the admin."""

import io
from datetime import UTC, datetime, timedelta
from threading import Thread
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import Permission
from django.core.management import call_command
from django.db import OperationalError, connection, transaction
from django.http import HttpResponse
from django.test import Client
from django.urls import reverse
from django.utils import timezone, translation
from django_tasks_db.models import DBTaskResult

from contacts import erasing
from contacts.admin.confirm import ConfirmForm
from contacts.jobs import bulk_actions
from contacts.models import BulkAction, Change, Contact, Tag
from contacts.values import rules
from contacts.writing import edit, former_phones
from tenants.fields import new_ulid
from tenants.models import Tenant, User
from tests.support.admin import LIST, permit, text_of, url
from tests.support.cases import in_one_test
from tests.support.factories import ContactFactory, UserFactory
from tests.support.german import teach_german
from tests.support.sql import assert_links_match_tags, statements

pytestmark = pytest.mark.both

AT = datetime(2026, 5, 1, tzinfo=UTC)
CHANGES = ["add_tag", "remove_tag", "set_locale", "opt_out", "delete_selected"]
EVERY_ACTION = [*CHANGES, "export"]


@pytest.fixture
def staff(client: Client, acme: SimpleNamespace) -> Client:
    acme.user.is_staff = True
    acme.user.save()
    permit(acme.user, content_type__app_label="contacts")
    client.force_login(acme.user)
    return client


@pytest.fixture
def people(acme: SimpleNamespace) -> list[Contact]:
    return [ContactFactory.create(tenant=acme.tenant, name=name, tags=["vip"]) for name in "ABCDE"]


def ask(
    client: Client, action: str, chosen: list[Contact], asked: str = "", **given: Any
) -> HttpResponse:
    """Posts an action; with `count`, confirms it. `asked`: the query string of the list."""
    pks = [contact.pk for contact in chosen]
    data = {"action": action, "_selected_action": pks} | given
    return client.post(LIST + asked, data)  # type: ignore[return-value]


def do(client: Client, action: str, chosen: list[Contact], **given: Any) -> BulkAction:
    count = given.pop("count", len(chosen))
    answer = ask(client, action, chosen, count=count, **given)
    assert answer.status_code == 302, answer.content.decode()
    return BulkAction.objects.latest("pk")


def tags(people: list[Contact]) -> list[str]:
    found = Contact.objects.in_bulk([contact.pk for contact in people])
    return [",".join(found[contact.pk].tags) for contact in people]


# What each action changes


def test_a_tag_is_added_to_the_selected_contacts_only(staff: Client, people: list[Contact]) -> None:
    action = do(staff, "add_tag", people[:2], value="gold")
    assert tags(people) == ["vip,gold", "vip,gold", "vip", "vip", "vip"]
    assert_links_match_tags()
    assert (action.changed, action.unchanged, action.refused) == (2, 0, 0)


def test_a_tag_is_removed(staff: Client, people: list[Contact]) -> None:
    people[1].tags = ["x", "vip", "y"]
    people[1].save()
    people[2].tags = ["x"]
    people[2].save()
    action = do(staff, "remove_tag", people[:3], value="vip")
    assert tags(people[:3]) == ["", "x,y", "x"]
    assert_links_match_tags()
    assert (action.changed, action.unchanged) == (2, 1)


def test_a_contact_with_the_most_tags_is_refused_and_listed(
    staff: Client, acme: SimpleNamespace, people: list[Contact]
) -> None:
    people[1].tags = [f"t{number}" for number in range(rules.MAX_TAGS)]
    people[1].save()
    action = do(staff, "add_tag", people[:2], value="gold")
    assert (action.changed, action.refused) == (1, 1)
    page = staff.get(url(BulkAction, "change", action.pk)).content.decode()
    assert people[1].phone in page
    assert "Failed: 1" in page


def test_reasons_are_stored_in_english_whoever_has_started_it(
    acme: SimpleNamespace, people: list[Contact], monkeypatch: pytest.MonkeyPatch
) -> None:
    teach_german(
        monkeypatch, {"A contact has at most %(most)s tags; %(count)s were given.": "Nein."}
    )
    people[0].tags = [f"t{number}" for number in range(rules.MAX_TAGS)]
    people[0].save()
    action = bulk_actions.plan(acme.tenant, "user:1", "add_tag", "gold", [people[0].pk])
    with translation.override("de"):
        bulk_actions.start(action)
    action.refresh_from_db()
    reason = "A contact has at most 100 tags; 101 were given."
    assert action.refusals == [[people[0].phone, reason]]


def test_a_locale_is_set_and_cleared(staff: Client, people: list[Contact]) -> None:
    do(staff, "set_locale", people[:2], value="fr-FR")
    assert {*Contact.objects.values_list("name", "locale")} >= {("A", "fr-FR"), ("C", "")}
    do(staff, "set_locale", people[:1], value="")
    assert {*Contact.objects.values_list("name", "locale")} >= {("A", ""), ("B", "fr-FR")}


def test_contacts_are_opted_out_and_the_decision_is_logged(
    staff: Client, acme: SimpleNamespace, people: list[Contact]
) -> None:
    Contact.objects.filter(pk=people[0].pk).update(opted_in_at=AT)
    Contact.objects.filter(pk=people[1].pk).update(opted_out_at=AT)
    action = do(staff, "opt_out", people[:3])
    out = dict(Contact.objects.values_list("name", "opted_out_at"))
    assert out["A"]
    assert out["B"] == AT, "the first time stays"
    assert out["C"]
    assert out["D"] is None
    assert action.changed == 2
    told = Change.objects.filter(kind=Change.Kind.OPTED_OUT, change_set=action.pk)
    assert {change.actor for change in told} == {f"user:{acme.user.pk}"}
    assert len(told) == 2


def test_contacts_are_deleted(staff: Client, people: list[Contact]) -> None:
    """Their former phones go with them, and are not counted."""
    former_phones.insert(people[0], ["+14155550191", "+14155550192"])
    action = do(staff, "delete_selected", people[:3])
    assert {*Contact.all_phones.values_list("name", flat=True)} == {"D", "E"}
    assert action.changed == 3


@pytest.mark.parametrize("action", [change for change in CHANGES if change != "opt_out"])
def test_an_action_is_undone_from_its_page(
    staff: Client, people: list[Contact], action: str
) -> None:
    def held() -> list[Any]:
        columns = ("pk", "name", "tags", "locale")
        return sorted(Contact.objects.values_list(*columns), key=str)

    before = held()
    done = do(staff, action, people, value="vip" if action == "remove_tag" else "fr")
    assert held() != before
    undo = reverse("admin:contacts_contact_undo", args=[done.pk])
    assert undo in staff.get(url(BulkAction, "change", done.pk)).content.decode()
    staff.post(undo)
    assert held() == before
    assert_links_match_tags()


# Confirmation


@in_one_test("action", EVERY_ACTION)
def test_each_action_asks_with_the_number_of_contacts_first(
    staff: Client, people: list[Contact], action: str
) -> None:
    page = ask(staff, action, people[:3]).content.decode()
    assert "<strong>3</strong> contacts" in page
    assert not BulkAction.objects.exists()
    assert tags(people) == ["vip"] * 5


def test_all_matches_of_the_filter_are_selected_with_one_click(
    staff: Client, people: list[Contact], monkeypatch: pytest.MonkeyPatch
) -> None:
    ContactFactory.create(tenant=people[0].tenant, name="Else", source="shopify")
    page = ask(staff, "add_tag", people[:1], "?source=api", select_across="1").content.decode()
    assert "<strong>5</strong> contacts" in page
    ask(staff, "add_tag", people[:1], "?source=api", select_across="1", count=5, value="gold")
    assert tags(people) == ["vip,gold"] * 5
    assert "gold" not in Contact.objects.get(name="Else").tags


def test_if_other_contacts_match_by_now_it_asks_again(staff: Client, people: list[Contact]) -> None:
    page = ask(staff, "add_tag", people, select_across="1", count=4, value="gold")
    assert "The number of contacts has changed: 5 now, 4 before." in page.content.decode()
    assert tags(people) == ["vip"] * 5


@in_one_test(
    ("action", "value", "sentence"),
    [
        ("add_tag", "", "Enter a tag."),
        ("add_tag", "a,b", "comma"),
        ("add_tag", "x" * 500, "characters"),
        ("remove_tag", " ", "Enter a tag."),
        ("set_locale", "x" * 500, "characters"),
        ("set_locale", "\0", ""),
    ],
)
def test_a_bad_value_is_a_form_error(
    staff: Client, people: list[Contact], action: str, value: str, sentence: str
) -> None:
    answer = ask(staff, action, people, count=5, value=value)
    assert answer.status_code == 200
    assert sentence in answer.content.decode()
    assert not BulkAction.objects.exists()


@in_one_test("count", ["", "x", "-1", "1e9", "99999999999999999999"])
def test_a_wrong_count_asks_again(staff: Client, people: list[Contact], count: str) -> None:
    assert ask(staff, "opt_out", people, count=count).status_code == 200
    assert not Contact.objects.exclude(opted_out_at=None).exists()


# In the background


@pytest.fixture
def many(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bulk_actions, "AT_ONCE", 2)
    monkeypatch.setattr(bulk_actions, "BATCH", 2)


def test_a_worker_handles_many_contacts_and_shows_progress(
    staff: Client, people: list[Contact], many: None, django_capture_on_commit_callbacks: Any
) -> None:
    with django_capture_on_commit_callbacks(execute=True):
        action = do(staff, "add_tag", people, value="gold")
    page = staff.get(url(BulkAction, "change", action.pk)).content.decode()
    assert "<strong>0</strong> of 5 contacts" in page
    assert "every 2s" in page
    bulk_actions.run_batch(action)
    page = staff.get(url(BulkAction, "change", action.pk)).content.decode()
    assert "<strong>2</strong> of 5 contacts" in page
    assert 'value="40"' in page
    [task] = DBTaskResult.objects.all()
    task.task.call(*task.args_kwargs["args"])
    page = staff.get(url(BulkAction, "change", action.pk)).content.decode()
    assert "<strong>5</strong> of 5 contacts: done" in page
    assert "every 2s" not in page
    assert tags(people) == ["vip,gold"] * 5
    assert Change.objects.filter(change_set=action.pk).count() == 5


def test_an_action_that_runs_twice_changes_contacts_once(
    staff: Client, people: list[Contact], many: None
) -> None:
    action = do(staff, "add_tag", people, value="gold")
    bulk_actions.run(action)
    call_command("retag", delete="gold", tenant="acme", stdout=io.StringIO(), stderr=io.StringIO())
    bulk_actions.run(action)
    assert tags(people) == ["vip"] * 5
    action.refresh_from_db()
    assert action.done == 5


def test_an_interrupted_action_is_requeued(
    staff: Client, people: list[Contact], many: None
) -> None:
    action = do(staff, "add_tag", people, value="gold")
    DBTaskResult.objects.all().delete()
    bulk_actions.run_batch(action)
    bulk_actions.requeue_interrupted()
    [task] = DBTaskResult.objects.all()
    task.task.call(*task.args_kwargs["args"])
    assert tags(people) == ["vip,gold"] * 5


def test_if_the_queue_is_down_the_action_waits_for_a_worker(
    staff: Client, people: list[Contact], many: None, monkeypatch: Any, log: io.StringIO,
    django_capture_on_commit_callbacks: Any,
) -> None:  # fmt: skip
    def down(*args: Any) -> None:
        raise ConnectionError

    with monkeypatch.context() as patched:
        patched.setattr(type(bulk_actions.run_bulk_action), "enqueue", down)
        with django_capture_on_commit_callbacks(execute=True):
            action = do(staff, "add_tag", people, value="gold")
    assert "could not be put into the queue" in log.getvalue()
    assert not action.is_over


def test_contacts_deleted_meanwhile_count_as_unchanged(
    staff: Client, people: list[Contact], many: None
) -> None:
    action = do(staff, "add_tag", people, value="gold")
    Contact.objects.filter(pk=people[0].pk).delete()
    bulk_actions.run(action)
    action.refresh_from_db()
    assert (action.done, action.changed, action.unchanged) == (5, 4, 1)


def test_the_statements_of_a_batch_do_not_grow_with_the_contacts(acme: SimpleNamespace) -> None:
    def cost(number: int) -> int:
        pks = [ContactFactory.create(tenant=acme.tenant).pk for _ in range(number)]
        action = bulk_actions.plan(acme.tenant, "user:1", "add_tag", f"t{number}", pks)
        return len(statements(lambda: bulk_actions.run_batch(action)))

    assert cost(3) == cost(30)


def test_packed_ids_are_unpacked_unchanged() -> None:
    pks = [new_ulid() for _ in range(5)]
    assert bulk_actions.unpack(bulk_actions.pack(pks)) == pks


# Permissions


@in_one_test("action", EVERY_ACTION)
def test_no_action_changes_contacts_of_another_tenant(
    staff: Client, people: list[Contact], globex: SimpleNamespace, action: str
) -> None:
    theirs = ContactFactory.create(tenant=globex.tenant, name="Theirs", tags=["secret"])
    for across in ("0", "1"):
        chosen = [theirs, Contact.objects.get(name="A" if across == "0" else "B")]
        count = 1 if across == "0" else len(people[0].tenant.contacts.all())
        page = ask(staff, action, chosen, "?q=", select_across=across).content.decode()
        assert "Theirs" not in page
        assert f"<strong>{count}</strong>" in page
        answer = ask(staff, action, chosen, select_across=across, count=count, value="vip")
        assert b"Theirs" not in answer.getvalue()
    stored = Contact.objects.get(pk=theirs.pk)
    assert (stored.tags, stored.locale, stored.opted_out_at) == (["secret"], "", None)


def test_viewers_may_only_export(client: Client, acme: SimpleNamespace, people: Any) -> None:
    viewer = UserFactory.create(tenant=acme.tenant, is_staff=True)
    viewer.user_permissions.set(Permission.objects.filter(codename="view_contact"))
    client.force_login(viewer)
    page = client.get(LIST).content.decode()
    assert 'value="export"' in page
    for action in CHANGES:
        assert f'value="{action}"' not in page
        ask(client, action, people, count=5, value="gold")
    assert tags(people) == ["vip"] * 5


def test_an_action_is_visible_only_to_staff_of_its_tenant(
    staff: Client, client: Client, globex: SimpleNamespace, outsider: SimpleNamespace, people: Any
) -> None:
    action = do(staff, "add_tag", people[:1], value="gold")
    page, listed = url(BulkAction, "change", action.pk), url(BulkAction, "changelist")
    assert staff.get(page).status_code == 200
    assert "Add a tag: gold" in staff.get(listed).content.decode()
    for other in (globex, outsider):
        other.user.is_staff = True
        other.user.save()
        other.user.user_permissions.set(Permission.objects.all())
        client.force_login(other.user)
        assert client.get(page).status_code == 302
        assert "gold" not in text_of(client.get(listed))


@pytest.mark.parametrize("has_tenant", [True, False])
def test_an_action_of_a_superuser_needs_contacts_of_one_tenant(
    client: Client,
    acme: SimpleNamespace,
    globex: SimpleNamespace,
    people: list[Contact],
    has_tenant: bool,
) -> None:
    theirs = ContactFactory.create(tenant=globex.tenant)
    own = acme.tenant if has_tenant else None
    client.force_login(User.objects.create_superuser("root@example.com", tenant=own))
    answer = client.post(
        LIST, {"action": "add_tag", "_selected_action": [theirs.pk, people[0].pk]}, follow=True
    )
    assert "belong to several tenants" in answer.content.decode()
    action = do(client, "add_tag", [theirs], value="gold")
    assert (action.tenant, action.changed) == (globex.tenant, 1)


@pytest.mark.parametrize("model", [Contact, Tag])
def test_superusers_get_a_message_if_the_selected_rows_were_deleted(
    client: Client, acme: SimpleNamespace, people: list[Contact], model: Any
) -> None:
    client.force_login(User.objects.create_superuser("root@example.com"))
    chosen = [row.pk for row in model.objects.filter(tenant=acme.tenant)]
    acme.tenant.contacts.all().delete()
    acme.tenant.tags.all().delete()
    ContactFactory.create(tenant=acme.tenant, tags=["other"])  # else there is no list to choose of
    data = {"action": "delete_selected", "_selected_action": chosen}
    page = client.post(url(model, "changelist"), data, follow=True).content.decode()
    assert "no longer exist" in page
    assert "several tenants" not in page


def test_the_admins_log_has_the_user_the_action_and_the_number(
    staff: Client, acme: SimpleNamespace, people: list[Contact]
) -> None:
    action = do(staff, "add_tag", people[:2], value="gold")
    entry = LogEntry.objects.get(object_id=action.pk)
    assert (entry.user, entry.change_message) == (acme.user, "Add a tag: gold: 2 contacts.")


@pytest.mark.parametrize("form", ["xlsx", "csv", "ndjson", "vcard"])
def test_the_admins_log_has_the_user_and_the_number_of_an_export(
    staff: Client, acme: SimpleNamespace, people: list[Contact], form: str
) -> None:
    ask(staff, "export", people[:2])
    assert not LogEntry.objects.exists()
    ask(staff, "export", people[:2], count=2, value=form).getvalue()
    entry = LogEntry.objects.get()
    assert entry.user == acme.user
    assert entry.object_repr.endswith(": 2 contacts")


def test_nothing_is_done_if_other_contacts_match_than_were_counted(
    staff: Client, acme: SimpleNamespace, people: list[Contact], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Adds a contact at the moment when somebody confirms five."""
    make = ConfirmForm.is_valid

    def is_valid(form: ConfirmForm) -> bool:
        if acme.tenant.contacts.count() == len(people):
            ContactFactory.create(tenant=acme.tenant)
        return make(form)

    monkeypatch.setattr(ConfirmForm, "is_valid", is_valid)
    page = ask(staff, "delete_selected", people[:1], select_across="1", count=5)
    assert "The number of contacts has changed: 6 now, 5 before." in page.content.decode()
    assert acme.tenant.contacts.count() == 6


def test_an_action_that_fails_at_once_is_left_to_a_worker(
    staff: Client,
    people: list[Contact],
    monkeypatch: pytest.MonkeyPatch,
    log: io.StringIO,
    django_capture_on_commit_callbacks: Any,
) -> None:
    def fail(*args: Any) -> None:
        raise OperationalError("database is locked")

    with monkeypatch.context() as patched, django_capture_on_commit_callbacks(execute=True):
        patched.setitem(bulk_actions.VERBS, BulkAction.Kind.ADD_TAG, fail)
        action = do(staff, "add_tag", people, value="gold")
    assert "is left to a worker" in log.getvalue()
    assert LogEntry.objects.get().object_id == action.pk
    assert (
        "An error on the server has stopped it"
        in staff.get(url(BulkAction, "change", action.pk)).content.decode()
    )
    [task] = DBTaskResult.objects.all()
    task.task.call(*task.args_kwargs["args"])
    assert tags(people) == ["vip,gold"] * 5
    action.refresh_from_db()
    assert (action.is_over, action.problem) == (True, "")


def test_a_later_decision_stays_and_is_listed(staff: Client, people: list[Contact]) -> None:
    ahead = timezone.now() + timedelta(minutes=5)  # of a machine whose clock is fast
    Contact.objects.filter(pk=people[0].pk).update(opted_in_at=ahead)
    action = do(staff, "opt_out", people[:2])
    assert (action.changed, action.refused) == (1, 1)
    assert action.refusals == [[people[0].phone, "has made a later decision on consent"]]


def test_a_tenant_with_bulk_actions_can_be_deleted(
    staff: Client, acme: SimpleNamespace, people: list[Contact]
) -> None:
    do(staff, "add_tag", people, value="gold")
    ContactFactory.create(tenant=acme.tenant)
    root = Client()
    root.force_login(User.objects.create_superuser("root@example.com"))
    User.objects.filter(tenant=acme.tenant).delete()
    assert root.post(url(Tenant, "delete", acme.tenant.pk), {"post": "yes"}).status_code == 302
    assert not Tenant.objects.filter(pk=acme.tenant.pk).exists()
    assert not BulkAction.objects.exists()


def test_erasing_a_person_removes_the_phone_from_bulk_actions(
    staff: Client, acme: SimpleNamespace, people: list[Contact]
) -> None:
    for contact in people[:2]:
        contact.tags = [f"t{number}" for number in range(rules.MAX_TAGS)]
        contact.save()
    action = do(staff, "add_tag", people, value="gold")
    erasing.erase(acme.tenant, people[0].phone)
    action.refresh_from_db()
    assert [phone for phone, _ in action.refusals] == [people[1].phone]


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has one writer at a time")
def test_erasing_a_person_during_a_bulk_action_removes_the_phone_too(
    acme: SimpleNamespace, people: list[Contact]
) -> None:
    edit.change(people[0], tags=[f"t{number}" for number in range(rules.MAX_TAGS)])
    action = bulk_actions.plan(acme.tenant, "user:1", "add_tag", "gold", [people[0].pk])

    def erase() -> None:
        erasing.erase(acme.tenant, people[0].phone)
        connection.close()

    with transaction.atomic():
        bulk_actions.run_batch(action)
        waiting = Thread(target=erase)
        waiting.start()
        waiting.join(0.5)
        assert waiting.is_alive(), "it waits for the batch"
    waiting.join()
    action.refresh_from_db()
    assert (action.refused, action.refusals) == (1, [])


def test_old_bulk_actions_are_pruned_with_the_log(staff: Client, people: list[Contact]) -> None:
    old, new = (do(staff, "add_tag", people, value=value) for value in ("a", "b"))
    BulkAction.objects.filter(pk=old.pk).update(finished_at=AT)
    call_command("prune_changes", "--older-than", "30d", stdout=io.StringIO())
    assert BulkAction.objects.get() == new


# Merging


@pytest.fixture
def doubles(acme: SimpleNamespace) -> list[Contact]:
    return [
        ContactFactory.create(
            tenant=acme.tenant, name="Ann", phone="+14155550101", tags=["vip"],
            metadata={"city": "Paris"}, opted_in_at=AT,
        ),
        ContactFactory.create(
            tenant=acme.tenant, name="Ann Lee", phone="+14155550102", email="ann@x.example",
            tags=["new"], metadata={"n": 1},
        ),
    ]  # fmt: skip


def seen_on(page: Any) -> str:
    return page.context["seen"]


def test_the_merge_preview_shows_each_field(staff: Client, doubles: list[Contact]) -> None:
    page: Any = ask(staff, "merge", doubles)
    rows = {row.label: (*row.values, row.result) for row in page.context["rows"]}
    assert rows["Name"] == ("Ann", "Ann Lee", "Ann Lee")
    assert rows["Email"] == ("", "ann@x.example", "ann@x.example")
    assert rows["Tags"] == ("vip", "new", "vip, new")
    assert rows["Metadata"] == ('{"city":"Paris"}', '{"n":1}', '{"city":"Paris","n":1}')
    assert rows["Opted in at"][2] == "", "in, only where all of them are"
    assert [*page.context["form"].fields] == ["seen", "phone", "name"]
    assert Contact.objects.count() == 2


def test_contacts_are_merged_with_the_chosen_values(
    staff: Client, acme: SimpleNamespace, doubles: list[Contact]
) -> None:
    seen = seen_on(ask(staff, "merge", doubles))
    chosen = {"phone": doubles[1].pk, "name": doubles[0].pk}
    answer: Any = ask(staff, "merge", doubles, seen=seen, **chosen)
    kept = Contact.objects.get()
    assert answer["Location"] == url(Contact, "change", kept.pk)
    assert (kept.pk, kept.phone, kept.name) == (doubles[0].pk, "+14155550102", "Ann")
    assert (kept.email, kept.tags) == ("ann@x.example", ["vip", "new"])
    assert acme.tenant.changes.merged_into(doubles[1].pk) == kept.pk
    assert_links_match_tags()
    assert LogEntry.objects.get().change_message == "Merged with 1 more."
    change_set = Change.objects.filter(kind="merged").get().change_set
    staff.post(reverse("admin:contacts_contact_undo", args=[change_set]))
    assert {*Contact.objects.values_list("phone", "name")} == {
        ("+14155550101", "Ann"), ("+14155550102", "Ann Lee"),
    }  # fmt: skip


def test_contacts_that_changed_since_the_preview_are_shown_again(
    staff: Client, doubles: list[Contact]
) -> None:
    seen = seen_on(ask(staff, "merge", doubles))
    doubles[1].email = "new@x.example"
    doubles[1].save()
    chosen = {"phone": doubles[1].pk, "name": doubles[0].pk}
    page: Any = ask(staff, "merge", doubles, seen=seen, **chosen)
    assert "Somebody changed these contacts" in page.content.decode()
    assert Contact.objects.count() == 2


@pytest.mark.parametrize("chosen", [{}, {"phone": "01ARZ3NDEKTSV4RRFFQ69G5FAV"}])
def test_a_value_that_no_merged_contact_has_is_refused(
    staff: Client, doubles: list[Contact], chosen: dict[str, str]
) -> None:
    seen = seen_on(ask(staff, "merge", doubles))
    assert ask(staff, "merge", doubles, seen=seen, **chosen).status_code == 200
    assert Contact.objects.count() == 2


@pytest.mark.parametrize("number", [1, 11])
def test_two_to_ten_contacts_can_be_merged(
    staff: Client, acme: SimpleNamespace, number: int
) -> None:
    chosen = [ContactFactory.create(tenant=acme.tenant) for _ in range(number)]
    answer = client_follow(staff, chosen)
    assert "Select 2 to 10 contacts" in answer
    assert Contact.objects.count() == number


def client_follow(client: Client, chosen: list[Contact]) -> str:
    data = {"action": "merge", "_selected_action": [contact.pk for contact in chosen]}
    return client.post(LIST, data, follow=True).content.decode()


def test_contacts_that_would_have_too_many_tags_are_not_merged(
    staff: Client, doubles: list[Contact]
) -> None:
    doubles[0].tags = [f"t{number}" for number in range(rules.MAX_TAGS)]
    doubles[0].save()
    assert "The contacts were not merged: A contact has at most" in client_follow(staff, doubles)


def test_a_contact_of_another_tenant_is_never_merged(
    staff: Client, client: Client, globex: SimpleNamespace, doubles: list[Contact]
) -> None:
    theirs = ContactFactory.create(tenant=globex.tenant, name="Theirs")
    page: Any = ask(staff, "merge", [*doubles, theirs])
    assert [contact.pk for contact in page.context["contacts"]] == [one.pk for one in doubles]
    client.force_login(User.objects.create_superuser("root@example.com"))
    assert "Select contacts of one tenant" in client_follow(client, [*doubles, theirs])


def test_users_who_may_not_delete_may_not_merge(
    client: Client, acme: SimpleNamespace, doubles: list[Contact]
) -> None:
    editor = UserFactory.create(tenant=acme.tenant, is_staff=True)
    editor.user_permissions.set(
        Permission.objects.filter(codename__in=["view_contact", "change_contact"])
    )
    client.force_login(editor)
    assert 'value="merge"' not in client.get(LIST).content.decode()
    assert "No action selected" in client_follow(client, doubles)
