"""Mistakes of a deployment, as `manage.py check --deploy` finds them; each both ways."""

import secrets
import sqlite3
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import run_checks
from django.db import connection

from qyvo.environment import files_at
from tenants import keys
from tests.support.databases import of_the_owner

pytestmark = pytest.mark.both


@pytest.fixture
def found(settings: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The ids of the messages, without those that only this test environment gets."""
    key = secrets.token_urlsafe(50)
    monkeypatch.setenv("SECRET_KEY", key)
    monkeypatch.setenv("GRANIAN_WORKERS", "1")
    settings.SECRET_KEY, settings.DEBUG, settings.ALLOWED_HOSTS = key, False, ["x.example.com"]
    settings.RATELIMIT_DEFAULT = "120/minute"

    def ids(databases: list[str] | None = None) -> set[str | None]:
        messages = run_checks(include_deployment_checks=True, databases=databases)
        of_https = {"security.W004", "security.W008", "security.W012", "security.W016"}
        return {message.id for message in messages if not message.is_silenced()} - of_https

    assert ids() == set()
    return ids


def test_a_key_that_was_made_up(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SECRET_KEY")
    assert found() == {"qyvo.W001"}


def test_a_data_key_that_only_this_machine_has(found: Any, settings: Any, tmp_path: Path) -> None:
    settings.DATA_DIR = tmp_path
    (tmp_path / keys.DATA).write_text("the first secret key")
    assert found() == {"qyvo.W001"}


def test_machines_that_share_only_a_store_need_one_key(
    found: Any, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.STORAGES = settings.STORAGES | {"files": files_at("s3://bucket")}
    assert found() == set()
    monkeypatch.delenv("SECRET_KEY")
    assert found() == {"qyvo.E001"}


def test_a_weak_key(found: Any, settings: Any) -> None:
    settings.SECRET_KEY = "change-me"
    assert found() == {"security.W009"}


def test_pages_of_errors(found: Any, settings: Any) -> None:
    settings.DEBUG = True
    assert found() == {"security.W018"}


def test_every_host(found: Any, settings: Any) -> None:
    settings.ALLOWED_HOSTS = ["*"]
    assert found() == {"qyvo.W002"}


def test_several_processes_that_share_neither_a_limit_nor_a_writer(
    found: Any, monkeypatch: pytest.MonkeyPatch, settings: Any
) -> None:
    of_sqlite = {"qyvo.W003"} if connection.vendor == "sqlite" else set()
    monkeypatch.setenv("GRANIAN_WORKERS", "2")
    assert found() == {"qyvo.W004"} | of_sqlite
    settings.RATELIMIT_DEFAULT = ""
    assert found() == of_sqlite
    settings.RATELIMIT_DEFAULT, settings.RATELIMIT_STORAGE_URL = "1/minute", "redis://x.example/0"
    assert found() == of_sqlite


def test_without_a_word_there_are_as_many_processes_as_make_starts(
    found: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("GRANIAN_WORKERS")
    monkeypatch.setattr("os.cpu_count", lambda: 4)
    assert found() == (set() if connection.vendor == "sqlite" else {"qyvo.W004"})


@of_the_owner
@pytest.mark.django_db
def test_a_role_that_may_do_everything(found: Any) -> None:
    if connection.vendor == "sqlite":
        assert found(["default"]) == set()
        return
    with connection.cursor() as cursor:
        cursor.execute("SELECT to_regclass('contact_trigrams')")
        of_search = set() if cursor.fetchone()[0] else {"contacts.W003"}
        assert found(["default"]) == {"qyvo.W005", "tenants.W001"} | of_search
        cursor.execute("CREATE ROLE qyvo_plain")
        cursor.execute("SET LOCAL ROLE qyvo_plain")
        assert found(["default"]) == of_search
        cursor.execute("RESET ROLE")


@pytest.mark.parametrize("limit", ["120", "a/minute", "1/minute;2/hour"])
def test_a_limit_that_is_none(found: Any, settings: Any, limit: str) -> None:
    settings.RATELIMIT_DEFAULT = limit
    assert found() == {"tenants.E001"}


@pytest.mark.parametrize("url", ["memory", "nothing://x", "redis://:secret@host:port/0"])
def test_a_store_that_is_none(found: Any, settings: Any, url: str) -> None:
    settings.RATELIMIT_STORAGE_URL = url
    assert found() == {"tenants.E002"}


@pytest.mark.skipif(connection.vendor != "sqlite", reason="is about SQLite only")
def test_a_sqlite_that_is_too_old(found: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sqlite3, "sqlite_version_info", (3, 38, 5))
    assert found() == {"contacts.E001"}
