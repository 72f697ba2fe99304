"""The cast: two tenants, each with a user and a token, and a user who belongs to none."""

import io
import logging
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import hypothesis
import pytest
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.contrib.auth.models import Permission
from django.db import connection

from contacts.models import Contact
from qyvo.pages import StaticFiles
from tenants.isolation import allow_all_tenants_outside_requests, end_request
from tenants.models import ApiToken, Tenant, User

from .api import Api
from .factories import ContactFactory, TenantFactory, UserFactory

# How long an example takes depends on the machine, and on what else it does.
hypothesis.settings.register_profile("patient", deadline=None)
hypothesis.settings.load_profile("patient")

# Tests are the operator, whose commands see every tenant; requests see what theirs may.
allow_all_tenants_outside_requests()

ROOT = Path(__file__).resolve().parent.parent
DATABASE = pytest.StashKey[str]()
PASSWORD = "correct horse battery staple"


# Which database


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One for each process of the run. SQLite in a file, as in production: an in-memory database
    has no WAL and other locks."""
    if connection.vendor == "sqlite":
        name = tmp_path_factory.mktemp("database") / "test.sqlite3"
        connection.settings_dict["TEST"]["NAME"] = str(name)


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_blocker: Any, pytestconfig: pytest.Config
) -> Iterator[None]:
    version = "sqlite_version()" if connection.vendor == "sqlite" else "version()"
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(f"SELECT {version}")
        text = cursor.fetchone()[0].partition(" on ")[0].removeprefix("PostgreSQL ")
    pytestconfig.stash[DATABASE] = f"{connection.display_name} {text}"
    with connected_as(os.environ.get("TEST_ROLE"), django_db_blocker):
        yield
    if connection.vendor == "postgresql":
        with django_db_blocker.unblock(), connection.cursor() as cursor:
            wait_until_alone(cursor)


@contextmanager
def connected_as(role: str | None, django_db_blocker: Any) -> Iterator[None]:
    """As `name:password`, who does not own the tables; or as whoever made them."""
    if role is None:
        yield
        return
    name, _, password = role.partition(":")
    settings = connection.settings_dict
    owner = {key: settings[key] for key in ("USER", "PASSWORD")}
    with django_db_blocker.unblock():
        with connection.cursor() as cursor:
            # TRUNCATE is for the tests, which empty the tables.
            rights = "SELECT, INSERT, UPDATE, DELETE, TRUNCATE"
            cursor.execute(f"GRANT {rights} ON ALL TABLES IN SCHEMA public TO {name}")
        connection.close()
    settings |= {"USER": name, "PASSWORD": password}
    yield
    with django_db_blocker.unblock():
        connection.close()
    settings |= owner


def wait_until_alone(cursor: Any) -> None:
    """Servers that have just ended may still be saying goodbye, and the database is not deleted
    while somebody is connected to it."""
    others: list[Any] = []
    for _ in range(200):
        cursor.execute(
            "SELECT pid, state, query FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND backend_type = 'client backend'"
        )
        if not (others := cursor.fetchall()):
            return
        time.sleep(0.05)
    pytest.fail(f"Connections that nobody has closed: {others}")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """One of several processes tells the one that began them."""
    if told := getattr(session.config, "workeroutput", None):
        told["database"] = session.config.stash.get(DATABASE, None)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any, error: Any) -> None:
    if database := getattr(node, "workeroutput", {}).get("database"):
        node.config.stash[DATABASE] = database


def pytest_terminal_summary(terminalreporter: Any, config: pytest.Config) -> None:
    database = config.stash.get(DATABASE, "none, no test needed one")
    terminalreporter.write_line(f"Database of this run: {database}")


# The cast


def member_of(tenant: Tenant | None, email: str) -> SimpleNamespace:
    user = UserFactory.create(email=email, tenant=tenant)
    token = ApiToken.objects.issue(user, "tests")
    return SimpleNamespace(
        tenant=tenant, user=user, token=token, plaintext=token.plaintext, api=Api(token.plaintext)
    )


@pytest.fixture
def acme(db: None) -> SimpleNamespace:
    return member_of(TenantFactory.create(name="Acme Co.", slug="acme"), "ann@acme.example")


@pytest.fixture
def globex(db: None) -> SimpleNamespace:
    return member_of(TenantFactory.create(name="Globex", slug="globex"), "gus@globex.example")


@pytest.fixture
def outsider(db: None) -> SimpleNamespace:
    return member_of(None, "otto@nowhere.example")


@pytest.fixture
def api(acme: SimpleNamespace) -> Api:
    return acme.api


@pytest.fixture
def ann(acme: SimpleNamespace) -> User:
    """Acme's, as somebody who can log in to the admin."""
    acme.user.is_staff = True
    acme.user.set_password(PASSWORD)
    acme.user.save()
    return acme.user


@pytest.fixture
def log() -> Iterator[io.StringIO]:
    """What the project logs, as an operator reads it."""
    handler = next(h for h in logging.getLogger().handlers if h.name == "stderr")
    assert isinstance(handler, logging.StreamHandler)
    lines = io.StringIO()
    before = handler.setStream(lines)
    yield lines
    handler.setStream(before)


class QuickHasher(PBKDF2PasswordHasher):
    """The server's own, which also checks what this one has made, but for how often."""

    iterations = 1


@pytest.fixture(autouse=True)
def passwords_are_hashed_fast(settings: Any) -> None:
    """They are to be slow, and take a tenth of all tests' time."""
    settings.PASSWORD_HASHERS = [f"{__name__}.QuickHasher"]


@pytest.fixture(scope="session", autouse=True)
def files_go_into_a_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Otherwise imports and bulk actions of tests would leave files in the developer's DATA_DIR."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "DATA_DIR", tmp_path_factory.mktemp("data"))
        yield


