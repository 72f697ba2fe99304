"""The one write path: the contact's tags and the links say the same, whoever writes."""

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from django.db import IntegrityError, connection, transaction
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from contacts.models import Change, Contact, Outcome, Tag
from contacts.writing import links
from contacts.writing.tags import rename
from tests.support.api import PHONE
from tests.support.factories import ContactFactory, TagFactory
from tests.support.sql import assert_links_match_tags, statements

pytestmark = [pytest.mark.both, pytest.mark.django_db]
MANY = [f"tag-{n}" for n in range(100)]


@pytest.mark.parametrize(
    ("before", "after", "most"),
    [
        (None, {}, 5),
        (None, {"tags": MANY}, 7),
        ({"tags": MANY}, {"tags": MANY}, 4),
        ({"tags": MANY}, {"tags": MANY, "name": "x"}, 7),
        ({"tags": MANY[:50]}, {"tags": MANY[40:], "name": "x", "metadata": {"a": 1}}, 8),
        ({"tags": MANY}, {"name": "x"}, 6),
    ],
)
def test_create_contact_costs_a_constant_number_of_statements(
    acme: SimpleNamespace, before: dict | None, after: dict, most: int
) -> None:
    """The first call of a minute notes the token's use: one statement, counted in `most`. SQLite
    needs one more, to know what the row was. Of a new contact one asks for an earlier opt-out; on
    PostgreSQL only inside a transaction, as here: see the test of the one trip."""
    most += connection.vendor == "sqlite"
    if before is not None:
        acme.tenant.contacts.update_or_create(phone=PHONE, defaults=before)
    sql = statements(lambda: acme.api.create(**after))
    assert len(sql) <= most, "\n".join(sql)
    later = statements(lambda: acme.api.create(**after | {"name": "y"}))
    assert len(later) <= 5 + 2 * (connection.vendor == "sqlite"), "no note of the token's use"


def test_update_or_create_tells_its_outcome(acme: SimpleNamespace) -> None:
    def write(**defaults: Any) -> tuple[Outcome, bool]:
        contact, created = acme.tenant.contacts.update_or_create(phone=PHONE, defaults=defaults)
        return contact.outcome, created

    assert write(name="A", tags=["x"]) == (Outcome.CREATED, True)
    assert write(name="A", tags=["x"]) == (Outcome.UNCHANGED, False)
    assert write(name="B") == (Outcome.UPDATED, False)
    assert write() == (Outcome.UNCHANGED, False)
    contact = Contact.objects.get()
    assert (contact.name, contact.tags) == ("B", ["x"]), "only what is given is set"
    assert_links_match_tags()


@pytest.mark.django_db(transaction=True)
def test_outside_a_transaction_a_new_contact_is_one_trip_to_postgresql(
    acme: SimpleNamespace,
) -> None:
    """With its tags, links and log; on SQLite, which has no trips, a transaction of six
    statements."""

    def write(name: str) -> tuple[Outcome, list[str]]:
        defaults = {"name": name, "tags": ["b", "a"], "metadata": {"n": 1.5}}
        with CaptureQueriesContext(connection) as captured:
            contact, _ = acme.tenant.contacts.update_or_create(phone=PHONE, defaults=defaults)
        stored = Contact.objects.get()
        for field in Contact._meta.concrete_fields:
            assert getattr(contact, field.attname) == getattr(stored, field.attname), field.name
        assert_links_match_tags()
        return contact.outcome, [query["sql"] for query in captured]

    outcome, sql = write("A")
    assert outcome is Outcome.CREATED
    assert len(sql) == (8 if connection.vendor == "sqlite" else 1), "\n".join(sql)
    assert [write(name)[0] for name in "AB"] == [Outcome.UNCHANGED, Outcome.UPDATED]
    kinds = acme.tenant.changes.order_by("pk").values_list("kind", flat=True)
    assert [*kinds] == [Change.Kind.CREATED, Change.Kind.UPDATED]


