"""Notes of staff: who may read, write and delete them, and what becomes of them with a contact."""

import io
import re
from datetime import timedelta
from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.core.management import call_command
from django.test import Client
from django.urls import reverse
from django.utils import timezone

from contacts.admin import describe
from contacts.change_log.cause import caused_by
from contacts.exporting.person import known_of
from contacts.models import Change, Contact, Note
from contacts.values import rules
from contacts.writing import delete, edit, erase, merge, notes
from tenants import roles
from tenants.fields import new_ulid
from tenants.models import Tenant, User
from tests.support.admin import context_of, logged_in, url
from tests.support.api import PHONE
from tests.support.factories import ContactFactory, UserFactory
from tests.support.undo import OTHER, last_set

pytestmark = pytest.mark.django_db


@pytest.fixture
def ada(acme: SimpleNamespace) -> Contact:
    return ContactFactory.create(tenant=acme.tenant, phone=PHONE, name="Ada")


def with_role(tenant: Tenant | None, role: str) -> User:
    user = UserFactory.create(tenant=tenant, is_staff=True)
    user.groups.set(Group.objects.filter(name=role))
    return user


def texts(contact: Contact) -> list[str]:
    found = Note.objects.filter(tenant=contact.tenant, contact_id=contact.pk)
    return [*found.order_by("text").values_list("text", flat=True)]


def add_address(contact: Contact) -> str:
    return reverse("admin:contacts_contact_note", args=[contact.pk])


def delete_address(note: Note) -> str:
    return reverse("admin:contacts_contact_note_delete", args=[note.contact_id, note.pk])


def test_editors_write_notes_viewers_read_them_and_authors_and_managers_delete_them(
    acme: SimpleNamespace, globex: SimpleNamespace, outsider: SimpleNamespace, ada: Contact
) -> None:
    roles.grant(apps, roles.RIGHTS)
    author, editor, manager, viewer = (
        with_role(acme.tenant, role)
        for role in (roles.EDITOR, roles.EDITOR, roles.MANAGER, roles.VIEWER)
    )
    page, add = url(Contact, "change", ada.pk), add_address(ada)
    logged_in(author).post(add, {"text": " Wants <b>tea</b>.\r\nCall at 9. "})
    note = Note.objects.get(tenant=acme.tenant)
    assert (note.text, note.author) == ("Wants <b>tea</b>.\nCall at 9.", f"user:{author.pk}")
    removal = delete_address(note)
    for user in (author, viewer):
        shown = logged_in(user).get(page).content.decode()
        assert "Wants &lt;b&gt;tea&lt;/b&gt;.<br>Call at 9." in shown
        assert f"{describe.local_time(note.created_at)}, by {author.email}" in shown
        assert (add in shown) is (removal in shown) is (user == author)
    for user, may_write, may_delete in (
        (author, True, True), (editor, True, False), (manager, True, True), (viewer, False, False),
    ):  # fmt: skip
        context = context_of(logged_in(user), page)
        assert context["timeline"][0].note == note
        assert context["timeline"][0].may_delete is may_delete, user
        assert context["has_change_permission"] is may_write, user
    for user in (viewer, editor):
        assert logged_in(user).post(removal).status_code == 403
    assert logged_in(viewer).post(add, {"text": "x"}).status_code == 403
    for tenant in (globex.tenant, outsider.tenant):
        stranger = logged_in(with_role(tenant, roles.MANAGER))
        for address in (add, removal):
            assert stranger.post(address, {"text": "x"})["Location"] == reverse("admin:index")
    assert texts(ada) == [note.text]
    assert logged_in(author).get(removal).status_code == 405
    assert logged_in(manager).post(removal)["Location"] == page
    assert texts(ada) == []
    assert logged_in(author).post(removal)["Location"] == page, "nothing is left to delete"


@pytest.mark.both
def test_a_text_that_breaks_the_rule_is_shown_again_and_not_stored(
    acme: SimpleNamespace, ada: Contact
) -> None:
    roles.grant(apps, roles.RIGHTS)
    editor = logged_in(with_role(acme.tenant, roles.EDITOR))
    for text, problem in (
        ("x" * (rules.MAX_NOTE + 1), "2000 characters; it has 2001"),
        (" \r\n ", "required"),
        ("a\0b", "Null characters"),
    ):
        answer: Any = editor.post(add_address(ada), {"text": text})
        assert problem in answer.content.decode()
        assert answer.context["note_form"]["text"].value() == text, "it can be mended"
    assert texts(ada) == []
    most = "\r\n".join(["é" * 1000, "é" * 999])
    assert editor.post(add_address(ada), {"text": most}).status_code == 302
    assert texts(ada) == [most.replace("\r\n", "\n")]
    ada.delete()
    assert editor.post(add_address(ada), {"text": "x"})["Location"] == reverse("admin:index")
    with pytest.raises(Contact.DoesNotExist):
        notes.add(ada, "written while somebody deletes the contact")
    assert Note.objects.filter(tenant=acme.tenant).count() == 1


