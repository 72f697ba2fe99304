"""Two users change the same field in the admin: the second user sees the conflict and decides."""

import json
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from contacts.change_log import cause
from contacts.models import EVENTS, Contact, Tag, Webhook
from contacts.webhooks import outbox
from contacts.writing import edit
from tenants.models import ApiToken, Tenant, User
from tests.support.admin import contact_form, errors, logged_in, permit, url
from tests.support.api import PHONE
from tests.support.factories import ContactFactory, TagFactory, UserFactory

pytestmark = pytest.mark.django_db
MEANWHILE = "Choose a value above."


@pytest.fixture
def ann(acme: SimpleNamespace) -> Client:
    user = UserFactory.create(tenant=acme.tenant, is_staff=True, email="ann@acme.example.org")
    permit(user, content_type__app_label="contacts")
    return logged_in(user)


@pytest.fixture
def bob(acme: SimpleNamespace) -> Client:
    user = UserFactory.create(tenant=acme.tenant, is_staff=True, email="bob@acme.example.org")
    permit(user, content_type__app_label="contacts")
    return logged_in(user)


@pytest.fixture
def contact(acme: SimpleNamespace) -> Contact:
    return ContactFactory.create(
        tenant=acme.tenant, phone=PHONE, name="Ada", email="ada@x.example", locale="fr-FR",
        tags=["vip"], metadata={"city": "Paris", "note": "a"},
    )  # fmt: skip


def conflicts(answer: Any) -> dict[str, Any]:
    assert answer.status_code == 200, "nothing is saved before somebody has decided"
    return {conflict.name: conflict for conflict in answer.context["adminform"].form.conflicts}


def decided(answer: Any, **choices: str) -> dict[str, str]:
    """The data that a browser sends for the radio buttons."""
    found = conflicts(answer)
    chosen = ((found[name.replace("__", ".")], choice) for name, choice in choices.items())
    return {conflict.radio: f"{choice} {conflict.seen}" for conflict, choice in chosen}


def save(client: Client, row: Any, data: dict[str, Any]) -> Any:
    return client.post(url(type(row), "change", row.pk), data)


def opened(client: Client, row: Any, **typed: Any) -> dict[str, Any]:
    return contact_form(client, url(type(row), "change", row.pk), **typed)


@pytest.mark.parametrize(
    ("field", "theirs", "mine"),
    [
        ("name", "Ada L.", "Ada Lovelace"),
        ("email", "", "ada@y.example"),
        ("locale", "de-DE", ""),
        ("phone", "+14155550199", "+14155550188"),
    ],
)
@pytest.mark.parametrize("choice", ["mine", "theirs"])
def test_the_second_user_sees_the_first_users_value_and_decides(
    ann: Client, bob: Client, contact: Contact, field: str, theirs: str, mine: str, choice: str
) -> None:
    typed = opened(bob, contact, **{field: mine})
    assert save(ann, contact, opened(ann, contact, **{field: theirs})).status_code == 302
    answer = save(bob, contact, typed)
    told = answer.content.decode()
    assert MEANWHILE in str(errors(answer)[field])
    assert f"<strong>{theirs or '-'}</strong>, by ann@acme.example.org at" in told
    assert f"<strong>{mine or '-'}</strong>" in told
    assert f'name="{field}" value="{mine}"' in told or not mine, "what was typed is still there"
    assert field in conflicts(save(bob, contact, typed)), "it asks until somebody decides"
    assert save(bob, contact, typed | decided(answer, **{field: choice})).status_code == 302
    contact.refresh_from_db()
    assert getattr(contact, field) == (mine if choice == "mine" else theirs)