@pytest.mark.django_db(transaction=True)
def test_consent_that_a_new_contact_brings_is_logged_as_a_decision(acme: SimpleNamespace) -> None:
    given = {"defaults": {"name": "A"}, "only_if_new": {"opted_in_at": acme.tenant.created_at}}
    for phone in (PHONE, "+14155550124"):
        acme.tenant.contacts.update_or_create(phone=phone, **given)
    with transaction.atomic():
        acme.tenant.contacts.update_or_create(phone="+14155550125", **given)
    kinds = acme.tenant.changes.order_by("pk").values_list("kind", flat=True)
    assert [*kinds] == [Change.Kind.CREATED, Change.Kind.OPTED_IN] * 3


def test_what_only_a_new_contact_gets_stays_as_it_was_stored(acme: SimpleNamespace) -> None:
    for name in ("A", "B"):
        acme.tenant.contacts.update_or_create(
            phone=PHONE, defaults={"name": name}, only_if_new={"source": name, "tags": [name]}
        )
    contact = Contact.objects.get()
    assert (contact.name, contact.source, contact.tags) == ("B", "A", ["A"])
    assert_links_match_tags()


def test_the_create_defaults_of_django_are_refused(acme: SimpleNamespace) -> None:
    """They mean something else: what a new row gets instead of the defaults."""
    with pytest.raises(TypeError, match="create_defaults"):
        acme.tenant.contacts.update_or_create(phone=PHONE, create_defaults={"name": "A"})
    assert not Contact.objects.exists()


def test_a_value_where_there_was_none_is_a_change(acme: SimpleNamespace) -> None:
    for _ in range(2):
        defaults = {"last_message_at": acme.tenant.created_at}
        contact, _ = acme.tenant.contacts.update_or_create(phone=PHONE, defaults={})
        contact, _ = acme.tenant.contacts.update_or_create(phone=PHONE, defaults=defaults)
    assert contact.outcome is Outcome.UNCHANGED
    assert contact.last_message_at == acme.tenant.created_at


def test_the_returned_contact_is_the_stored_one(acme: SimpleNamespace) -> None:
    for name in ("A", "A", "B"):
        contact, _ = acme.tenant.contacts.update_or_create(
            phone=PHONE, defaults={"name": name, "tags": ["b", "a"], "metadata": {"n": 1.5}}
        )
        stored = Contact.objects.get()
        for field in Contact._meta.concrete_fields:
            assert getattr(contact, field.attname) == getattr(stored, field.attname), field.name