@pytest.mark.both
def test_notes_follow_their_contact_into_merges_and_back(
    acme: SimpleNamespace, ada: Contact
) -> None:
    bob = ContactFactory.create(tenant=acme.tenant, phone=OTHER, name="Bob")
    eve = ContactFactory.create(tenant=acme.tenant, name="Eve")
    sets = []
    for contact in (ada, bob, eve):
        notes.add(contact, f"of {contact.name}")
    for stays, goes in ((bob, eve), (ada, bob)):
        with caused_by("user:1"):
            merge.merge_into(acme.tenant, stays.pk, [goes.pk])
        sets.append(last_set())
    assert texts(ada) == ["of Ada", "of Bob", "of Eve"]
    Note.objects.filter(tenant=acme.tenant, text="of Ada").delete()
    notes.add(ada, "on both")
    call_command("undo", "--change-set", sets[1])
    assert [texts(one) for one in (ada, bob, eve)] == [["on both"], ["of Bob", "of Eve"], []]
    redo = last_set()
    call_command("undo", "--change-set", sets[0])
    assert [texts(one) for one in (ada, bob, eve)] == [["on both"], ["of Bob"], ["of Eve"]]
    call_command("undo", "--change-set", redo)
    assert texts(bob) == ["of Bob"], "a contact that has changed since is not deleted"
    assert "notes" not in acme.api.act("list-changes", contact_id=eve.pk).text


def undo_last() -> str:
    call_command("undo", "--change-set", last_set())
    return last_set()


@pytest.mark.both
def test_undoing_and_redoing_a_merge_moves_notes_and_new_notes_keep_their_contact(
    acme: SimpleNamespace, ada: Contact
) -> None:
    bob = ContactFactory.create(tenant=acme.tenant, phone=OTHER, name="Bob")
    notes.add(bob, "of Bob")
    with caused_by("user:1"):
        merge.merge_into(acme.tenant, ada.pk, [bob.pk])
    for _ in range(2):
        undo_last()
        assert (texts(ada), texts(bob)) == ([], ["of Bob"])
        undo_last()
        assert (texts(ada), texts(bob)) == (["of Bob"], []), "redone, as after the merge"
        assert not acme.tenant.contacts.filter(pk=bob.pk).exists()
    undo_last()
    notes.add(bob, "new")
    undo_last()
    assert texts(bob) == ["new", "of Bob"]
    assert acme.tenant.contacts.filter(pk=bob.pk).exists()


@pytest.mark.both
def test_notes_of_a_deleted_contact_come_back_until_it_is_erased_or_pruned(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    ada, bob, eve = (ContactFactory.create(tenant=acme.tenant) for _ in range(3))
    theirs = ContactFactory.create(tenant=globex.tenant, phone=ada.phone)
    for contact in (ada, bob, eve, theirs):
        notes.add(contact, "x")
    superuser = logged_in(UserFactory.create(tenant=None, is_staff=True, is_superuser=True))
    asked = superuser.get(url(Contact, "delete", bob.pk)).content.decode()
    assert "Notes: 1. An undo brings them back." in asked
    with caused_by("user:1"):
        delete.delete_many(acme.tenant.contacts.filter(pk__in=[ada.pk, bob.pk]))
    again = ContactFactory.create(tenant=acme.tenant, phone=ada.phone)
    assert superuser.get(url(Contact, "change", bob.pk)).status_code == 302, "nobody sees its notes"
    assert not context_of(superuser, url(Contact, "change", again.pk))["timeline"][1:]
    assert [note["Text"] for note in known_of(again)["Notes"]] == ["x"]
    assert erase.forget(acme.tenant, ada.phone).numbers.notes == 1
    assert (texts(ada), texts(bob), texts(theirs)) == ([], ["x"], ["x"])
    end = Change.objects.filter(contact_id=bob.pk).latest("pk")
    call_command("undo", "--change-set", end.change_set)
    assert context_of(superuser, url(Contact, "change", bob.pk))["timeline"][1:]
    bob.delete()
    Note.objects.create(tenant=acme.tenant, contact_id=new_ulid(), text="of a version before")
    out = io.StringIO()
    with pytest.raises(SystemExit):
        call_command("check_contacts", "--all-tenants", stdout=out, stderr=io.StringIO())
    assert out.getvalue().count("prune_changes deletes the note") == 1
    Change.objects.filter(contact_id=bob.pk).update(at=timezone.now() - timedelta(days=9))
    call_command("prune_changes", "--older-than", "8d", verbosity=0)
    assert [*Note.objects.values_list("contact_id", flat=True)] == [eve.pk, theirs.pk]


def test_the_history_shows_each_note_once_among_the_changes(
    acme: SimpleNamespace, ada: Contact, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(describe, "PAGE_SIZE", 2)
    client: Client = logged_in(UserFactory.create(tenant=None, is_staff=True, is_superuser=True))
    expected = list[str]()
    for number in range(5):
        notes.add(ada, f"note {number}")
        edit.change(ada, name=f"name {number}")
        expected = [f"name {number}", f"note {number}", *expected]
    seen, older = list[Any](), [""]
    while older:
        page = client.get(f"{url(Contact, 'history', ada.pk)}{older[0]}").content.decode()
        seen += re.findall(r"(note \d)|→ (?:<bdi>)?(name \d)", page)
        older = re.findall(r'href="(\?before=\d+)"', page)
    assert ["".join(one) for one in seen] == expected
