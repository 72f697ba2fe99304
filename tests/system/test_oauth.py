"""An app connects by OAuth to the real server, as its program and the browser of a person do."""

import hashlib
import re
import secrets
from base64 import urlsafe_b64encode
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from django.apps import apps
from django.contrib.auth.models import Group

from tenants import roles
from tenants.models import User
from tests.support.api import PASSWORD
from tests.support.processes import serving

pytestmark = pytest.mark.django_db(transaction=True)
REDIRECT = "http://127.0.0.1/callback"
FIELD = re.compile(r"<input[^>]*>")


def form_of(page: str) -> dict[str, Any]:
    """The fields of the forms of `page` that a browser sends: hidden ones, and checked boxes."""
    given: dict[str, Any] = {}
    for field in FIELD.findall(page):
        of = {name: unescape(value) for name, value in re.findall(r'(\w+)="([^"]*)"', field)}
        if of.get("type") == "checkbox" and " checked" in field:
            given.setdefault(of["name"], []).append(of["value"])
        elif of.get("type") == "hidden" and "name" in of:
            given[of["name"]] = of.get("value", "")
    return given


def test_an_app_connects_to_the_real_server(ann: User, tmp_path: Path) -> None:
    """Two processes: nothing of a connection is in the memory of one of them."""
    roles.grant(apps, roles.RIGHTS)  # an earlier test has emptied the table
    ann.groups.set(Group.objects.filter(name=roles.EDITOR))
    with (
        serving(tmp_path / "log", 2, OAUTH="true") as url,
        httpx.Client(timeout=60) as app,
        httpx.Client(timeout=60) as browser,
    ):
        resource = app.get(f"{url}/.well-known/oauth-protected-resource/mcp").json()
        [issuer] = resource["authorization_servers"]
        server = app.get(f"{issuer}/.well-known/oauth-authorization-server").json()
        body = {"client_name": "Claude", "redirect_uris": [REDIRECT]}
        client = app.post(server["registration_endpoint"], json=body).json()["client_id"]
        verifier = secrets.token_urlsafe(40)
        query = {
            "response_type": "code",
            "client_id": client,
            "redirect_uri": f"{REDIRECT.replace('/callback', ':43123/callback')}",
            "state": "s1",
            "code_challenge": s256(verifier),
            "code_challenge_method": "S256",
            "resource": resource["resource"],
        }
        login = browser.get(server["authorization_endpoint"], params=query, follow_redirects=True)
        typed = {"username": ann.email, "password": PASSWORD}
        page = browser.post(login.url, data=form_of(login.text) | typed, follow_redirects=True)
        assert "Acme Co." in page.text, page.text
        assert "127.0.0.1:43123" in page.text
        form = form_of(page.text) | {"allow": "on"}
        answer = browser.post(server["authorization_endpoint"], data=form)
        told = parse_qs(urlsplit(answer.headers["Location"]).query)
        assert (told["iss"], told["state"]) == ([issuer], ["s1"])
        exchange = {
            "grant_type": "authorization_code",
            "code": told["code"][0],
            "client_id": client,
            "redirect_uri": query["redirect_uri"],
            "code_verifier": verifier,
            "resource": resource["resource"],
        }
        first = app.post(server["token_endpoint"], data=exchange).json()
        assert me(url, first) == ann.email
        again = {
            "grant_type": "refresh_token",
            "refresh_token": first["refresh_token"],
            "client_id": client,
        }
        second = app.post(server["token_endpoint"], data=again).json()
        assert me(url, second) == ann.email
        gone = {"token": second["access_token"], "client_id": client}
        assert app.post(server["revocation_endpoint"], data=gone).status_code == 200
        again["refresh_token"] = second["refresh_token"]
        assert app.post(server["token_endpoint"], data=again).status_code == 400
        log = (tmp_path / "log").read_text()
    for secret in (*first.values(), *second.values(), told["code"][0], verifier):
        assert len(str(secret)) < 20 or str(secret) not in log


def s256(verifier: str) -> str:
    return urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).decode().rstrip("=")


def me(url: str, tokens: dict[str, Any]) -> str:
    headers = {"Authorization": f"Bearer {tokens['access_token']}"}
    email: str = httpx.get(f"{url}/api/v1/me", headers=headers, timeout=60).json()["email"]
    return email
