"""U+0000 in every input of the admin. PostgreSQL cannot store this character and refuses to search
for it, so each input must refuse it first."""

from types import SimpleNamespace
from typing import Any

import pytest
from django.contrib import admin
from django.contrib.contenttypes.models import ContentType
from django.db.models import Model
from django.test import Client
from django.urls import NoReverseMatch, reverse

from contacts.models import Duplicate
from tests.support.admin import logged_in, permit, url
from tests.support.cases import in_one_test
from tests.support.factories import ContactFactory, UserFactory

pytestmark = pytest.mark.django_db
NUL = "\0"
MODELS = sorted(admin.site._registry, key=lambda model: model._meta.label)
CREATED = [model for model in MODELS if model is not Duplicate]  # they have a page to add a row
OF_A_ROW = ["change", "delete", "history", "consent", "undo", "merge", "rotate", "preview"]
SUGGESTED = [
    "contacts.contacttag.tag", "contacts.contacttag.contact", "tenants.apitoken.user",
    "contacts.contact.tenant", "tenants.user.groups", f"{NUL}.{NUL}.{NUL}",
    f"contacts.contact.{NUL}",
]  # fmt: skip


@pytest.fixture(params=["staff", "superuser"])
def client(request: Any, acme: SimpleNamespace) -> Client:
    """Clients of a user with all permissions of the tenant, and of a superuser."""
    ContactFactory.create(tenant=acme.tenant, tags=["vip"])
    is_superuser = request.param == "superuser"
    user = UserFactory.create(tenant=acme.tenant, is_staff=True, is_superuser=is_superuser)
    permit(user)
    client = logged_in(user)
    client.raise_request_exception = False
    return client


def parameters(model: type[Model]) -> list[str]:
    """The URL parameters that the list or the form of the model reads."""
    fields = [field.name for field in model._meta.get_fields()]
    asked = {name for one in admin.site._registry[model].list_filter for name in names_of(one)}
    return [
        *dict.fromkeys(fields),
        *asked - {*fields},
        "q",
        "o",
        "p",
        "after",
        "before",
        "_to_field",
        "_changelist_filters",
    ]


def names_of(list_filter: Any) -> list[str]:
    if isinstance(list_filter, str):
        return [list_filter, f"{list_filter}__exact"]
    form = getattr(list_filter, "form_class", None)
    return [*form.base_fields] if form else [list_filter.parameter_name]


def refused(answer: Any) -> bool:
    return answer.status_code >= 500


@in_one_test("field", SUGGESTED)
def test_suggestions(client: Client, field: str) -> None:
    app, model, name = field.split(".")
    asked = {"app_label": app, "model_name": model, "field_name": name}
    for term in (NUL, f"a{NUL}", f"{NUL} b"):
        assert not refused(client.get(reverse("admin:autocomplete"), asked | {"term": term}))


def test_the_names_of_tags(client: Client) -> None:
    page = reverse("admin:contacts_contact_tag_names")
    for asked in ({"term": NUL}, {"tenant": NUL}):
        assert client.get(page, asked).status_code == 200


@pytest.mark.parametrize("text", [NUL, f"a{NUL}b"], ids=ascii)
def test_the_search_of_the_site(client: Client, text: str) -> None:
    for asked in ({"s": text}, {"s": text, "extended": "1"}, {"s": "a", "page": text}):
        assert not refused(client.get("/admin/search/", asked)), asked


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("client", ["superuser"], indirect=True)  # who sees most filters
@pytest.mark.parametrize("model", MODELS, ids=lambda model: model._meta.model_name)
def test_a_list(client: Client, model: type[Model]) -> None:
    page = url(model, "changelist")
    for name in parameters(model):
        assert not refused(client.get(page, {name: NUL})), name


@in_one_test("model", MODELS)
def test_an_action_on_rows(client: Client, model: type[Model]) -> None:
    declared = admin.site._registry[model].actions or ()
    for action in ("delete_selected", *map(str, declared), NUL):
        for given in ({"_selected_action": [NUL]}, {"_selected_action": ["1"], "value": NUL}):
            data = {"action": action, "post": "yes", "count": "0"} | given
            assert not refused(client.post(url(model, "changelist"), data)), action


@in_one_test("model", MODELS)
def test_a_page_of_a_row(client: Client, model: type[Model]) -> None:
    for page in OF_A_ROW:
        try:
            address = url(model, page, NUL)
        except NoReverseMatch:
            continue
        assert not refused(client.get(address)), address
        assert not refused(client.post(address, {"post": "yes"})), address


@in_one_test("model", CREATED)
def test_a_form(client: Client, model: type[Model]) -> None:
    page = url(model, "add")
    assert not refused(client.get(page, dict.fromkeys(parameters(model), NUL)))
    shown = client.get(page)
    if shown.status_code == 200:
        for form in ("{}", "{}_0", "{}_1", "initial-{}"):
            names = map(form.format, shown.context["adminform"].form.fields)
            assert not refused(client.post(page, dict.fromkeys(names, NUL)))


@in_one_test("page", ["login", "two_factor", "password_change", "index", "jsi18n"])
def test_other_pages(client: Client, page: str) -> None:
    address = reverse(f"admin:{page}")
    given = dict.fromkeys(
        ["username", "password", "next", "old_password", "new_password1", "new_password2", "code"],
        NUL,
    )
    assert not refused(client.get(address, given))
    assert not refused(client.post(address, given))


@in_one_test("model", MODELS)
def test_the_link_from_a_log_entry_to_a_row(client: Client, model: type[Model]) -> None:
    kind = ContentType.objects.get_for_model(model)
    assert not refused(client.get(reverse("admin:view_on_site", args=[kind.pk, NUL])))
