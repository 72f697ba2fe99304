"""The admin uses the rules of the API and limits staff to their tenant."""

import json
import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib.admin.sites import site
from django.contrib.auth.models import Group, Permission
from django.db import connection
from django.template.loader import render_to_string
from django.test import Client
from django.urls import reverse
from django.utils.html import escape

from contacts.models import Contact, Tag
from contacts.values import rules
from tenants.admin import TenantScopedAdmin
from tenants.admin.tokens import revoke_page
from tenants.models import ApiToken, Tenant, User
from tests.support.admin import (
    contact_form,
    errors,
    listed,
    logged_in,
    password_page,
    token_form,
    url,
)
from tests.support.api import PHONE, Api
from tests.support.cases import in_one_test
from tests.support.factories import ContactFactory, TagFactory, UserFactory
from tests.support.sql import assert_links_match_tags, statements

pytestmark = pytest.mark.django_db


# The same rules as the API


def test_a_contact_added_by_staff_is_cleaned_and_belongs_to_their_tenant(
    staff: Client, acme: SimpleNamespace
) -> None:
    address = url(Contact, "add")
    data = contact_form(
        staff,
        address,
        phone=" (+1) 415-555.0123 ",
        name=" Romain ",
        email="r@example.com",
        tags="vip,, fr-FR, vip",
        metadata='{"a": 1, "a": [2.50, "é"]}',
    )
    assert staff.post(address, data).status_code == 302
    contact = Contact.objects.get()
    assert (contact.tenant, contact.source) == (acme.tenant, "manual")
    assert (contact.phone, contact.name, contact.email) == (PHONE, "Romain", "r@example.com")
    assert contact.tags == ["vip", "fr-FR"]
    assert contact.metadata == {"a": [2.5, "é"]}
    assert_links_match_tags()


@in_one_test(
    ("field", "value", "reason"),
    [
        ("phone", "415 555 0123", "international form"),
        ("phone", "", "required"),
        ("phone", "+1 415 555 0123 / 0124", "“/”"),
        ("name", "x" * 256, "255 characters"),
        ("name", "a\0", "U+0000"),
        ("email", "x", "valid address"),
        ("tags", "x" * 101, "100 characters"),
        ("tags", ",".join(f"t{n}" for n in range(101)), "at most 100"),
        ("metadata", "{", "line 1, column 2"),
        ("metadata", '["x"]', "JSON object"),
        ("metadata", '{"a": NaN}', "NaN"),
        ("metadata", '{"a": "\\u0000"}', "U+0000"),
        ("metadata", '{"a": "\\ud800"}', "U+D800"),
        ("metadata", '{"a": ' + "[" * 40 + "]" * 40 + "}", "32 levels"),
        ("metadata", json.dumps({"k": "x" * 65_529}), "65,537"),
    ],
)
def test_a_bad_value_is_a_form_error(staff: Client, field: str, value: str, reason: str) -> None:
    address = url(Contact, "add")
    data = contact_form(staff, address, phone=PHONE, tags="vip") | {field: value}
    found = errors(staff.post(address, data))
    assert list(found) == [field]
    assert reason in found[field][0]
    assert not Contact.objects.exists()
    assert not Tag.objects.exists()


def test_a_duplicate_phone_is_found_in_any_spelling(
    staff: Client, superuser: Client, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE, name="first")
    ContactFactory.create(tenant=globex.tenant, phone="+442079460958")
    address = url(Contact, "add")
    again = contact_form(staff, address, phone="001 415 555 0123")
    assert "already" in errors(staff.post(address, again))["phone"][0]
    again = contact_form(superuser, address, phone="001 415 555 0123", tenant=acme.tenant.pk)
    assert "already" in errors(superuser.post(address, again))["phone"][0]
    elsewhere = contact_form(staff, address, phone="+44 20 7946 0958")
    assert staff.post(address, elsewhere).status_code == 302
    assert acme.tenant.contacts.count() == 2