def test_a_failure_half_way_leaves_nothing(
    acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*args: object, **kwargs: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(links, "link", fail)
    with pytest.raises(RuntimeError):
        acme.tenant.contacts.update_or_create(phone=PHONE, defaults={"tags": ["x"]})
    assert not Contact.objects.exists()
    assert not Tag.objects.exists()


def test_saving_a_contact_keeps_the_links(acme: SimpleNamespace) -> None:
    contact = ContactFactory.create(tenant=acme.tenant, tags=["a", "b"])
    before = contact.updated_at
    contact.tags, contact.name = ["b", "c"], "not saved"
    contact.save(update_fields=["tags"])
    contact.refresh_from_db()
    assert contact.tags == ["b", "c"]
    assert contact.name != "not saved"
    assert contact.updated_at > before
    assert_links_match_tags()


@pytest.mark.parametrize("name", ["new", "x-ray", "a", "B", "é", "%", "_"])
def test_a_renamed_tag_is_renamed_in_its_contacts_only(acme: SimpleNamespace, name: str) -> None:
    tagged = ContactFactory.create(tenant=acme.tenant, tags=["x", "b", "bb"])
    other = ContactFactory.create(tenant=acme.tenant, tags=["bb", "x"])
    elsewhere = ContactFactory.create(tags=["b"])
    before = {contact.pk: contact.updated_at for contact in Contact.objects.all()}
    tag = acme.tenant.tags.get(name="b")
    tag.name = name
    tag.save()
    tags = dict(Contact.objects.values_list("pk", "tags"))
    assert tags == {tagged.pk: ["x", name, "bb"], other.pk: ["bb", "x"], elsewhere.pk: ["b"]}
    tagged.refresh_from_db()
    assert tagged.updated_at > before[tagged.pk], "readers that follow changes see it"
    assert Contact.objects.get(pk=other.pk).updated_at == before[other.pk]
    assert_links_match_tags()


def test_a_tag_renamed_to_one_that_exists_is_merged_with_it_and_keeps_its_id(
    acme: SimpleNamespace,
) -> None:
    carried = [["x", "old"], ["new", "x", "old"], ["old", "x", "new"], ["new"]]
    people = [ContactFactory.create(tenant=acme.tenant, tags=tags) for tags in carried]
    elsewhere = ContactFactory.create(tags=["old", "new"])
    before = {contact.pk: contact.updated_at for contact in Contact.objects.all()}
    renamed = acme.tenant.tags.get(name="old")
    rename(renamed, "new")
    tags = dict(Contact.objects.values_list("pk", "tags"))
    assert [tags[contact.pk] for contact in people] == [
        ["x", "new"], ["new", "x"], ["new", "x"], ["new"],
    ]  # fmt: skip
    assert tags[elsewhere.pk] == ["old", "new"]
    assert acme.tenant.tags.get(name="new").pk == renamed.pk
    assert not acme.tenant.tags.filter(name="old").exists()
    assert_links_match_tags()
    changed = [pk for pk, at in Contact.objects.values_list("pk", "updated_at") if at > before[pk]]
    assert {*changed} == {contact.pk for contact in people[:3]}, "the last one has the name already"


@pytest.mark.parametrize("delete", [lambda tag: tag.delete(), lambda tag: tag_set(tag).delete()])
def test_a_deleted_tag_leaves_its_contacts(
    acme: SimpleNamespace, delete: Callable[[Tag], Any]
) -> None:
    first = ContactFactory.create(tenant=acme.tenant, tags=["a", "b", "c"])
    last = ContactFactory.create(tenant=acme.tenant, tags=["b"])
    elsewhere = ContactFactory.create(tags=["b"])
    delete(acme.tenant.tags.get(name="b"))
    tags = dict(Contact.objects.values_list("pk", "tags"))
    assert tags == {first.pk: ["a", "c"], last.pk: [], elsewhere.pk: ["b"]}
    assert_links_match_tags()


def test_mending_a_tag_that_is_gone_fails_nobody(acme: SimpleNamespace) -> None:
    tag = TagFactory.create(tenant=acme.tenant)
    Tag.objects.filter(pk=tag.pk).delete()
    assert tag.delete()[0] == 0


def tag_set(tag: Tag) -> Any:
    return Tag.objects.filter(pk=tag.pk)


def test_deleting_a_contact_keeps_its_tags(acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant, tags=["a"]).delete()
    [tag] = acme.tenant.tags.page("", 1000)
    assert (tag.name, tag.contacts_count) == ("a", 0)


@pytest.mark.parametrize(
    "break_rule",
    [
        lambda tenant: ContactFactory.create(tenant=tenant, phone=PHONE),
        lambda tenant: ContactFactory.create(tenant=tenant, phone="4155550123"),
        lambda tenant: TagFactory.create(tenant=tenant, name="x"),
        lambda tenant: TagFactory.create(tenant=tenant, name="a,b"),
        lambda tenant: TagFactory.create(tenant=tenant, name=""),
        lambda tenant: Contact.objects.update(phone="x"),
    ],
)
def test_the_schema_refuses_what_the_write_path_never_writes(
    acme: SimpleNamespace, break_rule: Callable[[Model], Any]
) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, tags=["x"])
    with pytest.raises(IntegrityError), transaction.atomic():
        break_rule(acme.tenant)


def test_every_unique_constraint_of_contacts_begins_with_the_tenant() -> None:
    """What sharding by tenant asks for; the key itself, a ULID, is unique by making."""
    from django.apps import apps

    for model in apps.get_app_config("contacts").get_models():
        assert "tenant" in {field.name for field in model._meta.fields}, model
        for constraint in model._meta.total_unique_constraints:
            assert constraint.fields[0] == "tenant", constraint
