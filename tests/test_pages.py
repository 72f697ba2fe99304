"""The first pages that people open: landing page and API documentation."""

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest
from django.test import Client

from contacts.models import Contact

from .api import CREATE, PHONE, assert_error
from .browser import page_of
from .conftest import serving
from .test_races import all_at_once

pytestmark = pytest.mark.once  # does not depend on the database


def test_the_landing_page_links_to_all_parts(client: Client) -> None:
    text = client.get("/").content.decode()
    assert "<title>Qyvo Contacts</title>" in text
    assert "http://testserver/api/v1/actions/create-contact" in text
    links = set(re.findall(r'href="([^"]+)"', text))
    assert {"/docs", "/admin/", "/readyz", "/api/v1/openapi.yaml"} <= links


@pytest.mark.django_db
def test_every_link_of_the_landing_page_works(client: Client) -> None:
    for link in set(re.findall(r'<a href="([^"]+)"', client.get("/").content.decode())):
        assert client.get(link, follow=True).status_code == 200, link


@pytest.mark.django_db
def test_the_api_does_not_read_sessions(
    client: Client, acme: SimpleNamespace, django_assert_num_queries: Any
) -> None:
    client.force_login(acme.user)
    with django_assert_num_queries(0):
        answer = client.post(CREATE, {"phone": PHONE}, "application/json")
    assert_error(answer, 401, "unauthenticated")
    assert "Cookie" not in answer.get("Vary", "")
    assert client.get("/admin/", follow=True).wsgi_request.user == acme.user


def test_a_server_that_has_just_started_answers_several_requests_for_the_schema(
    django_db_setup: None, tmp_path: Path
) -> None:
    with serving(tmp_path / "log", workers=1) as url:
        asked = all_at_once(lambda _: httpx.get(f"{url}/api/v1/openapi.json", timeout=60), 8)
    assert [answer.status_code for answer in asked] == [200] * 8
    assert len({answer.text for answer in asked}) == 1


@pytest.mark.parametrize("path", ["/", "/docs", "/healthz", "/readyz"])
def test_a_post_to_a_page_gets_a_json_error(path: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(path)
    assert_error(answer, 403, "forbidden")


def test_pages_exist_only_at_their_exact_address(client: Client) -> None:
    assert_error(client.get("/nowhere"), 404, "not_found")


def test_the_api_documentation_sends_a_request_with_a_pasted_token(
    server: httpx.Client, acme: SimpleNamespace
) -> None:
    with page_of(server) as page:
        page.goto("/docs")
        assert page.title() == "API · Qyvo Contacts"
        page.get_by_role("button", name="Authorize").first.click()
        page.locator(".auth-container input").fill(acme.plaintext)
        page.locator(".auth-btn-wrapper .authorize").click()
        page.locator(".auth-btn-wrapper .btn-done").click()
        operation = page.locator("#operations-Contacts-create-contact")
        operation.click()
        operation.get_by_role("button", name="Execute").click()
        answer = operation.locator(".live-responses-table .response")
        answer.wait_for()
        assert "201" in answer.inner_text()
        assert PHONE in answer.inner_text()
    assert Contact.objects.get().name == "Romain"


def test_the_api_documentation_lists_every_action(server: httpx.Client) -> None:
    from contacts.api.urls import actions

    with page_of(server) as page:
        page.goto("/docs")
        page.locator(".opblock").first.wait_for()
        shown = page.locator(".opblock-summary-path").all_inner_texts()
    names = {path.replace("\u200b", "").rpartition("/")[2] for path in shown}
    others = {"me", "imports", "{id}", "errors", "webhooks"}
    assert names == {pattern.name for pattern in actions} | others


@pytest.mark.parametrize("width", [390, 1280])
def test_the_landing_page_fits_small_and_large_screens(server: httpx.Client, width: int) -> None:
    with page_of(server) as page:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto("/")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.get_by_role("link", name="API documentation").click()
        page.wait_for_url("**/docs")