def test_a_phone_cannot_be_changed_to_the_phone_of_another_contact(
    staff: Client, acme: SimpleNamespace
) -> None:
    ContactFactory.create(tenant=acme.tenant, phone=PHONE)
    other = ContactFactory.create(tenant=acme.tenant, phone="+14155550124")
    address = url(Contact, "change", other.pk)
    assert "phone" in errors(staff.post(address, contact_form(staff, address, phone=PHONE)))
    fixed = contact_form(staff, address, phone="+1 415 555 0125")
    assert staff.post(address, fixed).status_code == 302
    other.refresh_from_db()
    assert other.phone == "+14155550125"


def test_a_phone_taken_between_validation_and_save_is_a_form_error(
    staff: Client, acme: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    from contacts.admin.contacts import ContactAdmin

    save = ContactAdmin.save_model

    def raced(self: Any, request: Any, obj: Contact, *args: Any) -> None:
        monkeypatch.undo()
        monkeypatch.setattr(ContactAdmin, "save_model", save)
        obj.phone = PHONE  # as if the check had not seen it
        save(self, request, obj, *args)

    ContactFactory.create(tenant=acme.tenant, phone=PHONE, name="first")
    address = url(Contact, "add")
    data = contact_form(staff, address, phone="+14155550199", name="second")
    monkeypatch.setattr(ContactAdmin, "save_model", raced)
    assert staff.post(address, data).status_code == 302
    names = acme.tenant.contacts.order_by("name").values_list("name", "phone")
    assert list(names) == [("first", PHONE), ("second", "+14155550199")]


def test_national_phones_use_the_region_of_the_tenant(
    superuser: Client, acme: SimpleNamespace
) -> None:
    Tenant.objects.filter(pk=acme.tenant.pk).update(default_region="FR")
    address = url(Contact, "add")
    data = contact_form(superuser, address, phone="06 12 34 56 78", tenant=acme.tenant.pk)
    assert superuser.post(address, data).status_code == 302
    assert Contact.objects.get().phone == "+33612345678"


def test_saving_writes_only_what_the_user_changed(staff: Client, acme: SimpleNamespace) -> None:
    contact = ContactFactory.create(tenant=acme.tenant, name="old", tags=["a"], metadata={"n": 1})
    address = url(Contact, "change", contact.pk)
    data = contact_form(staff, address, email="new@example.com")
    meanwhile = {"name": "new", "tags": ["b"], "metadata": {"n": 2}}
    acme.tenant.contacts.update_or_create(phone=contact.phone, defaults=meanwhile)
    assert staff.post(address, data).status_code == 302
    contact.refresh_from_db()
    assert (contact.name, contact.tags, contact.metadata) == ("new", ["b"], {"n": 2})
    assert contact.email == "new@example.com"


def test_changes_of_tags_and_metadata_keep_simultaneous_changes_of_programs(
    staff: Client, acme: SimpleNamespace
) -> None:
    contact = ContactFactory.create(
        tenant=acme.tenant, tags=["vip", "old"], metadata={"note": "a", "gone": 1, "order": 1}
    )
    address = url(Contact, "change", contact.pk)
    changes = {"tags": "vip,callback", "metadata": '{"note": "b", "order": 1}'}
    data = contact_form(staff, address, **changes)
    meanwhile = {"tags": ["vip", "old", "paid"], "metadata": contact.metadata | {"order": 2}}
    acme.tenant.contacts.update_or_create(phone=contact.phone, defaults=meanwhile)
    assert staff.post(address, data).status_code == 302
    contact.refresh_from_db()
    assert {*contact.tags} == {"vip", "paid", "callback"}
    assert contact.metadata == {"note": "b", "order": 2}
    assert_links_match_tags()


def test_exceeding_a_limit_together_with_a_program_is_a_form_error(
    staff: Client, acme: SimpleNamespace
) -> None:
    contact = ContactFactory.create(tenant=acme.tenant, tags=["a"])
    address = url(Contact, "change", contact.pk)
    data = contact_form(staff, address, tags="a,b")
    many = [f"tag {n}" for n in range(rules.MAX_TAGS)]
    acme.tenant.contacts.update_or_create(phone=contact.phone, defaults={"tags": many})
    [sentence] = errors(staff.post(address, data))["tags"]
    assert sentence.startswith(f"A contact has at most {rules.MAX_TAGS} tags")
    assert Contact.objects.get().tags == many


def test_saving_reads_the_contact_once_and_locks_it(staff: Client, acme: SimpleNamespace) -> None:
    contact = ContactFactory.create(tenant=acme.tenant, name="old", tags=["a"])
    address = url(Contact, "change", contact.pk)
    data = contact_form(staff, address, name="new", tags="a,b")
    sql = statements(lambda: staff.post(address, data))
    [read] = [one for one in sql if re.match(r'SELECT .* FROM "contacts_contact"', one)]
    assert read.endswith('FOR UPDATE OF "contacts_contact"') or connection.vendor == "sqlite"
    contact.refresh_from_db()
    assert (contact.name, contact.tags) == ("new", ["a", "b"])
    assert contact.tenant.changes.latest("pk").fields.keys() == {"name", "tags"}


def test_saving_without_a_change_writes_nothing(staff: Client, acme: SimpleNamespace) -> None:
    contact = ContactFactory.create(
        tenant=acme.tenant, tags=["b", "a"], metadata={"b": "é", "a": [1.0, {"x": None}]}
    )
    address = url(Contact, "change", contact.pk)
    assert staff.post(address, contact_form(staff, address)).status_code == 302
    assert Contact.objects.get().updated_at == contact.updated_at


@pytest.mark.parametrize(("stored", "posted"), [(1, "true"), (True, "1"), (1, "1.0"), (0, "false")])
def test_a_change_between_values_that_python_considers_equal_is_saved(
    staff: Client, acme: SimpleNamespace, stored: Any, posted: str
) -> None:
    contact = ContactFactory.create(tenant=acme.tenant, metadata={"a": stored})
    address = url(Contact, "change", contact.pk)
    data = contact_form(staff, address, metadata=f'{{"a": {posted}}}')
    assert staff.post(address, data).status_code == 302
    contact.refresh_from_db()
    assert json.dumps(contact.metadata["a"]) == posted


def test_every_value_that_the_api_accepted_can_be_edited(
    staff: Client, acme: SimpleNamespace
) -> None:
    body = '{"phone": "%s", "metadata": {"n": [%s], "t": 5e-324}}' % (PHONE, "1e300," * 99 + "1")
    assert acme.api.send(body).status_code == 201
    address = url(Contact, "change", Contact.objects.get().pk)
    assert staff.post(address, contact_form(staff, address, name="new")).status_code == 302
    assert Contact.objects.get().name == "new"


def test_a_request_without_some_fields_is_a_form_error(staff: Client) -> None:
    assert "phone" in errors(staff.post(url(Contact, "add"), {}))
    assert staff.post(url(Contact, "add"), {"phone": PHONE}).status_code == 302


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(
    "query",
    ["source=%00", "q=%00", "q=%EF%BF%BD", "name=%00", "name__regex=[", "metadata__contains={",
     "id=x", "p=x", "p=99999", "o=x", "tag=%00", "nonsense=1", "tenant=x", "created_at=x",
     "created_at__lt=9999-12-31T23:59:59-14:00", "created_at__year=99999999999",
     "created_to=9999-12-31", "updated_from=0001-01-01", "e=1&tag=x", "e=1&phone__regex=(",
     "o=6&after=0001-01-01T00:00:00%2B14:00~01M8648WV59PDQJAG60764PTZG",
     "o=6&after=2026-01-01~01M8648WV59PDQJAG60764PTZG"],
)  # fmt: skip
def test_an_invalid_look_up_in_a_url_is_no_server_error(
    staff: Client, acme: SimpleNamespace, query: str
) -> None:
    ContactFactory.create(tenant=acme.tenant)
    for model in (Contact, Tag, User, ApiToken, Tenant):
        address = url(model, "changelist")
        assert staff.get(f"{address}?{query}").status_code in {200, 302, 400}
    action = {"action": "delete_selected", "_selected_action": ["x"], "post": "yes"}
    for address in (url(Contact, "changelist"), f"{url(Contact, 'changelist')}?e=1"):
        assert staff.post(address, action).status_code == 302


@pytest.mark.parametrize("page", ["x", "0", "99", "1"])
def test_an_invalid_page_of_the_site_search_is_no_server_error(staff: Client, page: str) -> None:
    answer = staff.get("/admin/search/", {"s": "a", "page": page})
    assert answer.status_code == (200 if page == "1" else 404)


def test_pages_of_errors_say_what_to_do_and_lead_on(staff: Client, acme: SimpleNamespace) -> None:
    user = UserFactory.create(tenant=acme.tenant, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    forger = Client(enforce_csrf_checks=True)
    answers = {
        403: (logged_in(user).get(url(Contact, "add")), "Ask a manager"),
        404: (staff.get("/admin/contacts/nothing/"), "has been deleted"),
        "CSRF": (forger.post("/admin/login/"), "load the page again"),
    }
    for name, (answer, advice) in answers.items():
        page = answer.content.decode()
        assert answer.status_code == (403 if name == "CSRF" else name)
        assert advice in page
        assert f'href="{reverse("admin:index")}"' in page
    for name in ("400", "500", "503"):
        assert "Go to the overview" in render_to_string(f"{name}.html")


@pytest.mark.parametrize("page", ["/admin/r/1/x/", "/admin/contacts/contact/x/change/"])
def test_a_wrong_id_in_a_url_is_not_found(superuser: Client, page: str) -> None:
    assert superuser.get(page).status_code in {302, 404}


def test_values_are_escaped_on_every_page(staff: Client, acme: SimpleNamespace) -> None:
    attack = "<script>alert(1)</script>"
    acme.api.create(PHONE, name="before")
    acme.api.create(PHONE, name=attack, tags=[attack], metadata={attack: attack})
    contact = acme.tenant.contacts.get()
    tag = acme.tenant.tags.get()
    for address in [
        url(Contact, "changelist"),
        url(Contact, "change", contact.pk),
        url(Contact, "delete", contact.pk),
        url(Contact, "history", contact.pk),
        url(Tag, "changelist"),
        url(Tag, "delete", tag.pk),
    ]:
        page = staff.get(address).content.decode()
        assert escape(attack) in page, address
        assert attack not in page, address


# Search


@in_one_test(
    ("query", "found"),
    [
        ("+14155550123", {"Romain"}),
        ("(415) 555-0123", {"Romain"}),
        ("001 415 555 01 23", {"Romain"}),
        ("0123", {"Romain", "Zoë"}),
        ("020 7946 0123", {"Zoë"}),
        ("0044 20 7946", {"Zoë"}),
        ("＋４４ ２０", {"Zoë"}),
        ("roma", {"Romain"}),
        ("ZO", {"Zoë"}),
        ("acme.example", {"Romain", "Zoë"}),
        ("zoe acme", {"Zoë"}),
        ("999999", set()),
        ("+", {"Romain", "Zoë"}),
        ("zoë 0958", set()),
        ("%", set()),
        ("", {"Romain", "Zoë"}),
    ],
)
def test_search_finds_names_emails_and_phones_in_any_spelling(
    staff: Client, acme: SimpleNamespace, query: str, found: set[str]
) -> None:
    for phone, name, email in [
        ("+14155550123", "Romain", "romain@acme.example"),
        ("+442079460123", "Zoë", "zoe@acme.example"),
    ]:
        ContactFactory.create(tenant=acme.tenant, phone=phone, name=name, email=email)
    assert listed(staff, Contact, q=query) == found


def test_contacts_are_filtered_by_tag(staff: Client, acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant, name="A", tags=["vip", "x"])
    ContactFactory.create(tenant=acme.tenant, name="B", tags=["x"])
    vip = acme.tenant.tags.get(name="vip")
    assert listed(staff, Contact, tag=vip.pk) == {"A"}
    assert listed(staff, Contact, tag="nonsense") == set()


def test_the_list_of_tags_counts_their_contacts_in_one_statement(
    staff: Client, acme: SimpleNamespace, django_assert_max_num_queries: Any
) -> None:
    for tags in (["a", "b"], ["b"], ["b"]):
        ContactFactory.create(tenant=acme.tenant, tags=tags)
    for number in range(30):
        TagFactory.create(tenant=acme.tenant, name=f"tag-{number}")
    with django_assert_max_num_queries(13):
        response = staff.get(url(Tag, "changelist"))
    counts = {tag.name: tag.contacts_count for tag in response.context["cl"].result_list}
    assert (counts["a"], counts["b"], counts["tag-1"]) == (1, 3, 0)


def test_the_list_of_contacts_costs_a_constant_number_of_statements(
    staff: Client, acme: SimpleNamespace, django_assert_max_num_queries: Any
) -> None:
    for number in range(30):
        ContactFactory.create(tenant=acme.tenant, tags=[f"t{number}"])
    with django_assert_max_num_queries(10):
        staff.get(url(Contact, "changelist"))


# Tags


def test_renaming_and_deleting_a_tag_changes_its_contacts(
    staff: Client, acme: SimpleNamespace
) -> None:
    contact = ContactFactory.create(tenant=acme.tenant, tags=["a", "b"])
    address = url(Tag, "change", acme.tenant.tags.get(name="a").pk)
    assert staff.post(address, contact_form(staff, address, name=" A+ ")).status_code == 302
    contact.refresh_from_db()
    assert contact.tags == ["A+", "b"]
    address = url(Tag, "delete", acme.tenant.tags.get(name="b").pk)
    assert "<strong>1</strong> contact" in staff.get(address).content.decode()
    assert staff.post(address, {"count": "1"}).status_code == 302
    assert not acme.tenant.tags.filter(name="b").exists()
    contact.refresh_from_db()
    assert contact.tags == ["A+"]
    assert_links_match_tags()


@pytest.mark.parametrize(
    ("name", "reason"),
    [("", "Enter a name"), ("a,b", "comma"), ("x" * 101, "100"), ("taken", "already")],
)
def test_a_bad_tag_name_is_a_form_error(
    staff: Client, acme: SimpleNamespace, name: str, reason: str
) -> None:
    TagFactory.create(tenant=acme.tenant, name="taken")
    address = url(Tag, "add")
    assert reason in errors(staff.post(address, contact_form(staff, address, name=name)))["name"][0]


def issued_token(response: Any) -> str:
    match = re.search(r'value="(qyvo_\w{43})"', response.content.decode())
    assert match, response.content.decode()
    return match[1]


def test_a_token_is_issued_from_the_admin_and_shown_once(
    staff: Client, acme: SimpleNamespace
) -> None:
    address = url(ApiToken, "add")
    data = token_form(name="shop", user=acme.user.pk)
    response = staff.post(address, data)
    assert response.status_code == 200
    assert "no-store" in response.headers["Cache-Control"]
    plaintext = issued_token(response)
    assert Api(plaintext).create().status_code == 201
    token = ApiToken.objects.get(name="shop")
    for page in [
        url(ApiToken, "changelist"),
        url(ApiToken, "change", token.pk),
        url(ApiToken, "history", token.pk),
        reverse("admin:index"),
    ]:
        text = staff.get(page).content.decode()
        assert plaintext not in text
        assert token.digest not in text


def test_changing_a_token_keeps_its_secret(staff: Client, acme: SimpleNamespace) -> None:
    address = url(ApiToken, "change", acme.token.pk)
    data = token_form(name="renamed")
    assert staff.post(address, data).status_code == 302
    assert acme.api.get("/api/v1/me").status_code == 200
    assert ApiToken.objects.get().name == "renamed"


def test_selected_tokens_are_revoked_after_a_question(staff: Client, acme: SimpleNamespace) -> None:
    action = {"action": "revoke", "_selected_action": [acme.token.pk]}
    page = staff.post(url(ApiToken, "changelist"), action)["Location"]
    assert page == revoke_page([acme.token.pk])
    assert acme.token.name in staff.get(page).content.decode()
    assert acme.api.get("/api/v1/me").status_code == 200
    assert staff.post(page).status_code == 302
    assert acme.api.get("/api/v1/me").status_code == 401
    for ids in ([acme.token.pk], ["x", "٣", "9" * 30], []):
        answer = staff.post(revoke_page(ids), follow=True)
        assert "Nothing to revoke." in answer.content.decode()


def test_a_new_token_may_read_for_90_days_unless_more_is_chosen(
    staff: Client, acme: SimpleNamespace
) -> None:
    form = staff.get(url(ApiToken, "add")).context["adminform"].form
    assert form["scopes"].initial == ["contacts:read"]
    assert form["expires_in"].initial == "90"
    typed = {"expires_in": "90", "expires_at_0": "2099-12-31", "expires_at_1": "00:00:00"}
    data = token_form(name="typed", user=acme.user.pk) | typed
    assert staff.post(url(ApiToken, "add"), data).status_code == 200
    assert f"{ApiToken.objects.get(name='typed').expires_at:%Y}" == "2099"


# Tenants and users


def test_a_superuser_creates_a_tenant_and_its_user(superuser: Client) -> None:
    tenant = {"name": "New", "slug": "new", "default_region": "US"}
    assert superuser.post(url(Tenant, "add"), tenant).status_code == 302
    bad = superuser.post(url(Tenant, "add"), tenant | {"slug": "bad", "default_region": "XX"})
    assert "default_region" in errors(bad)
    user = {
        "email": "New@Example.com",
        "tenant": Tenant.objects.get(slug="new").pk,
        "usable_password": "false",
    }
    assert superuser.post(url(User, "add"), user).status_code == 302
    made = User.objects.get(email="new@example.com")
    assert made.tenant is not None
    assert made.tenant.slug == "new"
    again = superuser.post(url(User, "add"), user | {"email": "NEW@example.com"})
    assert "email" in errors(again)


def test_staff_log_in_with_their_email_in_any_case(acme: SimpleNamespace) -> None:
    user = UserFactory.create(email="staff@acme.example", tenant=acme.tenant, is_staff=True)
    user.set_password("correct horse battery")
    user.save()
    login = {"username": "Staff@ACME.example", "password": "correct horse battery"}
    response = Client().post(reverse("admin:login"), login)
    assert response.status_code == 302
    assert Client().post(reverse("admin:login"), login | {"password": "x"}).status_code == 200


# Isolation


@pytest.fixture
def foreign(globex: SimpleNamespace) -> SimpleNamespace:
    """Rows of Globex, which staff of Acme must never see or reach."""
    contact = ContactFactory.create(
        tenant=globex.tenant, phone=PHONE, name="Gus's customer", tags=["secret"]
    )
    return SimpleNamespace(
        rows=[contact, globex.tenant.tags.get(), globex.tenant, globex.user, globex.token],
        globex=globex,
        contact=contact,
        tag=globex.tenant.tags.get(),
    )


def test_staff_see_no_row_of_another_tenant_in_any_list(
    staff: Client, acme: SimpleNamespace, foreign: SimpleNamespace
) -> None:
    ContactFactory.create(tenant=acme.tenant, name="ours", tags=["our tag"])
    assert listed(staff, Contact) == {"ours"}
    assert listed(staff, Tag) == {"our tag"}
    assert listed(staff, Tenant) == {"Acme Co."}
    assert listed(staff, ApiToken) == {str(acme.token)}
    assert not {user for user in listed(staff, User) if "globex" in user}
    assert listed(staff, Contact, q=PHONE) == set()
    assert listed(staff, Contact, tag=foreign.tag.pk) == set(), "no such tag for them"
    assert "secret" not in staff.get(url(Contact, "changelist")).content.decode()


@pytest.mark.parametrize("page", ["change", "delete", "history"])
def test_staff_reach_no_row_of_another_tenant_by_url(
    staff: Client, foreign: SimpleNamespace, page: str
) -> None:
    for row in foreign.rows:
        for response in (
            staff.get(url(type(row), page, row.pk), follow=False),
            staff.post(url(type(row), page, row.pk), {"post": "yes", "name": "taken over"}),
        ):
            assert response.status_code in {302, 404}, (row, page)
            assert "taken over" not in str(response.headers)
        row.refresh_from_db()
        assert getattr(row, "name", "") != "taken over"


def test_staff_reach_no_row_of_another_tenant_by_action(
    staff: Client, foreign: SimpleNamespace
) -> None:
    for row in foreign.rows:
        for action in ("delete_selected", "revoke"):
            data = {"action": action, "_selected_action": [row.pk], "post": "yes"}
            staff.post(url(type(row), "changelist"), data)
        row.refresh_from_db()
    staff.post(revoke_page([foreign.globex.token.pk]))
    assert foreign.globex.api.get("/api/v1/me").status_code == 200


def test_rows_without_a_tenant_are_for_superusers_only(
    staff: Client, superuser: Client, foreign: SimpleNamespace
) -> None:
    """Covers every registered model, also those of other packages."""
    unscoped = [
        m for m, shown in site._registry.items() if not isinstance(shown, TenantScopedAdmin)
    ]
    assert {model.__name__ for model in unscoped} == {"Group", "DBTaskResult"}
    for model in unscoped:
        assert superuser.get(url(model, "changelist")).status_code == 200
        assert staff.get(url(model, "changelist")).status_code == 403


def test_staff_cannot_issue_a_token_for_a_user_of_another_tenant(
    staff: Client, foreign: SimpleNamespace
) -> None:
    before = ApiToken.objects.count()
    data = token_form(name="x", user=foreign.globex.user.pk)
    assert "user" in errors(staff.post(url(ApiToken, "add"), data))
    assert ApiToken.objects.count() == before


def test_staff_cannot_add_a_contact_to_another_tenant(
    staff: Client, acme: SimpleNamespace, foreign: SimpleNamespace
) -> None:
    address = url(Contact, "add")
    data = contact_form(staff, address, phone="+14155550188") | {"tenant": foreign.globex.tenant.pk}
    staff.post(address, data)
    assert foreign.globex.tenant.contacts.count() == 1
    assert acme.tenant.contacts.get().phone == "+14155550188"


def test_staff_cannot_make_anybody_a_superuser(staff: Client, acme: SimpleNamespace) -> None:
    address = url(User, "change", acme.user.pk)
    data = {
        "email": acme.user.email,
        "name": "renamed",
        "is_active": "on",
        "is_staff": "on",
        "is_superuser": "on",
        "user_permissions": [Permission.objects.all()[0].pk],
        "tenant": "",
    }
    assert staff.post(address, data).status_code == 302
    acme.user.refresh_from_db()
    assert (acme.user.name, acme.user.tenant) == ("renamed", acme.tenant)
    assert not acme.user.is_superuser
    assert not acme.user.user_permissions.exists()


def test_staff_cannot_open_a_superuser_of_their_tenant(
    staff: Client, acme: SimpleNamespace
) -> None:
    boss = UserFactory.create(tenant=acme.tenant, is_staff=True, is_superuser=True)
    token = ApiToken.objects.issue(boss, "boss")
    assert str(boss) not in listed(staff, User)
    assert staff.get(url(User, "change", boss.pk)).status_code == 302
    assert staff.get(password_page(boss)).status_code == 404
    assert staff.get(url(ApiToken, "change", token.pk)).status_code == 302


def test_staff_cannot_set_the_password_of_users_with_the_same_permissions(
    staff: Client, acme: SimpleNamespace, globex: SimpleNamespace
) -> None:
    """A new password would give staff the permissions of that user. Users with fewer
    permissions are no risk."""
    colleague = UserFactory.create(tenant=acme.tenant, is_staff=True)
    colleague.user_permissions.set(Permission.objects.all())
    helper = UserFactory.create(tenant=acme.tenant, is_staff=True)
    new = {"password1": "correct horse battery", "password2": "correct horse battery"}
    for is_active in (True, False):
        User.objects.filter(pk=colleague.pk).update(is_active=is_active)
        assert staff.post(password_page(colleague), new).status_code == 403
        assert staff.post(url(User, "delete", colleague.pk), {"post": "yes"}).status_code == 403
    assert staff.post(password_page(globex.user), new).status_code == 404
    for user in (helper, acme.user):
        assert staff.post(password_page(user), new).status_code == 302
        user.refresh_from_db()
        assert user.check_password("correct horse battery")


def test_groups_are_for_superusers_only(staff: Client, superuser: Client) -> None:
    """Groups give permissions and belong to no tenant."""
    group = Group.objects.create(name="everybody's")
    for address in (url(Group, "changelist"), url(Group, "add"), url(Group, "change", group.pk)):
        assert staff.get(address).status_code == 403
        assert staff.post(address, {"name": "taken over"}).status_code == 403
        assert superuser.get(address).status_code == 200
    assert url(Group, "changelist") not in staff.get(reverse("admin:index")).content.decode()


def test_autocomplete_finds_nothing_of_another_tenant(
    staff: Client, acme: SimpleNamespace, foreign: SimpleNamespace
) -> None:
    TagFactory.create(tenant=acme.tenant, name="our secret")
    for app, model, field, ours in (
        ("tenants", "apitoken", "user", "ann@acme.example"),
        ("tenants", "user", "tenant", "Acme Co."),
        ("contacts", "contacttag", "tag", "our secret"),
    ):
        asked = {"app_label": app, "model_name": model, "field_name": field, "term": "e"}
        results = staff.get(reverse("admin:autocomplete"), asked).json()["results"]
        found = {result["text"] for result in results}
        assert ours in found
        assert not {text for text in found if "globex" in text.lower() or text == "secret"}


def test_staff_without_a_tenant_see_nothing(acme: SimpleNamespace) -> None:
    ContactFactory.create(tenant=acme.tenant)
    user = UserFactory.create(tenant=None, is_staff=True)
    user.user_permissions.set(Permission.objects.all())
    client = logged_in(user)
    for model in (Contact, Tag, Tenant, User, ApiToken):
        assert listed(client, model) == set()
        assert client.get(url(model, "add")).status_code == 403


def test_staff_with_view_permissions_cannot_change_anything(acme: SimpleNamespace) -> None:
    contact = ContactFactory.create(tenant=acme.tenant, tags=["a"], metadata={"k": [1]})
    user = UserFactory.create(tenant=acme.tenant, is_staff=True)
    user.user_permissions.set(Permission.objects.filter(codename__startswith="view_"))
    client = logged_in(user)
    rows = [contact, acme.tenant.tags.get(), acme.user, acme.token, acme.tenant]
    for row in rows:
        assert client.get(url(type(row), "change", row.pk)).status_code == 200
        assert client.post(url(type(row), "change", row.pk), {"name": "x"}).status_code == 403
        assert client.post(url(type(row), "delete", row.pk), {"post": "yes"}).status_code == 403
        assert client.get(url(type(row), "add")).status_code == 403
        assert type(row)._default_manager.filter(pk=row.pk).exists()
    action = {"action": "revoke", "_selected_action": [acme.token.pk]}
    client.post(url(ApiToken, "changelist"), action)
    assert client.post(revoke_page([acme.token.pk])).status_code == 403
    assert ">Revoke<" not in client.get(url(ApiToken, "changelist")).content.decode()
    assert acme.api.get("/api/v1/me").status_code == 200


def test_superusers_see_every_tenant(
    superuser: Client, acme: SimpleNamespace, foreign: SimpleNamespace
) -> None:
    ContactFactory.create(tenant=acme.tenant, name="ours", tags=["our tag"])
    assert listed(superuser, Contact) == {"ours", "Gus's customer"}
    assert listed(superuser, Tag) == {"our tag", "secret"}
    for row in foreign.rows:
        assert superuser.get(url(type(row), "change", row.pk)).status_code == 200


def test_a_user_who_is_not_staff_is_sent_to_the_login(acme: SimpleNamespace) -> None:
    response = logged_in(acme.user).get(url(Contact, "changelist"))
    assert response.status_code == 302
    assert reverse("admin:login") in response.headers["Location"]
