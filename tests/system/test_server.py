"""The production server, asked over HTTP and by browsers."""

import gzip
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest

from contacts.models import Contact, Import
from tenants.isolation import ALL_TENANTS, NO_TENANT
from tenants.models import User
from tests.support.admin import LIST, LOGIN
from tests.support.api import PASSWORD, PHONE, assert_error
from tests.support.browser import log_in, page_of
from tests.support.concurrency import all_at_once
from tests.support.factories import ContactFactory
from tests.support.imports_api import IMPORTS
from tests.support.paths import ROOT
from tests.support.processes import PATIENCE, serving, worker


def test_the_real_server_sends_an_export_from_another_thread_to_its_tenant_only(
    admin_server: httpx.Client, admin_staff: SimpleNamespace, globex: SimpleNamespace
) -> None:
    """The thread needs the row-level security context of the tenant."""
    ContactFactory.create_batch(12, tenant=admin_staff.tenant)
    ContactFactory.create(tenant=globex.tenant, name="Gus of Globex")
    page = admin_server.get("/admin/login/").text
    token = re.findall(r'csrfmiddlewaretoken" value="(\w+)', page)[0]
    login = {"username": admin_staff.user.email, "password": PASSWORD, "csrfmiddlewaretoken": token}
    assert admin_server.post("/admin/login/", data=login).status_code == 302
    chosen = {"action": "export", "_selected_action": "x", "select_across": "1", "count": 12}
    chosen["value"] = "csv"
    chosen["csrfmiddlewaretoken"] = admin_server.cookies["csrftoken"]
    export = admin_server.post(LIST, data=chosen)
    assert export.headers["Content-Type"].startswith("text/csv")
    assert len(export.text.splitlines()) == 13
    assert "Globex" not in export.text


@pytest.mark.once
def test_an_inline_script_does_not_run(
    admin_server: httpx.Client, admin_staff: SimpleNamespace
) -> None:
    """Even if an attacker managed to insert it."""
    tried = """() => {
        window.ran = [];
        document.body.insertAdjacentHTML("beforeend", '<img src="x:" onerror="ran.push(1)">');
        const script = document.createElement("script");
        script.textContent = "ran.push(2)";
        document.body.append(script);
        return new Promise(done => setTimeout(() => done(ran), 300));
    }"""
    ran = []
    with pytest.raises(AssertionError), page_of(admin_server) as page:  # noqa: PT012
        log_in(page, admin_staff)
        for path in ("/admin/", "/"):
            page.goto(path)
            ran.append(page.evaluate(tried))
    assert ran == [[], []], "and the console complains"


# Real HTTP


@pytest.mark.once
def test_a_body_of_unknown_length_is_read_to_its_end(
    server: httpx.Client, server_data_dir: Path, tmp_path: Path
) -> None:
    """In a form or gzipped, which have ends of their own."""

    def rows() -> Iterator[bytes]:
        yield b"phone,name\n"
        for n in range(60):
            yield b"".join(b"+1415555%04d,%s\n" % (n, b"x" * 200) for _ in range(400))

    def form() -> Iterator[bytes]:
        yield b'--x\r\nContent-Disposition: form-data; name="file"; filename="a.csv"\r\n\r\n'
        yield from rows()
        yield b"\r\n--x--\r\n"

    def packed() -> Iterator[bytes]:
        yield gzip.compress(b"".join(rows()))

    kinds = [(packed, "application/gzip"), (form, "multipart/form-data; boundary=x")]
    for content, kind in kinds:
        answer = server.post(IMPORTS, content=content(), headers={"Content-Type": kind})
        assert answer.status_code == 202, answer.text
        job = Import.objects.get(pk=answer.json()["id"])
        with worker(server_data_dir, tmp_path / "log", "--once") as process:
            process.wait(PATIENCE)
        job.refresh_from_db()
        assert (job.rows, job.superseded) == (24_000, 23_940)
    answer = server.post(IMPORTS, content=rows(), headers={"Content-Type": "text/csv"})
    assert_error(answer, 411, "length_required")


