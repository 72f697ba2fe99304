"""Names of users and contacts in the admin: shown only to users who may see them."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.test import Client
from django.utils import timezone

from contacts.admin.describe import consent_of
from contacts.change_log.cause import caused_by
from contacts.jobs import bulk_actions
from contacts.models import BulkAction, Change, Contact
from contacts.writing import consent, merge
from contacts.writing.consent import Decision
from tenants.fields import new_ulid
from tests.support.admin import logged_in, url
from tests.support.api import PHONE
from tests.support.factories import ContactFactory, UserFactory
from tests.support.sql import statements

pytestmark = pytest.mark.django_db


def staff_of(tenant: Any, *codenames: str) -> Client:
    user = UserFactory.create(tenant=tenant, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__in=codenames))
    return logged_in(user)


def planned(member: SimpleNamespace, actor: str = "") -> BulkAction:
    kind, actor = BulkAction.Kind.ADD_TAG, actor or f"user:{member.user.pk}"
    return bulk_actions.plan(member.tenant, actor, kind, "vip", [])


def page(client: Client) -> str:
    return client.get(url(BulkAction, "changelist")).content.decode()


def test_the_list_of_bulk_actions_shows_names_of_users(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    for member in (acme, globex):
        planned(member)
    shown = page(staff_of(acme.tenant, "change_contact"))
    assert acme.user.email in shown
    assert f"user:{acme.user.pk}<" not in shown
    assert globex.user.email not in shown
    root = UserFactory.create(tenant=None, is_staff=True, is_superuser=True)
    shown = page(logged_in(root))
    assert acme.user.email in shown
    assert globex.user.email in shown


def test_an_actor_of_another_tenant_is_shown_without_a_name(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    planned(acme, f"user:{globex.user.pk}")
    shown = page(staff_of(acme.tenant, "change_contact"))
    assert globex.user.email not in shown
    assert f"user:{globex.user.pk}" in shown


def test_the_list_of_bulk_actions_costs_a_constant_number_of_statements(
    acme: SimpleNamespace,
) -> None:
    client, numbers = staff_of(acme.tenant, "change_contact"), []
    for more in (2, 18):
        for _ in range(more):
            planned(acme, f"user:{UserFactory.create(tenant=acme.tenant).pk}")
        page(client)
        numbers.append(len(statements(lambda: page(client))))
    assert numbers[0] == numbers[1]


def test_the_consent_sentence_names_the_user_who_merged(acme: SimpleNamespace) -> None:
    kept = ContactFactory.create(tenant=acme.tenant, phone=PHONE)
    other = ContactFactory.create(tenant=acme.tenant)
    decision = Decision(Change.Kind.OPTED_OUT, timezone.now())
    consent.decide_one(acme.tenant, {"contact_id": other.pk}, decision)
    with caused_by(f"user:{acme.user.pk}", new_ulid()):
        merge.merge_into(acme.tenant, kept.pk, [other.pk])
    sentence = consent_of(Contact.objects.get(pk=kept.pk))
    assert f"set by {acme.user.email} on" in sentence


@pytest.mark.parametrize(
    ("codenames", "is_told"),
    [(["change_tag"], False), (["change_tag", "view_contact"], True)],
    ids=["tags only", "contacts too"],
)
def test_failed_phones_are_shown_only_to_users_who_may_view_contacts(
    acme: SimpleNamespace, codenames: list[str], is_told: bool
) -> None:
    action = planned(acme)
    reason = "has decided something at a later time"
    BulkAction.objects.filter(pk=action.pk).update(
        refused=1, refusals=[[PHONE, reason]], finished_at=timezone.now()
    )
    client = staff_of(acme.tenant, *codenames)
    answer = client.get(url(BulkAction, "change", action.pk))
    assert answer.status_code == 200
    shown = answer.content.decode()
    assert "Failed: 1" in shown
    assert [text in shown for text in (PHONE, reason)] == [is_told] * 2
