"""The settings, read from the environment by separate processes."""

import os
import secrets
import stat
import subprocess
import sys
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from django.db import connection

from tests.support.paths import ROOT
from tests.support.processes import free_port, manage


def setting(folder: Path, expression: str, **variables: str) -> str:
    code = f"from django.conf import settings; print({expression})"
    result = manage(folder, "shell", "-v0", "-c", code, **variables)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


@pytest.mark.once
def test_the_secret_key_is_generated_once_and_readable_only_by_its_owner(tmp_path: Path) -> None:
    first = setting(tmp_path / "a", "settings.SECRET_KEY")
    assert len(first) >= 50
    assert setting(tmp_path / "a", "settings.SECRET_KEY") == first
    assert setting(tmp_path / "b", "settings.SECRET_KEY") != first
    assert setting(tmp_path / "a", "settings.SECRET_KEY", SECRET_KEY="given") == "given"
    assert stat.S_IMODE((tmp_path / "a" / "secret_key").stat().st_mode) == 0o600
    assert [path.name for path in (tmp_path / "a").iterdir()] == ["secret_key"]


@pytest.mark.once
def test_nothing_unsafe_is_on_by_default(tmp_path: Path) -> None:
    shown = setting(tmp_path, "settings.DEBUG, settings.ALLOWED_HOSTS")
    assert shown == "False ['localhost', '127.0.0.1', '[::1]']"


@pytest.mark.once
def test_a_production_configuration_passes_every_deployment_check(tmp_path: Path) -> None:
    result = manage(
        tmp_path, "check", "--deploy", "--database", "default", "--fail-level", "WARNING",
        ALLOWED_HOSTS="contacts.example.com", BEHIND_HTTPS_PROXY="true",
        SECRET_KEY=secrets.token_urlsafe(50),
    )  # fmt: skip
    assert result.returncode == 0, result.stderr


@pytest.mark.once
def test_without_https_the_deployment_checks_warn(tmp_path: Path) -> None:
    result = manage(tmp_path, "check", "--deploy", "--fail-level", "WARNING")
    assert result.returncode == 1
    assert "security.W008" in result.stderr


@pytest.mark.once
def test_the_options_of_sqlite_are_merged_with_the_options_of_the_url(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/x.sqlite3?timeout=5"
    database = setting(tmp_path, "settings.DATABASES['default']", DATABASE_URL=url)
    assert "'timeout': '5'" in database or "'timeout': 5" in database
    assert "'transaction_mode': 'IMMEDIATE'" in database
    assert "journal_mode=WAL" in database


@pytest.mark.once
@pytest.mark.parametrize("name", ["a b#c", "a?b", "a%20b"])
def test_the_name_of_the_data_folder_may_have_special_characters(tmp_path: Path, name: str) -> None:
    assert manage(tmp_path / name, "migrate", "-v0").returncode == 0
    assert {"qyvo.sqlite3", "secret_key"} <= {path.name for path in (tmp_path / name).iterdir()}
    assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o700


@pytest.mark.once
def test_variables_may_come_from_a_file_and_the_real_environment_wins(tmp_path: Path) -> None:
    file = tmp_path / "env"
    file.write_text("TIME_ZONE=Europe/Paris\nLOG_LEVEL=debug\n")
    shown = setting(
        tmp_path, "settings.TIME_ZONE, settings.LOG_LEVEL", ENV_FILE=str(file), LOG_LEVEL="error"
    )
    assert shown == "Europe/Paris ERROR"


@pytest.mark.once
def test_database_options_come_from_the_url(tmp_path: Path) -> None:
    url = "postgres://u:p@db.example:5433/contacts?sslmode=require&conn_max_age=5"
    database = setting(tmp_path, "settings.DATABASES['default']", DATABASE_URL=url)
    for part in ["'HOST': 'db.example'", "'PORT': 5433", "'CONN_MAX_AGE': 5", "'require'"]:
        assert part in database


@pytest.mark.once
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
    [("journal_mode", "wal"), ("synchronous", 2), ("foreign_keys", 1)],
)
def test_sqlite_is_durable_and_waits_for_locks(pragma: str, value: object) -> None:
    assert connection.settings_dict["OPTIONS"]["timeout"] == 20
    with connection.cursor() as cursor:
        cursor.execute(f"PRAGMA {pragma}")
        assert cursor.fetchone() == (value,)
    assert connection.transaction_mode == "IMMEDIATE"  # type: ignore[attr-defined]


