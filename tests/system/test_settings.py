"""Settings, as commands and the server read them when they start."""

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


@pytest.mark.once
@pytest.mark.parametrize(
    "url",
    [
        "mysql://u:hunter2@db/x",
        "postgres://u:hunter2@127.0.0.1:1/x",
        "postgres://u:hunter2@nowhere.invalid/x",
        "postgres://u:hunter2@db/x?nonsense=1",
        "sqlite:////nowhere/hunter2.sqlite3",
    ],
)
def test_a_database_that_cannot_be_used_is_reported_in_one_line(tmp_path: Path, url: str) -> None:
    result = manage(tmp_path, "migrate", "-v0", DATABASE_URL=url)
    assert result.returncode == 1
    assert "DATABASE_URL" in result.stderr
    assert result.stderr.count("\n") == 1
    assert "hunter2" not in result.stderr + result.stdout


@pytest.mark.once
@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Only Linux has /dev/full.")
def test_a_command_that_is_interrupted_or_cannot_write_ends_without_a_traceback(
    tmp_path: Path,
) -> None:
    result = manage(tmp_path, "shell", "-c", "raise KeyboardInterrupt")
    assert (result.returncode, result.stderr) == (130, "Interrupted.\n")
    reader, writer = os.pipe()
    os.close(reader)
    full = "A file or the output cannot be written: [Errno 28] No space left on device\n"
    for output, ending in ((writer, (141, "")), (os.open("/dev/full", os.O_WRONLY), (1, full))):
        result = subprocess.run(
            [sys.executable, "manage.py", "diffsettings"], cwd=ROOT, stdout=output,
            env={"PATH": os.environ["PATH"], "ENV_FILE": "/dev/null", "DATA_DIR": str(tmp_path)},
            stderr=subprocess.PIPE, text=True, check=False,
        )  # fmt: skip
        os.close(output)
        assert (result.returncode, result.stderr) == ending


@pytest.mark.once
def test_a_wrong_store_of_the_rate_limit_is_reported_by_every_command(tmp_path: Path) -> None:
    url = "redis://u:hunter2@redis:port/0"
    result = manage(tmp_path, "migrate", "-v0", RATELIMIT_STORAGE_URL=url)
    assert result.returncode == 1
    assert "tenants.E002" in result.stderr
    assert "RATELIMIT_STORAGE_URL" in result.stderr
    for word in ["Traceback", "hunter2", "  File "]:
        assert word not in result.stderr


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
def test_the_name_of_the_data_folder_may_have_special_characters(tmp_path: Path) -> None:
    folder = tmp_path / "a b#c?d%20e"
    assert manage(folder, "migrate", "-v0").returncode == 0
    assert {"qyvo.sqlite3", "secret_key"} <= {path.name for path in folder.iterdir()}
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700


@pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL only")
@pytest.mark.django_db(transaction=True)
def test_a_missing_database_is_reported_without_a_traceback(tmp_path: Path) -> None:
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path="/nowhere").geturl()
    result = manage(tmp_path, "migrate", "-v0", DATABASE_URL=url)
    assert result.returncode == 1
    assert result.stderr.startswith("The database cannot be reached; check DATABASE_URL: ")
    assert 'database "nowhere" does not exist' in result.stderr
    assert result.stderr.count("\n") == 1


@pytest.mark.once
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
