"""The cast: two tenants, each with a user and a token, and a user who belongs to none."""

import gc
import io
import logging
import os
import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, time
from ipaddress import ip_network
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from zlib import crc32

import pytest
from django.apps import apps
from django.conf import settings
from django.contrib.auth.hashers import PBKDF2PasswordHasher
from django.db import connection
from django.db.backends.signals import connection_created
from django.test import Client, TransactionTestCase
from django.test.client import store_rendered_templates  # type: ignore[attr-defined]
from django.test.utils import override_settings
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]

from contacts.importing.formats.workbook import PROGRAM
from contacts.models import Webhook
from qyvo.garbage import search_rarely
from qyvo.logs import Lines
from qyvo.pages import StaticFiles
from tenants import roles
from tenants.authentication import Tokens
from tenants.isolation import allow_all_tenants_outside_requests, end_request
from tenants.models import ApiToken, Tenant, User
from tests.support import (
    examples,  # noqa: F401 - loads a profile
    tenant_guard,
)
from tests.support.admin import logged_in, staff_of
from tests.support.api import PASSWORD, Api
from tests.support.clock import Clock
from tests.support.databases import (
    DATABASE,
    connected_as,
    empty_tables,
    keep_migrated,
    migrated_sqlite,
    wait_for,
    wait_until_alone,
)
from tests.support.factories import TenantFactory, UserFactory
from tests.support.receiver import Receiver, receiving
from tests.support.webhooks import create

# Tests, like commands, run as the operator and see every tenant. Requests see their tenant only.
allow_all_tenants_outside_requests()


def pytest_xdist_auto_num_workers(config: pytest.Config) -> int | None:
    """One process more than there are processors, because tests wait: for a timeout, a lock,
    PostgreSQL, or the programs that they start. Half of the time of tests/system is waiting."""
    return (os.cpu_count() or 1) + 1


class ClusterTogether(LoadScopeScheduling):
    """Each test goes to whatever process is free, but those of the cluster to one process, so that
    one cluster starts. The marks of pytest-xdist 3.8 for this do nothing with pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0]
        return file if file.endswith("/cluster.py") else nodeid


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    return ClusterTogether(config, log) if config.getvalue("dist") == "loadscope" else None


@pytest.hookimpl(wrapper=True)
def pytest_collection(session: pytest.Session) -> Iterator[None]:
    """Modules and tests stay until the end. While they are made, and ever after, the garbage
    collector would go through all of them again and again: a fifth of the time that they take. New
    objects of a test are searched as rarely as those of a server."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        search_rarely()
        gc.enable()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--one-of", type=int, default=1, metavar="N",
        help="run one of N tests; the seed of the run chooses which",
    )  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Those marked `slow` first: one that starts last keeps one processor busy, and no other."""
    parts, seed = config.option.one_of, config.getoption("randomly_seed", 0)
    parted: tuple[list[pytest.Item], list[pytest.Item]] = ([], [])
    for item in sorted(items, key=lambda item: item.get_closest_marker("slow") is None):
        parted[crc32(f"{seed} {item.nodeid}".encode()) % parts > 0].append(item)
    items[:], left_out = parted
    config.hook.pytest_deselected(items=left_out)


# The tenant in every statement


connection_created.connect(tenant_guard.watch)


def pytest_configure(config: pytest.Config) -> None:
    if config.cache:
        tenant_guard.keep_good(config.cache.mkdir("guarded"))


@pytest.fixture(autouse=True)
def statements_name_their_tenant() -> Iterator[None]:
    tenant_guard.found.clear()
    yield
    tenant_guard.check()


@pytest.fixture
def without_guard() -> Iterator[None]:
    """For tests that leave the tenant out on purpose, to see what row-level security does."""
    yield
    tenant_guard.found.clear()


# Which database


@pytest.fixture(scope="session")
def django_db_modify_db_settings(
    django_db_modify_db_settings_parallel_suffix: None, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """One for each process of the run. SQLite in a file, as in production: an in-memory database
    has no WAL and other locks. PostgreSQL from the template of `tests.support.postgres`, or the
    database of `tests.support.citus`."""
    if connection.vendor == "sqlite":
        name = tmp_path_factory.mktemp("database") / "test.sqlite3"
        connection.settings_dict["TEST"]["NAME"] = str(name)
    else:
        names = connection.settings_dict["TEST"]
        names["NAME"] = os.environ.get("TEST_DATABASE", names["NAME"])
        if template := os.environ.get("TEST_TEMPLATE"):
            wait_for(template)
            names["TEMPLATE"] = template


@pytest.fixture(scope="session")
def django_db_keepdb(
    django_db_keepdb: bool, django_db_modify_db_settings: None, pytestconfig: pytest.Config
) -> bool:
    """Whether the database is there already: the one of `tests.support.citus`, or a copy of the one
    that an earlier run has migrated."""
    if "TEST_DATABASE" in os.environ:
        return True
    if connection.vendor != "sqlite" or not (template := migrated_sqlite(pytestconfig)).exists():
        return django_db_keepdb
    shutil.copy(template, connection.settings_dict["TEST"]["NAME"])
    return True


@pytest.fixture(scope="session")
def django_db_setup(
    django_db_setup: None, django_db_blocker: Any, pytestconfig: pytest.Config
) -> Iterator[None]:
    version = "sqlite_version()" if connection.vendor == "sqlite" else "version()"
    with django_db_blocker.unblock(), connection.cursor() as cursor:
        cursor.execute(f"SELECT {version}")
        text = cursor.fetchone()[0].partition(" on ")[0].removeprefix("PostgreSQL ")
        if connection.vendor == "sqlite":
            keep_migrated(cursor, migrated_sqlite(pytestconfig))
    pytestconfig.stash[DATABASE] = f"{connection.display_name} {text}"
    with connected_as(os.environ.get("TEST_ROLE"), django_db_blocker):
        yield
    with django_db_blocker.unblock():
        if connection.vendor == "postgresql" and "TEST_DATABASE" not in os.environ:
            with connection.cursor() as cursor:
                wait_until_alone(cursor)
        connection.close()


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
    assert isinstance(handler, Lines)
    lines = io.StringIO()

    def write(line: bytes) -> int:
        lines.write(line.decode())
        return len(line)

    handler.write, before = write, handler.write
    yield lines
    handler.write = before


class QuickHasher(PBKDF2PasswordHasher):
    """The server's own, which also checks what this one has made, but for how often."""

    iterations = 1