WRONG = {
    "DATABASE_URL": [
        "mysql://u:hunter2@db/x", "hunter2", "postgres://u:hunter2@db:port/x",
        "postgres://u:hunter2@127.0.0.1:1/x", "postgres://u:hunter2@nowhere.invalid/x",
        "sqlite:////nowhere/hunter2.sqlite3",
        "postgres://u:hunter2@db/x?nonsense=1",
    ],
    "RATELIMIT_STORAGE_URL": ["redis://u:hunter2@redis:port/0", "memcache+hunter2://x"],
    "IMPORT_MAX_MB": ["hunter2", ""],
    "DEBUG": ["hunter2"],
    "BEHIND_HTTPS_PROXY": ["enabled"],
    "LOG_LEVEL": ["hunter2"],
    "LOG_FORMAT": ["hunter2"],
    "TIME_ZONE": ["hunter2", "../hunter2"],
    "WEBHOOK_ALLOWED_NETWORKS": ["10.1.0.0/33"],
    "DATA_DIR": ["/dev/null/x"],
    "ENV_FILE": ["/nowhere/env"],
}  # fmt: skip


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "value"), [(name, value) for name, values in WRONG.items() for value in values]
)
def test_a_wrong_variable_is_named_in_one_line(tmp_path: Path, name: str, value: str) -> None:
    result = manage(tmp_path, "migrate", "-v0", **{name: value})
    assert result.returncode != 0
    assert name in result.stderr
    for word in ["Traceback", "hunter2", "  File "]:
        assert word not in result.stderr
    # Django's report of failed checks has a few more lines.
    assert result.stderr.count("\n") == (5 if name == "RATELIMIT_STORAGE_URL" else 1)


@pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL only")
@pytest.mark.django_db(transaction=True)
def test_a_missing_database_is_reported_without_a_traceback(tmp_path: Path) -> None:
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path="/nowhere").geturl()
    result = manage(tmp_path, "migrate", "-v0", DATABASE_URL=url)
    assert result.returncode == 1
    assert result.stderr.startswith("The database cannot be reached; check DATABASE_URL: ")
    assert 'database "nowhere" does not exist' in result.stderr
    assert result.stderr.count("\n") == 1


def test_an_error_of_a_reachable_database_keeps_its_traceback(tmp_path: Path) -> None:
    result = manage(tmp_path, "create_tenant", "Acme Co.")
    assert result.returncode == 1
    assert "Traceback" in result.stderr
    assert "no such table" in result.stderr


@pytest.mark.once
@pytest.mark.parametrize(
    ("name", "value"),
    [("DATABASE_URL", "hunter2"), ("RATELIMIT_STORAGE_URL", "redis://u:hunter2@redis:port/0")],
)
def test_the_server_ends_with_the_same_line(tmp_path: Path, name: str, value: str) -> None:
    environment = {"ENV_FILE": "/dev/null", "DATA_DIR": str(tmp_path), name: value}
    result = subprocess.run(
        [sys.executable, "-m", "qyvo.serve", "--port", str(free_port())],
        cwd=ROOT, env={"PATH": os.environ["PATH"]} | environment,
        capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert result.returncode != 0
    assert result.stderr.startswith(f"Wrong settings: {name} ")
    assert result.stderr.count("\n") == 1
    assert "hunter2" not in result.stderr + result.stdout


@pytest.mark.once
@pytest.mark.parametrize(
    ("line", "workers"),
    [
        ("DATABASE_URL=postgres://u@db/x", os.cpu_count()),
        ("export DATABASE_URL='postgresql://u@db/x'", os.cpu_count()),
        ("DATABASE_URL=sqlite:///x", 1),
        ("", 1),
    ],
)
def test_on_postgresql_the_server_starts_one_process_per_processor(
    tmp_path: Path, line: str, workers: int
) -> None:
    """On SQLite one process, because SQLite has one writer."""
    file = tmp_path / "env"
    file.write_text(line)
    unset = {"DATABASE_URL", "GRANIAN_WORKERS"}
    variables = {name: value for name, value in os.environ.items() if name not in unset}
    code = "from qyvo.serve import defaults; print(defaults()['workers'])"
    result = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=variables | {"ENV_FILE": str(file)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(result.stdout) == workers