def test_each_conflicting_field_or_key_is_decided_and_the_rest_is_merged(
    ann: Client, bob: Client, contact: Contact
) -> None:
    def metadata(**values: str) -> str:
        return json.dumps(values)

    typed = opened(
        bob, contact, name="Bob's", email="bob@x.example", tags="vip, bob", locale="de-DE",
        metadata=metadata(city="Bonn", note="b", bob="1"),
    )  # fmt: skip
    first = opened(
        ann, contact, name="Ann's", email="ann@x.example", tags="vip, ann",
        metadata=metadata(city="Aix", ann="1"),
    )  # fmt: skip
    assert save(ann, contact, first).status_code == 302
    answer = save(bob, contact, typed)
    found = {name: (one.theirs, one.mine) for name, one in conflicts(answer).items()}
    assert found == {
        "name": ("Ann's", "Bob's"),
        "email": ("ann@x.example", "bob@x.example"),
        "metadata.city": ('"Aix"', '"Bonn"'),
        "metadata.note": ("-", '"b"'),
    }
    some = decided(answer, name="mine", metadata__city="theirs")
    again = save(bob, contact, typed | some)
    assert {n: one.choice for n, one in conflicts(again).items()} == {
        "name": "mine", "email": "", "metadata.city": "theirs", "metadata.note": ""
    }  # fmt: skip
    rest = decided(answer, email="theirs", metadata__note="mine")
    assert save(bob, contact, typed | some | rest).status_code == 302
    contact.refresh_from_db()
    assert (contact.name, contact.email, contact.locale) == ("Bob's", "ann@x.example", "de-DE")
    assert {*contact.tags} == {"vip", "ann", "bob"}
    assert contact.metadata == {"city": "Aix", "note": "b", "ann": "1", "bob": "1"}


def test_a_decision_applies_only_to_the_value_that_was_shown(
    ann: Client, bob: Client, contact: Contact
) -> None:
    typed = opened(bob, contact, name="Bob's")
    save(ann, contact, opened(ann, contact, name="first"))
    answer = save(bob, contact, typed)
    save(ann, contact, opened(ann, contact, name="second"))
    again = save(bob, contact, typed | decided(answer, name="mine"))
    assert conflicts(again)["name"].theirs == "second"
    assert save(bob, contact, typed | decided(again, name="mine")).status_code == 302
    assert Contact.objects.get().name == "Bob's"


@pytest.mark.parametrize("theirs", ["Ada", "Bob's"])
def test_equal_or_reverted_changes_are_no_conflict(
    ann: Client, bob: Client, contact: Contact, theirs: str
) -> None:
    typed = opened(bob, contact, name="Bob's")
    for name in ("something", theirs):
        save(ann, contact, opened(ann, contact, name=name))
    assert save(bob, contact, typed).status_code == 302
    assert Contact.objects.get().name == "Bob's"


def test_a_program_that_changed_the_field_is_named(
    bob: Client, contact: Contact, acme: SimpleNamespace
) -> None:
    typed = opened(bob, contact, name="Bob's", metadata='{"city": "Bonn", "note": "a"}')
    with cause.caused_by(acme.token.actor):
        edit.change(contact, name="Api's", metadata={"city": "Aix", "note": "a"})
    form = save(bob, contact, typed).context["adminform"].form
    found = {one.name: one.by.partition(" at ")[0] for one in form.contested()}
    assert found == dict.fromkeys(("name", "metadata.city"), f"by {acme.token.actor} (tests)")


@pytest.mark.parametrize("key", ["a\nb", '"><script>alert(1)</script>', "a.b", ""])
def test_a_conflict_on_a_key_with_any_characters_can_be_decided(
    bob: Client, acme: SimpleNamespace, key: str
) -> None:
    contact = ContactFactory.create(tenant=acme.tenant, metadata={key: 1})
    typed = opened(bob, contact, metadata=json.dumps({key: 2}))
    edit.change(contact, metadata={key: 3})
    answer = save(bob, contact, typed)
    [conflict] = conflicts(answer).values()
    assert "<script>alert" not in answer.content.decode()
    given = {conflict.radio: f"mine {conflict.seen}"}
    assert save(bob, contact, typed | given).status_code == 302
    contact.refresh_from_db()
    assert contact.metadata == {key: 2}


def test_too_many_conflicting_keys_are_decided_together(bob: Client, acme: SimpleNamespace) -> None:
    keys = [f"k{number}" for number in range(1000)]
    contact = ContactFactory.create(tenant=acme.tenant, metadata=dict.fromkeys(keys, 1))
    typed = opened(bob, contact, metadata=json.dumps(dict.fromkeys(keys, 2)))
    edit.change(contact, metadata=dict.fromkeys(keys, 3))
    answer = save(bob, contact, typed)
    assert save(bob, contact, typed | decided(answer, metadata="mine")).status_code == 302
    contact.refresh_from_db()
    assert contact.metadata == dict.fromkeys(keys, 2)


