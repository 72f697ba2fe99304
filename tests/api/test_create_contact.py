"""create-contact: what goes in, what comes out, what is stored."""

import json
import re
from types import SimpleNamespace

import pytest

from contacts.models import Contact, ContactTag, Tag
from tests.support.api import CREATE, PHONE, Api
from tests.support.cases import in_one_test

pytestmark = [pytest.mark.both, pytest.mark.django_db]
REFERENCE_BODY = {
    "phone": "+14155550123",
    "name": "Romain",
    "email": "romain@example.com",
    "tags": "vip, fr-FR",
    "metadata": {"shopify_id": "12345", "lifetime_value": 8742.00},
}


def test_the_reference_request_gets_the_reference_answer(api: Api) -> None:
    response = api.create(**REFERENCE_BODY)
    assert response.status_code == 201
    assert response.headers["Content-Type"] == "application/json"
    body = response.json()
    assert list(body) == ["id", "phone", "name", "email", "tags", "created_at"]
    assert re.fullmatch("[0-9A-HJKMNP-TV-Z]{26}", body.pop("id"))
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\+00:00", body.pop("created_at"))
    assert body == {
        "phone": "+14155550123",
        "name": "Romain",
        "email": "romain@example.com",
        "tags": ["vip", "fr-FR"],
    }


def test_everything_sent_is_stored(api: Api, acme: SimpleNamespace) -> None:
    answer = api.create(**REFERENCE_BODY).json()
    contact = Contact.objects.get()
    assert contact.pk == answer["id"]
    assert contact.tenant == acme.tenant
    assert contact.metadata == REFERENCE_BODY["metadata"]
    assert contact.source == "api"
    assert {link.tag.name for link in contact.links.all()} == {"vip", "fr-FR"}


def test_a_phone_alone_is_enough(api: Api) -> None:
    body = api.create().json()
    assert (body["name"], body["email"], body["tags"]) == (None, None, [])


def test_a_repeated_call_changes_nothing_and_says_so(api: Api) -> None:
    first = api.create(**REFERENCE_BODY)
    stored = Contact.objects.get()
    second = api.create(**REFERENCE_BODY)
    assert first.headers["Qyvo-Result"] == "created"
    assert second.headers["Qyvo-Result"] == "unchanged"
    assert second.status_code == 201
    assert second.json() == first.json()
    assert Contact.objects.get().updated_at == stored.updated_at


def test_the_order_of_metadata_keys_is_no_change(api: Api) -> None:
    api.create(metadata={"a": 1, "b": {"x": [1, 2], "y": None}})
    again = api.create(metadata={"b": {"y": None, "x": [1, 2]}, "a": 1})
    assert again.headers["Qyvo-Result"] == "unchanged"


@in_one_test(
    "change",
    [
        {"name": "Romain B."},
        {"email": "Romain@example.com"},
        {"tags": "fr-FR, vip"},
        {"tags": "vip"},
        {"metadata": {"shopify_id": 12345, "lifetime_value": 8742.00}},
        {"metadata": {"shopify_id": "12345", "lifetime_value": True}},
    ],
)
def test_any_change_is_an_update(api: Api, change: dict) -> None:
    first = api.create(**REFERENCE_BODY).json()
    stored = Contact.objects.get()
    response = api.create(**REFERENCE_BODY | change)
    assert response.status_code == 201
    assert response.headers["Qyvo-Result"] == "updated"
    assert response.json()["id"] == first["id"]
    contact = Contact.objects.get()
    assert contact.updated_at > stored.updated_at
    assert contact.created_at == stored.created_at
    if "metadata" in change:
        assert json.dumps(contact.metadata, sort_keys=True) == json.dumps(
            change["metadata"], sort_keys=True
        ), "true is not 1"


def test_what_a_second_call_leaves_out_is_emptied(api: Api) -> None:
    first = api.create(**REFERENCE_BODY).json()
    second = api.create().json()
    assert second == first | {"name": None, "email": None, "tags": []}
    contact = Contact.objects.get()
    assert contact.metadata == {}
    assert not contact.links.exists()
    assert Tag.objects.count() == 2, "tags stay when nobody carries them"


@pytest.mark.parametrize("empty", [None, ""])
def test_null_and_an_empty_string_mean_empty(api: Api, empty: str | None) -> None:
    api.create(**REFERENCE_BODY)
    body = api.create(name=empty, email=empty, tags=empty, metadata=empty).json()
    assert (body["name"], body["email"], body["tags"]) == (None, None, [])
    assert Contact.objects.get().metadata == {}