@pytest.mark.parametrize("length", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
def test_a_body_that_breaks_off_is_not_brought_in(
    server: httpx.Client, length: str, server_data_dir: Path
) -> None:
    head = f"POST {IMPORTS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: text/csv\r\n{length}\r\n"
    head += f"Authorization: {server.headers['Authorization']}\r\n\r\n"
    body = b"phone\n" + b"+14155550123\n" * 1000
    chunk = b"%x\r\n%s\r\n" % (len(body), body) if "chunked" in length else body
    with socket.create_connection(("127.0.0.1", server.base_url.port or 0)) as connection:
        connection.sendall(head.encode() + chunk)
        connection.shutdown(socket.SHUT_WR)
        answer = connection.recv(10_000)
    assert b" 202 " not in answer
    time.sleep(0.2)
    assert not Import.objects.exists()


def test_commands_have_access_to_all_tenants_and_the_server_to_none(tmp_path: Path) -> None:
    show = "from tenants.isolation import current_tenant; print(repr(current_tenant()))"
    environment = os.environ | {"DATA_DIR": str(tmp_path)}
    for command, seen in [
        ([sys.executable, "manage.py", "shell", "-v0", "-c", show], ALL_TENANTS),
        ([sys.executable, "-c", f"import qyvo.wsgi; {show}"], NO_TENANT),
    ]:
        run = subprocess.run(
            command, cwd=ROOT, env=environment, capture_output=True, text=True, check=True
        )
        assert run.stdout.strip() == repr(seen)


@pytest.mark.once
def test_cookies_are_limited_to_this_site_and_to_https(
    transactional_db: None, ann: User, tmp_path: Path
) -> None:
    with serving(tmp_path / "log", workers=1, BEHIND_HTTPS_PROXY="true") as address:
        secure = {"X-Forwarded-Proto": "https", "Referer": "https://127.0.0.1/"}
        with httpx.Client(base_url=address, headers=secure, timeout=60) as web:
            page = web.get(LOGIN)
            [token] = [c.value for c in web.cookies.jar if c.name == "csrftoken"]
            # httpx does not send a secure cookie over HTTP
            web.cookies.clear()
            answer = web.post(
                LOGIN,
                data={"username": ann.email, "password": PASSWORD, "csrfmiddlewaretoken": token},
                headers={
                    "Cookie": f"csrftoken={token}",
                    "Origin": address.replace("http", "https"),
                },
            )
        assert answer.status_code == 302, answer.text
        cookies = {c.partition("=")[0]: c for c in answer.headers.get_list("Set-Cookie")}
        for name in ("sessionid", "csrftoken"):
            assert {"Secure", "SameSite=Lax"} <= {*cookies[name].split("; ")}
        assert "HttpOnly" in cookies["sessionid"].split("; ")
        assert page.headers["Strict-Transport-Security"] == "max-age=31536000"
        plain = httpx.get(f"{address}{LOGIN}", timeout=60)
        assert plain.status_code == 301
        assert plain.headers["Location"].startswith("https://")


@pytest.mark.once
def test_a_server_that_has_just_started_answers_several_requests_for_the_schema(
    django_db_setup: None, tmp_path: Path
) -> None:
    with serving(tmp_path / "log", workers=1) as url:
        asked = all_at_once(lambda _: httpx.get(f"{url}/api/v1/openapi.json", timeout=60), 8)
    assert [answer.status_code for answer in asked] == [200] * 8
    assert len({answer.text for answer in asked}) == 1


@pytest.mark.once
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


@pytest.mark.once
def test_the_api_documentation_lists_every_action(server: httpx.Client) -> None:
    from contacts.api.urls import actions
    from contacts.models import EVENTS, TEST_EVENT

    with page_of(server) as page:
        page.goto("/docs")
        page.locator(".opblock").first.wait_for()
        shown = page.locator(".opblock-summary-path").all_inner_texts()
    names = {path.replace("\u200b", "").rpartition("/")[2] for path in shown}
    others = {"me", "imports", "exports", "{id}", "errors", "file", "webhooks"}
    others |= {"rotate", "test", "deliveries", "replay"}
    assert names == {pattern.name for pattern in actions} | others | {*EVENTS, TEST_EVENT}


@pytest.mark.once
@pytest.mark.parametrize("width", [390, 1280])
def test_the_landing_page_fits_small_and_large_screens(server: httpx.Client, width: int) -> None:
    with page_of(server) as page:
        page.set_viewport_size({"width": width, "height": 800})
        page.goto("/")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        page.get_by_role("link", name="API documentation").click()
        page.wait_for_url("**/docs")
