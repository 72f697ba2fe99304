"""The settings, as qyvo/settings.py reads them from the environment."""

import os
import runpy
import stat
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connection

from qyvo.environment import files_at, mail_server_at
from tenants.throttling import default_limit
from tests.support.paths import ROOT


def settings_of(folder: Path, **variables: str) -> SimpleNamespace:
    """The settings in an environment with these variables only, and `folder` as DATA_DIR."""
    environment = {"ENV_FILE": os.devnull, "DATA_DIR": str(folder)} | variables
    with mock.patch.dict(os.environ, environment, clear=True):
        return SimpleNamespace(**runpy.run_path(str(ROOT / "qyvo" / "settings.py")))


def database_of(folder: Path, url: str) -> dict[str, Any]:
    return settings_of(folder, DATABASE_URL=url).DATABASES["default"]


def test_the_secret_key_is_generated_once_and_readable_only_by_its_owner(tmp_path: Path) -> None:
    first = settings_of(tmp_path / "a").SECRET_KEY
    assert len(first) >= 50
    assert first == settings_of(tmp_path / "a").SECRET_KEY
    assert first != settings_of(tmp_path / "b").SECRET_KEY
    assert settings_of(tmp_path / "a", SECRET_KEY="given").SECRET_KEY == "given"
    assert stat.S_IMODE((tmp_path / "a" / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["secret_key"]


def test_nothing_unsafe_is_on_by_default(tmp_path: Path) -> None:
    default = settings_of(tmp_path)
    assert default.DEBUG is False
    assert default.ALLOWED_HOSTS == ["localhost", "127.0.0.1", "[::1]"]


def test_the_rate_limit_is_120_requests_a_minute_per_process_by_default(tmp_path: Path) -> None:
    default = settings_of(tmp_path)
    assert default.RATELIMIT_STORAGE_URL == "memory://"
    item = default_limit(default.RATELIMIT_DEFAULT)
    assert item is not None
    assert (item.amount, item.get_expiry()) == (120, 60)


def test_the_options_of_sqlite_are_merged_with_the_options_of_the_url(tmp_path: Path) -> None:
    options = database_of(tmp_path, f"sqlite:///{tmp_path}/x.sqlite3?timeout=5")["OPTIONS"]
    assert int(options["timeout"]) == 5
    assert options["transaction_mode"] == "IMMEDIATE"
    assert "journal_mode=WAL" in options["init_command"]


def test_variables_may_come_from_a_file_and_the_real_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("TIME_ZONE=Europe/Paris\nLOG_LEVEL=debug\n")
    found = settings_of(tmp_path, ENV_FILE=str(file), LOG_LEVEL="error")
    assert (found.TIME_ZONE, found.LOG_LEVEL) == ("Europe/Paris", "ERROR")


def test_database_options_come_from_the_url(tmp_path: Path) -> None:
    url = "postgres://u:p@db.example:5433/contacts?sslmode=require&conn_max_age=5"
    found = database_of(tmp_path, url)
    assert (found["HOST"], found["PORT"], found["CONN_MAX_AGE"]) == ("db.example", 5433, 5)
    assert found["OPTIONS"]["sslmode"] == "require"


@pytest.mark.parametrize(("query", "threshold"), [("", 5), ("?prepare_threshold=off", None)])
def test_preparing_statements_can_be_turned_off(
    tmp_path: Path, query: str, threshold: int | None
) -> None:
    found = database_of(tmp_path, f"postgres://u:p@db.example/contacts{query}")
    assert found["OPTIONS"]["prepare_threshold"] == threshold


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="is about SQLite only")
@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)],
)
def test_sqlite_is_durable_and_waits_for_locks(pragma: str, value: object) -> None:
    assert connection.settings_dict["OPTIONS"]["timeout"] == 20
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {pragma}")
        assert cursor.fetchone() == (value,)
    assert connection.transaction_mode == "IMMEDIATE"  # type: ignore[attr-defined]


