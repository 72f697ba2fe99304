"""The page of fields that a tenant defines."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.apps import apps
from django.contrib.auth.models import Group
from django.template.response import TemplateResponse
from django.test import Client

from contacts.models import MetadataField
from contacts.values.defined_fields import MAX_FIELDS
from tenants import roles
from tenants.models import Tenant
from tests.support.admin import (
    listed,
    logged_in,
    staff_of,
    url,
)
from tests.support.factories import ContactFactory, UserFactory

pytestmark = [pytest.mark.both, pytest.mark.django_db]

ADD = url(MetadataField, "add")


def with_role(tenant: Tenant, role: str) -> Client:
    roles.grant(apps, ["contacts.metadatafield"])
    user = UserFactory.create(tenant=tenant, is_staff=True)
    user.groups.set(Group.objects.filter(name=role))
    return logged_in(user)


def field(**given: Any) -> dict[str, Any]:
    """The data that a browser sends for the form of a field."""
    empty = {"label": "", "key": "", "kind": "text", "choices": "", "position": 0}
    return empty | given


def errors_of(client: Client, **given: Any) -> dict[str, list[str]]:
    """Why the form refuses the field; its page is not rendered."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TemplateResponse, "rendered_content", "")
        answer: Any = client.post(ADD, field(**given))
    return answer.context_data["adminform"].form.errors


def defined(tenant: Any, *rows: tuple[str, str, list[str]]) -> list[MetadataField]:
    """Fields of these labels, kinds and choices; the key is the label in lower case."""
    return [
        MetadataField.objects.create(
            tenant=tenant, label=label, key=label.lower(), kind=kind, choices=some, position=number
        )
        for number, (label, kind, some) in enumerate(rows)
    ]


def test_a_manager_defines_edits_and_deletes_a_field_and_the_values_stay(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    manager = with_role(acme.tenant, roles.MANAGER)
    theirs = defined(globex.tenant, ("Size", "text", []))[0]
    contact = ContactFactory.create(tenant=acme.tenant, metadata={"date_of_birth": "soon"})
    answer = manager.post(ADD, field(label="Date of birth", kind="date"))
    assert answer.status_code == 302
    own = MetadataField.objects.get(tenant=acme.tenant)
    assert (own.key, own.kind, own.definition.choices) == ("date_of_birth", "date", ())
    assert listed(manager, MetadataField) == {"Date of birth"}
    page = url(MetadataField, "change", own.pk)
    assert manager.post(page, field(label="Birthday", kind="date", key="x")).status_code == 302
    own.refresh_from_db()
    assert (own.label, own.key) == ("Birthday", "date_of_birth")
    assert manager.get(url(MetadataField, "change", theirs.pk)).status_code == 302
    gone = manager.post(url(MetadataField, "delete", own.pk), {"post": "yes"}, follow=True)
    assert "The values stay in the metadata of the contacts." in gone.content.decode()
    assert [*MetadataField.objects.all()] == [theirs]
    contact.refresh_from_db()
    assert contact.metadata == {"date_of_birth": "soon"}


def test_others_than_managers_do_not_see_the_page_of_fields(acme: SimpleNamespace) -> None:
    row = defined(acme.tenant, ("Size", "text", []))[0]
    for role in (roles.VIEWER, roles.EDITOR):
        client = with_role(acme.tenant, role)
        for page in (ADD, url(MetadataField, "changelist"), url(MetadataField, "change", row.pk)):
            assert client.get(page).status_code == 403
    outsider = logged_in(staff_of(None))
    assert outsider.get(ADD).status_code == 403
    assert listed(outsider, MetadataField) == set()


MISLEADING: list[tuple[dict[str, Any], str, str]] = [
    ({"label": ""}, "label", "Enter a label"),
    ({"label": "E-Mail"}, "label", "Imports read a column “E-Mail” as something else."),
    ({"label": "Opted in at"}, "label", "as something else"),
    ({"label": "Error"}, "label", "as something else"),
    ({"label": "SIZE"}, "label", "The field “Size” has this label."),
    ({"label": "Shoe", "key": "size"}, "key", "Another field has the key “size”."),
    ({"label": "Shoe", "kind": "choice"}, "choices", "Enter the choices"),
    ({"label": "Shoe", "kind": "choice", "choices": "A\na"}, "choices", "are the same"),
    ({"label": "Shoe", "position": 10**30}, "position", "less than or equal to 9999"),
    ({"label": "a\x00"}, "label", "U+0000"),
]


def test_a_definition_that_would_mislead_is_refused(acme: SimpleNamespace) -> None:
    defined(acme.tenant, ("Size", "text", []))
    staff = logged_in(staff_of(acme.tenant))
    for given, name, sentence in MISLEADING:
        assert sentence in " ".join(errors_of(staff, **given)[name])
    assert MetadataField.objects.count() == 1


def test_a_tenant_has_at_most_fifty_fields(acme: SimpleNamespace, globex: SimpleNamespace) -> None:
    defined(acme.tenant, *((f"F{number}", "text", []) for number in range(MAX_FIELDS)))
    refused = errors_of(logged_in(staff_of(acme.tenant)), label="One more")
    assert refused["__all__"] == ["A tenant has at most 50 fields. Delete one first."]
    other = logged_in(staff_of(globex.tenant)).post(ADD, field(label="One more"))
    assert other.status_code == 302