@pytest.fixture(scope="session", autouse=True)
def passwords_are_hashed_fast_and_rate_limits_are_off() -> Iterator[None]:
    """Passwords are to be slow, and take a tenth of all tests' time. Tests are busier than callers
    may be; those of the limit set one."""
    hashers = [f"{__name__}.QuickHasher"]
    with override_settings(PASSWORD_HASHERS=hashers, RATELIMIT_DEFAULT=""):
        yield


@pytest.fixture(scope="session", autouse=True)
def files_go_into_a_temporary_folder(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Otherwise imports and bulk actions of tests would leave files in the developer's DATA_DIR."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(settings, "DATA_DIR", tmp_path_factory.mktemp("data"))
        yield


@pytest.fixture(scope="session", autouse=True)
def content_types_stay() -> Iterator[None]:
    """After a test with transactions of its own, Django would give the content types new ids. A
    server that runs for several tests knows the old ids by heart."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", lambda case: empty_tables())
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


@pytest.fixture(scope="session", autouse=True)
def contexts_of_pages_are_kept() -> Iterator[None]:
    """In `response.context`. Django would also copy the context of each of the 150 templates that a
    page includes."""

    def store(store: Any, template: Any, context: Any, **given: Any) -> None:
        if context.template is template:
            store_rendered_templates(store, template=template, context=context, **given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("django.test.client.store_rendered_templates", store)
        yield


@pytest.fixture(autouse=True)
def no_request_left() -> None:
    """Ends the request of a test that has not read its answer to the end."""
    end_request()


@pytest.fixture(autouse=True)
def no_program_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that starts a program belongs in tests/system. Otherwise `make test` becomes slow. An
    import may start the product's own program that reads workbooks."""
    start = subprocess.Popen.__init__

    def start_or_refuse(process: subprocess.Popen, command: Any, **options: Any) -> None:
        if str(PROGRAM) not in command:
            pytest.fail(f"This test starts {command}: see tests/system.")
        start(process, command, **options)

    monkeypatch.setattr(subprocess.Popen, "__init__", start_or_refuse)


@pytest.fixture(autouse=True)
def seconds_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two requests of a test, so that what the first one knows of a token is forgotten."""
    monkeypatch.setattr("tenants.authentication.this_second", count().__next__)
    monkeypatch.setattr("tenants.authentication.tokens", Tokens())


@pytest.fixture
def groups(db: None) -> None:
    """Creates the roles again: tests that empty the database delete them."""
    roles.grant(apps, roles.RIGHTS)


@pytest.fixture
def staff(acme: SimpleNamespace) -> Client:
    """A staff user of Acme with every permission, but no superuser."""
    return logged_in(staff_of(acme.tenant))


@pytest.fixture
def superuser(db: None) -> Client:
    return logged_in(UserFactory.create(tenant=None, is_staff=True, is_superuser=True))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """No statement asks the database for the time, so this is every clock there is."""
    clock = Clock("clock", (), {})
    # What `timezone.now` asks. To replace `now` itself would miss the defaults of fields.
    monkeypatch.setattr("django.utils.timezone.datetime", clock)
    return clock


@pytest.fixture
def noon(clock: Clock) -> None:
    """It stays noon: otherwise a test of days fails that midnight comes in the middle of."""
    clock.stopped = datetime.combine(datetime.now(UTC).date(), time(12), UTC)


@pytest.fixture
def data_dir(tmp_path: Path, settings: Any) -> Path:
    settings.DATA_DIR = tmp_path / "data"
    return settings.DATA_DIR


@pytest.fixture
def loopback_allowed(settings: Any) -> None:
    settings.WEBHOOK_ALLOWED_NETWORKS = [ip_network("127.0.0.0/8")]


@pytest.fixture
def receiver(loopback_allowed: None) -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


@pytest.fixture
def webhook(acme: SimpleNamespace, receiver: Receiver) -> Webhook:
    return create(acme.tenant, receiver.url)