WRONG = {
    "DATABASE_URL": ["mysql://u:hunter2@db/x", "hunter2", "postgres://u:hunter2@db:port/x"],
    "IMPORT_MAX_MB": ["hunter2", ""],
    "DEBUG": ["hunter2"],
    "BEHIND_HTTPS_PROXY": ["enabled"],
    "LOG_LEVEL": ["hunter2"],
    "LOG_FORMAT": ["hunter2"],
    "TIME_ZONE": ["hunter2", "../hunter2"],
    "WEBHOOK_ALLOWED_NETWORKS": ["10.1.0.0/33"],
    "DATA_DIR": ["/dev/null/x"],
    "ENV_FILE": ["/nowhere/env"],
    "EMAIL_URL": [
        "hunter2",
        "smtps://",
        "smtps://u:hunter2#@host",
        "smtps://u:p@host:hunter2",
        "smtps://u:p@host/hunter2",
        "smtps://u:p@host?tls=hunter2",
        "smtp://u:hunter2@host",
    ],
    "FILES_URL": [
        "hunter2",
        "s3://",
        "s3://hunter2@bucket",
        "s3://bucket?hunter2",
        "s3://bucket?hunter2=1",
        "s3://bucket?endpoint_url=hunter2",
        "s3://bucket?addressing_style=hunter2",
        "s3://[hunter2",
    ],
}


@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_variable_is_named_in_one_line(tmp_path: Path, name: str, value: str) -> None:
    """tests/system has the variables that only a check or the database finds wrong."""
    with pytest.raises(ImproperlyConfigured, match=rf"\A{name}\b[^\n]+\Z") as raised:
        settings_of(tmp_path, **{name: value})
    assert "hunter2" not in str(raised.value)


def test_a_store_is_named_by_its_address() -> None:
    url = "s3://key:a%2Fb@bucket/of/qyvo?endpoint_url=http://minio:9000&region=eu"
    assert files_at(url)["OPTIONS"] == {
        "bucket_name": "bucket", "location": "of/qyvo", "access_key": "key", "secret_key": "a/b",
        "endpoint_url": "http://minio:9000", "region_name": "eu", "addressing_style": "path",
    }  # fmt: skip
    assert files_at("s3://bucket")["OPTIONS"]["addressing_style"] == "auto"


def test_a_mail_server_is_named_by_its_address(tmp_path: Path) -> None:
    given = {"EMAIL_URL": "smtps://ann:a%23b@mail.example", "EMAIL_FROM": "Us <us@acme.example>"}
    found = settings_of(tmp_path, **given)
    assert (found.EMAIL_HOST, found.EMAIL_PORT, found.EMAIL_USE_SSL) == ("mail.example", 465, True)
    assert (found.EMAIL_HOST_USER, found.EMAIL_HOST_PASSWORD) == ("ann", "a#b")
    assert found.HAS_EMAIL
    assert not settings_of(tmp_path).HAS_EMAIL
    assert mail_server_at("smtp+tls://mail.example:2525") == {
        "EMAIL_HOST": "mail.example", "EMAIL_PORT": 2525, "EMAIL_USE_TLS": True,
        "EMAIL_HOST_USER": "", "EMAIL_HOST_PASSWORD": "",
    }  # fmt: skip
    for name, value in {"EMAIL_FROM": "hunter2", "ALLOWED_HOSTS": "*"}.items():
        with pytest.raises(ImproperlyConfigured, match=rf"\A{name}\b[^\n]+\Z"):
            settings_of(tmp_path, **given | {name: value})


@pytest.mark.parametrize(
    "variables",
    [
        {"READ_DATABASE_URL": "postgres://localhost/qyvo"},
        {"DATABASE_URL": "postgres://localhost/qyvo", "READ_DATABASE_URL": "sqlite:///x.sqlite3"},
        {"DATABASE_URL": "postgres://localhost/qyvo", "READ_DATABASE_URL": "hunter2"},
    ],
)
def test_a_replica_is_refused_unless_both_databases_are_postgresql(
    tmp_path: Path, variables: dict[str, str]
) -> None:
    with pytest.raises(ImproperlyConfigured, match=r"^READ_DATABASE_URL"):
        settings_of(tmp_path, **variables)
