"""The admin, as a logged-in client sees its pages and fills in its forms."""

import re
from collections.abc import Mapping
from html import unescape
from typing import Any

import pytest
from django.contrib.auth.models import Permission
from django.db.models import Model
from django.template.response import TemplateResponse
from django.test import Client
from django.urls import reverse

from contacts.models import Contact
from tenants.models import ApiToken, Tenant, User
from tests.support.factories import UserFactory


def logged_in(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def url(model: type[Model], page: str, *args: Any) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_{page}", args=args)


def listed(client: Client, model: type[Model], **query: str) -> set[str]:
    """The names of the rows in the list."""
    response = client.get(url(model, "changelist"), query)
    assert response.status_code == 200, response
    rows = response.context["cl"].result_list
    return {row.name if isinstance(row, Contact) else str(row) for row in rows}


def text_of(answer: Any) -> str:
    """The page without its CSRF tokens: random letters, in which short words can occur."""
    page = re.sub(r'(name="csrfmiddlewaretoken" value=)"\w+"', r"\1", answer.content.decode())
    return unescape(page)


def context_of(client: Client, address: str, query: Mapping[str, str] | None = None) -> Any:
    """What the view gives to the template of the page, which is not rendered: the template takes
    two thirds of a page's time. For tests that look at other pages, or that need a form to send."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TemplateResponse, "rendered_content", "")
        answer: Any = client.get(address, query)
    assert answer.status_code == 200, answer
    return answer.context_data


def contact_form(client: Client, address: str, **changes: Any) -> dict[str, Any]:
    """The data that a browser would send for the form at `address` with `changes`."""
    form = context_of(client, address)["adminform"].form
    data = {}
    for field in form:
        value = field.value()
        shown = field.field.prepare_value(value)
        data[field.html_name] = "" if shown is None else shown
        if field.field.show_hidden_initial:
            data[field.html_initial_name] = data[field.html_name]
    return data | changes


def errors(response: Any) -> dict[str, list[str]]:
    assert response.status_code == 200, "a refused form is shown again"
    return response.context["adminform"].form.errors


# Tokens


def token_form(**given: Any) -> dict[str, Any]:
    """The data that a browser sends for the form of a token, with every scope checked."""
    return {"scopes": [*ApiToken.Scope], "expires_at_0": "", "expires_at_1": ""} | given


def password_page(user: User) -> str:
    return reverse("admin:auth_user_password_change", args=[user.pk])


def staff_of(tenant: Tenant | None, *codenames: str) -> User:
    """A staff user with these permissions; without arguments, with all of them."""
    user = UserFactory.create(tenant=tenant, is_staff=True)
    permit(user, **({"codename__in": codenames} if codenames else {}))
    return user


def permit(user: User, **which: Any) -> None:
    """Gives a user who has none the permissions that the filter finds; without one, all. `set` of
    Django would make an object of each of the 150, and ask what the user has, which takes a tenth
    of the time of most tests of a page."""
    pks = Permission.objects.filter(**which).order_by().values_list("pk", flat=True)
    through = User.user_permissions.through
    through.objects.bulk_create(through(user_id=user.pk, permission_id=pk) for pk in pks)


LIST = reverse("admin:contacts_contact_changelist")
LOGIN = "/admin/login/"
WAIT = "Too many failed logins. Try again in"
