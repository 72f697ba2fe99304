"""The first pages that people open: landing page and API documentation."""

import re
from types import SimpleNamespace
from typing import Any

import pytest
from django.test import Client

from tests.support.api import CREATE, PHONE, assert_error


def test_the_landing_page_links_to_all_parts(client: Client) -> None:
    text = client.get("/").content.decode()
    assert "<title>Qyvo Contacts</title>" in text
    assert "http://testserver/api/v1/actions/create-contact" in text
    links = set(re.findall(r'href="([^"]+)"', text))
    assert {"/docs", "/admin/", "/readyz", "/api/v1/openapi.yaml"} <= links


@pytest.mark.django_db
def test_every_link_of_the_landing_page_works(client: Client) -> None:
    links = set(re.findall(r'<a href="([^"]+)"', client.get("/").content.decode()))
    assert links
    for link in links:
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


@pytest.mark.parametrize("path", ["/", "/docs", "/healthz", "/readyz"])
def test_a_post_to_a_page_gets_a_json_error(path: str) -> None:
    answer = Client(enforce_csrf_checks=True).post(path)
    assert_error(answer, 403, "forbidden")


def test_pages_exist_only_at_their_exact_address(client: Client) -> None:
    assert_error(client.get("/nowhere"), 404, "not_found")
