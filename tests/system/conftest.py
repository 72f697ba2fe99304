"""Tests that start programs (servers, browsers, poolers) or measure. Others do neither."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import httpx
import pytest
from django.contrib.auth.models import Permission

from contacts.models import Contact
from tests.support.admin_rows import make_people, make_rows
from tests.support.api import PASSWORD
from tests.support.processes import serving


def pytest_itemcollected(item: pytest.Item) -> None:
    item.add_marker(pytest.mark.system)


@pytest.fixture(autouse=True)
def no_program_starts() -> None:
    """Replaces the fixture that keeps the other tests from starting programs."""


@pytest.fixture(scope="session")
def server_data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def server_url(django_db_setup: None, server_data_dir: Path) -> Iterator[str]:
    """The address of a server in two processes."""
    with serving(server_data_dir / "log", workers=2, RATELIMIT_DEFAULT="") as url:
        yield url


@pytest.fixture
def server(
    server_url: str, transactional_db: None, acme: SimpleNamespace
) -> Iterator[httpx.Client]:
    """A client of the real server with Acme's token. The server sees what the test commits."""
    headers = {"Authorization": f"Bearer {acme.plaintext}"}
    # Of many threads that share kept connections, one may close a connection that another has just
    # begun to use: httpcore takes an answer for the end of a connection that nobody uses.
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    with httpx.Client(base_url=server_url, headers=headers, limits=limits, timeout=60) as client:
        yield client


# The admin in a real browser


@pytest.fixture
def admin_server(server_url: str, transactional_db: None) -> Iterator[httpx.Client]:
    """A client of the real server, without a token."""
    with httpx.Client(base_url=server_url, timeout=60) as web:
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
    return make_people(admin_staff.tenant)


@pytest.fixture
def rows(admin_staff: SimpleNamespace, people: list[Contact]) -> SimpleNamespace:
    return make_rows(admin_staff, people)
