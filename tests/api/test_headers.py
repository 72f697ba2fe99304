"""The response headers that limit what browsers do."""

import re
from typing import Any

import pytest
from django.test import Client

from tests.support.api import Api

pytestmark = pytest.mark.django_db
PATHS = [
    "/", "/docs", "/nowhere", "/admin/login/", "/admin/nowhere/", "/api/v1/me",
    "/api/v1/openapi.json", "/static/qyvo/logo.svg",
]  # fmt: skip


def headers_of(client: Client, path: str) -> Any:
    answer = client.get(path)
    answer.close()
    return answer.headers


def directives(policy: str) -> dict[str, set[str]]:
    return {name: {*sources} for name, *sources in map(str.split, policy.split(";"))}


@pytest.mark.parametrize("path", PATHS)
def test_only_scripts_from_our_files_may_run(client: Client, path: str) -> None:
    policy = directives(headers_of(client, path)["Content-Security-Policy"])
    assert policy["default-src"] == {"'none'"}
    assert policy["script-src"] - {"'unsafe-eval'"} == {"'self'"}
    assert ("'unsafe-eval'" in policy["script-src"]) is path.startswith("/admin/")
    for name in ("base-uri", "frame-ancestors"):
        assert policy[name] == {"'none'"}
    for name in ("connect-src", "font-src", "form-action"):
        assert policy[name] == {"'self'"}


@pytest.mark.parametrize("path", PATHS)
def test_every_response_has_the_security_headers(client: Client, path: str) -> None:
    headers = headers_of(client, path)
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "same-origin"
    assert headers["Cross-Origin-Opener-Policy"] == "same-origin"
    assert "camera=()" in headers["Permissions-Policy"]
    assert "Server" not in headers
    assert "Access-Control-Allow-Origin" not in headers, "no other site reads it"


def test_static_files_that_no_page_uses_are_not_served(client: Client) -> None:
    """Source maps and unused bundles are 9 of the 14 MB of the packages."""
    package = "/static/drf_spectacular_sidecar"
    for path in ("redoc/bundles/redoc.standalone.js", "redoc/bundles/redoc.standalone.js.map",
                 "swagger-ui-dist/swagger-ui.css.map"):  # fmt: skip
        assert client.get(f"{package}/{path}").status_code == 404
    answer = client.get(f"{package}/swagger-ui-dist/swagger-ui.css")
    assert answer.status_code == 200
    answer.close()


@pytest.mark.parametrize("path", ["/", "/docs", "/admin/login/"])
def test_our_pages_contain_no_inline_script(client: Client, path: str) -> None:
    text = client.get(path).content.decode()
    assert all(" src=" in tag for tag in re.findall(r"<script[^>]*>", text))
    assert not re.search(r"""\son[a-z]+=["']|javascript:""", text)


def test_requests_to_the_api_skip_the_middleware_for_pages(client: Client, api: Api) -> None:
    answer = api.get("/api/v1/me")
    assert int(answer.headers["Content-Length"]) == len(answer.content)
    assert not hasattr(answer.wsgi_request, "session")
    assert hasattr(client.get("/admin/login/").wsgi_request, "session")


def test_requests_to_the_api_with_a_wrong_host_are_refused(api: Api) -> None:
    assert api.get("/api/v1/me", Host="elsewhere.example").status_code == 400
