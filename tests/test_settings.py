"""The settings, as processes of their own read them from the environment."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from django.db import connection

ROOT = Path(__file__).resolve().parent.parent


def manage(folder: Path, *words: str, **variables: str) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "ENV_FILE": "/dev/null", "DATA_DIR": str(folder)}
    environment |= variables
    return subprocess.run(
        [sys.executable, "manage.py", *words],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip


def setting(folder: Path, expression: str, **variables: str) -> str:
    code = f"from django.conf import settings; print({expression})"
    result = manage(folder, "shell", "-v0", "-c", code, **variables)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_the_secret_key_is_made_up_once_and_kept_to_the_owner(tmp_path: Path) -> None:
    first = setting(tmp_path / "a", "settings.SECRET_KEY")
    assert len(first) >= 50
    assert setting(tmp_path / "a", "settings.SECRET_KEY") == first
    assert setting(tmp_path / "b", "settings.SECRET_KEY") != first
    assert setting(tmp_path / "a", "settings.SECRET_KEY", SECRET_KEY="given") == "given"
    assert stat.S_IMODE((tmp_path / "a" / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["secret_key"]


def test_nothing_unsafe_is_on_by_default(tmp_path: Path) -> None:
    shown = setting(tmp_path, "settings.DEBUG, settings.ALLOWED_HOSTS")
    assert shown == "False ['localhost', '127.0.0.1', '[::1]']"


def test_a_production_configuration_passes_every_deployment_check(tmp_path: Path) -> None:
    result = manage(
        tmp_path, "check", "--deploy", "--fail-level", "WARNING",
        ALLOWED_HOSTS="contacts.example.com", BEHIND_HTTPS_PROXY="true",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


def test_without_https_the_deployment_checks_complain(tmp_path: Path) -> None:
    result = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING")
    assert result.returncode == 1
    assert "security.W008" in result.stderr


def test_sqlite_keeps_its_options_beside_those_of_the_url(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.sqlite3?timeout=5"
    database = setting(tmp_path, "settings.DATABASES['default']", DATABASE_URL=url)
    assert "'timeout': '5'" in database or "'timeout': 5" in database
    assert "'transaction_mode': 'IMMEDIATE'" in database
    assert "journal_mode=WAL" in database


@pytest.mark.parametrize("name", ["a b#c", "a?b", "a%20b"])
def test_any_folder_can_hold_the_data(tmp_path: Path, name: str) -> None:
    assert manage(tmp_path / name, "migrate", "-v0").returncode == 0
    assert {"qyvo.sqlite3", "secret_key"} <= {path.name for path in (tmp_path / name).iterdir()}
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700


def test_variables_come_from_a_file_too_and_the_real_ones_win(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("TIME_ZONE=Europe/Paris\nLOG_LEVEL=debug\n")
    shown = setting(
        tmp_path, "settings.TIME_ZONE, settings.LOG_LEVEL", ENV_FILE=str(file), LOG_LEVEL="error"
    )
    assert shown == "Europe/Paris ERROR"


def test_database_options_come_from_the_url(tmp_path: Path) -> None:
    url = "postgres://u:p@db.example:5433/contacts?sslmode=require&conn_max_age=5"
    database = setting(tmp_path, "settings.DATABASES['default']", DATABASE_URL=url)
    for part in ["'HOST': 'db.example'", "'PORT': 5433", "'CONN_MAX_AGE': 5", "'require'"]:
        assert part in database


@pytest.mark.parametrize(("query", "threshold"), [("", 5), ("?prepare_threshold=off", None)])
def test_preparing_statements_can_be_turned_off(
    tmp_path: Path, query: str, threshold: int | None
) -> None:
    url = f"postgres://u:p@db.example/contacts{query}"
    name = "settings.DATABASES['default']['OPTIONS']['prepare_threshold']"
    assert setting(tmp_path, name, DATABASE_URL=url) == str(threshold)


@pytest.mark.django_db
@pytest.mark.skipif(connection.vendor != "sqlite", reason="is about SQLite only")
@pytest.mark.parametrize(
    ("pragma", "value"),
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1), ("busy_timeout", 20_000)],
)
def test_sqlite_is_durable_and_patient(pragma: str, value: object) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {pragma}")
        assert cursor.fetchone() == (value,)
    assert connection.transaction_mode == "IMMEDIATE"  # type: ignore[attr-defined]