def test_an_upsert_keeps_source_and_consent(api: Api, acme: SimpleNamespace) -> None:
    api.create()
    opted_out_at = Contact.objects.get().created_at
    Contact.objects.update(source="shopify", opted_out_at=opted_out_at, total_messages=3)
    api.create(name="Romain")
    contact = Contact.objects.get()
    assert (contact.source, contact.total_messages) == ("shopify", 3)
    assert (contact.opted_in_at, contact.opted_out_at) == (None, opted_out_at)


def test_unknown_fields_are_ignored(api: Api) -> None:
    response = api.create(id="01ARZ3NDEKTSV4RRFFQ69G5FAV", source="zapier", tenant="globex")
    assert response.status_code == 201
    assert response.json()["id"] != "01ARZ3NDEKTSV4RRFFQ69G5FAV"
    assert Contact.objects.get().source == "api"


@in_one_test(
    ("given", "stored"),
    [
        ("vip, beta-testers, fr-FR", ["vip", "beta-testers", "fr-FR"]),
        (["vip", " beta "], ["vip", "beta"]),
        (" b ,, a , b,", ["b", "a"]),
        ("VIP, vip", ["VIP", "vip"]),
        ("été, 顧客, 🎉", ["été", "顧客", "🎉"]),
        ([], []),
        ("x" * 100, ["x" * 100]),
        ([f"t{n}" for n in range(100)], [f"t{n}" for n in range(100)]),
    ],
)
def test_tags_come_back_trimmed_unique_and_in_order(
    api: Api, given: str | list, stored: list
) -> None:
    assert api.create(tags=given).json()["tags"] == stored
    assert sorted(Tag.objects.values_list("name", flat=True)) == sorted(stored)
    assert ContactTag.objects.count() == len(stored)


def test_name_and_email_are_trimmed(api: Api) -> None:
    body = api.create(name="  Romain \n", email=" r@example.com ").json()
    assert (body["name"], body["email"]) == ("Romain", "r@example.com")


@pytest.mark.parametrize(
    "name", ["x" * 255, "é" * 255, "Zoë 🎉", "<script>alert(1)</script>", "Robert'); DROP TABLE--"]
)
def test_a_name_of_up_to_255_characters_comes_back_as_it_is(api: Api, name: str) -> None:
    assert api.create(name=name).json()["name"] == name
    assert Contact.objects.get().name == name


def test_the_short_address_is_the_same_view(acme: SimpleNamespace) -> None:
    assert acme.api.send(json.dumps({"phone": PHONE}), "/v1/actions/create-contact").json() == (
        acme.api.create().json()
    )
    assert acme.api.get("/v1/me").json() == acme.api.get("/api/v1/me").json()


@pytest.mark.parametrize("accept", ["text/html", "application/xml", "image/*;q=0", "nonsense"])
def test_every_answer_is_json_whatever_is_asked_for(api: Api, accept: str) -> None:
    response = api.send(json.dumps({"phone": PHONE}), Accept=accept)
    assert response.status_code == 201
    assert response.headers["Content-Type"] == "application/json"
    assert api.send("{}", CREATE + "?format=api", Accept=accept).status_code == 422


@pytest.mark.parametrize(
    "content_type",
    ["application/json; charset=utf-8", "Application/JSON", "application/json;charset=UTF-8"],
)
def test_the_content_type_may_have_parameters_and_any_case(api: Api, content_type: str) -> None:
    assert api.send(json.dumps({"phone": PHONE}), content_type=content_type).status_code == 201


# Tenants


def test_one_phone_in_two_tenants_is_two_contacts(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    mine = acme.api.create(name="Ann's", tags="vip").json()
    theirs = globex.api.create(name="Gus's", tags="vip").json()
    assert mine["id"] != theirs["id"]
    assert theirs["name"] == "Gus's"
    assert Contact.objects.get(pk=mine["id"]).name == "Ann's"
    assert acme.tenant.contacts.count() == globex.tenant.contacts.count() == 1
    assert acme.tenant.tags.count() == globex.tenant.tags.count() == 1


def test_the_default_region_is_the_callers_tenants(
    acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    type(acme.tenant).objects.filter(pk=acme.tenant.pk).update(default_region="FR")
    assert acme.api.create("06 12 34 56 78").json()["phone"] == "+33612345678"
    assert acme.api.create("+1 415 555 0123").json()["phone"] == PHONE
    assert globex.api.create("06 12 34 56 78").status_code == 422


def test_me_names_the_user_and_the_tenant(acme: SimpleNamespace) -> None:
    assert acme.api.get("/api/v1/me").json() == {
        "id": acme.user.pk,
        "email": "ann@acme.example",
        "name": None,
        "tenant": {"id": acme.tenant.pk, "name": "Acme Co."},
    }


def test_me_answers_a_user_without_tenant(outsider: SimpleNamespace) -> None:
    assert outsider.api.get("/api/v1/me").json()["tenant"] is None