@pytest.mark.parametrize("choice", ["mine", "theirs"])
@pytest.mark.parametrize("model", [Tag, Webhook, ApiToken, Tenant])
def test_conflicts_are_found_for_other_kinds_of_rows(
    superuser: Client,
    acme: SimpleNamespace,
    model: Any,
    choice: str,
) -> None:
    hook = Webhook(tenant=acme.tenant, url="https://shop.example.com/", events=EVENTS)
    if model is Webhook:
        outbox.create(hook)
    row = {
        Tag: lambda: TagFactory.create(tenant=acme.tenant, name="old"), Webhook: lambda: hook,
        ApiToken: lambda: acme.token, Tenant: lambda: acme.tenant,
    }[model]()  # fmt: skip
    field, theirs, mine = "name", "theirs", "mine"
    if model is Webhook:
        field, theirs, mine = "url", "https://a.example.com/", "https://b.example.com/"
    typed = opened(superuser, row, **{field: mine}) | split_times(row)
    first = opened(superuser, row, **{field: theirs}) | split_times(row)
    assert save(superuser, row, first).status_code == 302
    answer = save(superuser, row, typed)
    [conflict] = answer.context["adminform"].form.contested()
    assert (conflict.theirs, conflict.mine) == (theirs, mine)
    assert "@" in conflict.by
    given = {conflict.radio: f"{choice} {conflict.seen}"}
    assert save(superuser, row, typed | given).status_code == 302
    row.refresh_from_db()
    assert getattr(row, field) == {"mine": mine, "theirs": theirs}[choice]


def test_saving_an_old_page_of_a_user_does_not_enable_the_user_again(
    superuser: Client,
    acme: SimpleNamespace,
    globex: SimpleNamespace,
) -> None:
    page = url(User, "change", acme.user.pk)
    shown = superuser.get(page).content.decode()
    assert "pbkdf2" not in shown, "no page carries the digest of a password"
    stale = user_form(superuser, page) | {"name": "Ann"}
    User.objects.filter(pk=acme.user.pk).update(is_active=False, is_staff=True)
    assert superuser.post(page, stale).status_code == 302
    acme.user.refresh_from_db()
    assert (acme.user.name, acme.user.is_active, acme.user.is_staff) == ("Ann", False, True)
    typed = user_form(superuser, page) | {"tenant": ""}
    User.objects.filter(pk=acme.user.pk).update(tenant=globex.tenant)
    [conflict] = superuser.post(page, typed).context["adminform"].form.contested()
    assert (conflict.theirs, conflict.mine) == ("Globex", "-")
    for choice, tenant in (("theirs", globex.tenant), ("mine", None)):
        given = {conflict.radio: f"{choice} {conflict.seen}"}
        assert superuser.post(page, typed | given).status_code == 302
        acme.user.refresh_from_db()
        assert acme.user.tenant == tenant


def user_form(client: Client, page: str) -> dict[str, Any]:
    """The data that a browser sends for the form: without boxes that are not checked."""
    data = contact_form(client, page)
    ticked = {name: value for name, value in data.items() if value is not False}
    return ticked | {"user_permissions": [], "groups": []}


def split_times(row: Any) -> dict[str, str]:
    """The times on the page of a token; each has two text boxes."""
    names = ("expires_at", "initial-expires_at") if isinstance(row, ApiToken) else ()
    return {f"{name}_{part}": "" for name in names for part in (0, 1)}


def test_saving_an_old_page_of_a_webhook_keeps_newer_events(
    superuser: Client,
    acme: SimpleNamespace,
) -> None:
    hook = Webhook(tenant=acme.tenant, url="https://shop.example.com/", events=EVENTS)
    outbox.create(hook)
    stale = opened(superuser, hook, url="https://a.example.com/")
    Webhook.objects.filter(pk=hook.pk).update(events=["contact.created"], import_rows=True)
    stale = {name: value for name, value in stale.items() if name != "import_rows"}
    assert save(superuser, hook, stale).status_code == 302
    hook.refresh_from_db()
    told = (hook.url, hook.events, hook.import_rows)
    assert told == ("https://a.example.com/", ["contact.created"], True)