@pytest.fixture(scope="session", autouse=True)
def static_files_are_found_once() -> Iterator[None]:
    """Each test's client is a server of its own, which looks for them when it starts: a quarter of
    what most tests take."""
    find, found = StaticFiles.add_files_from_finders, dict[str, Any]()

    def once(server: StaticFiles) -> None:
        if not found:
            find(server)
            found.update(server.files)
        server.files.update(found)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(StaticFiles, "add_files_from_finders", once)
        yield


@pytest.fixture(autouse=True)
def no_request_left() -> None:
    """One whose answer nobody has read to its end has not ended."""
    end_request()


@pytest.fixture(autouse=True)
def rate_limit_off(settings: Any) -> None:
    """Tests are busier than callers may be; those of the limit set one."""
    settings.RATELIMIT_DEFAULT = ""


@pytest.fixture(autouse=True)
def seconds_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two requests of a test, so that what the first one knows of a token is forgotten."""
    monkeypatch.setattr("tenants.authentication.this_second", count().__next__)


# Tests that change tables, where the others connect as somebody who may not.
of_the_owner = pytest.mark.skipif("TEST_ROLE" in os.environ, reason="is about the owner of tables")


# A real server


def need(tool: str) -> str:
    """The path of a program from outside Python; without it the test is skipped, but not in CI."""
    path = shutil.which(tool)
    if path is None:
        assert not os.environ.get("CI"), f"install {tool}: CI runs every test"
        pytest.skip(f"{tool} is not installed")
    return path


PORTS = count(20_000 + os.getpid() % 120 * 100)


def free_port() -> int:
    """None that the system gives to others meanwhile, nor another process of the tests."""
    for port in PORTS:
        with socket.socket() as probe, suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port
    raise AssertionError


def test_database_url() -> str:
    name = connection.settings_dict["NAME"]
    if connection.vendor == "sqlite":
        return f"sqlite:///{name}"
    url = urlsplit(os.environ["DATABASE_URL"])
    if role := os.environ.get("TEST_ROLE"):
        url = url._replace(netloc=f"{role}@{url.netloc.rpartition('@')[2]}")
    return url._replace(path=f"/{name}").geturl()


test_database_url.__test__ = False  # type: ignore[attr-defined]


@contextmanager
def serving(log: Path, workers: int, **variables: str) -> Iterator[str]:
    """The address of the production server on the test database; it logs into `log`."""
    port = free_port()
    command = [sys.executable, "-m", "qyvo.serve", "--port", str(port), "--workers", str(workers)]
    data = {"DATABASE_URL": test_database_url(), "DATA_DIR": str(log.parent)}
    environment = os.environ | data | variables
    with log.open("wb") as output:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        url = f"http://127.0.0.1:{port}"
        wait_for(url, process, log)
        for _ in range(600):  # one of them answers, the others may still be loading
            if log.read_text().count("Started worker") >= workers:
                break
            time.sleep(0.1)
        yield url
    finally:
        process.terminate()
        process.wait(timeout=60)


@pytest.fixture(scope="session")
def server_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def server_url(django_db_setup: None, server_data_dir: Path) -> Iterator[str]:
    """The address of a server in two processes."""
    with serving(server_data_dir / "log", workers=2, RATELIMIT_DEFAULT="") as url:
        yield url


def wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    for _ in range(900):
        try:
            httpx.get(f"{url}/api/v1/me", timeout=60)
        except httpx.TransportError:
            if process.poll() is not None:
                break
            time.sleep(0.1)
        else:
            return
    pytest.fail(f"The server did not start:\n{log.read_text()}")


@pytest.fixture
def server(
    server_url: str, transactional_db: None, acme: SimpleNamespace
) -> Iterator[httpx.Client]:
    """A client of the real server with Acme's token. The server sees what the test commits."""
    headers = {"Authorization": f"Bearer {acme.plaintext}"}
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    with httpx.Client(base_url=server_url, headers=headers, limits=limits, timeout=60) as client:
        yield client


# The admin in a real browser


@pytest.fixture
def admin_server(
    transactional_db: None, acme: SimpleNamespace, server_data_dir: Path
) -> Iterator[httpx.Client]:
    """One of its own for each test: a server knows the ids of content types by heart, and between
    tests they change."""
    with (
        serving(server_data_dir / "admin-log", workers=1) as url,
        httpx.Client(base_url=url, timeout=60) as web,
    ):
        yield web


@pytest.fixture
def admin_staff(admin_server: httpx.Client, acme: SimpleNamespace) -> SimpleNamespace:
    """Somebody of Acme who may do everything there."""
    acme.tenant.default_region = "US"
    acme.tenant.save()
    acme.user.is_staff = True
    acme.user.set_password(PASSWORD)
    acme.user.save()
    acme.user.user_permissions.set(
        Permission.objects.filter(content_type__app_label__in=["contacts", "tenants"])
    )
    return acme


@pytest.fixture
def people(admin_staff: SimpleNamespace) -> list[Contact]:
    names = ["Ada Lovelace", "Grace Hopper", "Mary Kenneth Keller", "Radia Perlman"]
    return [
        ContactFactory.create(
            tenant=admin_staff.tenant, name=name, phone=f"+1415555010{number}",
            email=f"{name.split()[0].lower()}@example.com", tags=["vip", "early"],
            metadata={"city": "Paris"},
        )
        for number, name in enumerate(names)
    ]  # fmt: skip


# A real Redis


@contextmanager
def redis_at(port: int) -> Iterator[None]:
    """A real Redis of our own, gone when the block ends."""
    command = [need("redis-server"), "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield
    finally:
        process.terminate()
        process.wait(timeout=60)
