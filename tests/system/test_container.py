"""Dockerfile and compose.yaml, without an engine: what they name is there, and what they start
runs."""

import json
import os
import re
import shlex
import shutil
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from django.core.management import get_commands
from django.db import connection

from qyvo.environment import env
from tests.support.api import assert_error
from tests.support.cluster import COMPOSE as CLUSTER
from tests.support.documents import COMPOSE
from tests.support.paths import ROOT
from tests.support.processes import (
    PATIENCE,
    free_port,
    is_open,
    manage,
    need,
    wait_for,
    wait_until,
    wait_until_ready,
)

DOCKERFILE = (ROOT / "Dockerfile").read_text().replace("\\\n", " ")
SERVICE = DOCKERFILE.rpartition("\nFROM ")[2]


def instructions(word: str, stage: str = SERVICE) -> list[str]:
    return [line.strip() for line in re.findall(rf"^ *{word} (.*)$", stage, re.MULTILINE)]


def copied() -> list[str]:
    """What is taken from the folder of the project."""
    lines = instructions("COPY", DOCKERFILE)
    return [source for line in lines if "--from" not in line for source in line.split()[:-1]]


def test_a_container_serves_as_make_does() -> None:
    [line] = re.findall(r"^SERVE := \$\(BIN\)/(.+)$", (ROOT / "Makefile").read_text(), re.MULTILINE)
    made = line.replace("$(HOST)", "0.0.0.0").replace("$(PORT)", "8000").split()  # noqa: S104
    assert command_of("CMD") == made


def command_of(word: str) -> list[str]:
    return json.loads(instructions(word)[-1])


def test_every_file_copied_is_one_of_the_project() -> None:
    names = ["git", "ls-files", "--", *copied()]
    tracked = subprocess.run(names, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    for source in copied():
        assert re.search(rf"^{re.escape(source)}(/|$)", tracked, re.MULTILINE), source
    ignored = (ROOT / ".dockerignore").read_text()
    assert {f"!{source}" for source in copied()} == set(re.findall("^!.*$", ignored, re.MULTILINE))


def test_the_image_is_of_the_lock_and_of_nobody_special() -> None:
    assert "--require-hashes -r requirements.txt" in DOCKERFILE
    [user] = instructions("USER")
    assert int(user) > 0
    assert f"--uid {user} " in SERVICE
    assert SERVICE.index("\nUSER") < SERVICE.index("\nCMD")
    for image in instructions("FROM", DOCKERFILE):
        assert re.match(r"[a-z]+:[\w.-]+ AS ", image), image


@pytest.fixture
def image(tmp_path: Path) -> SimpleNamespace:
    """What the image holds, in folders of the test."""
    app, data = tmp_path / "app", tmp_path / "data"
    app.mkdir()
    for source in map(ROOT.joinpath, copied()):
        copy: Any = shutil.copytree if source.is_dir() else shutil.copy
        copy(source, app / source.name)
    variables = dict(item.split("=", 1) for item in shlex.split(" ".join(instructions("ENV"))))
    assert variables["DATA_DIR"] == "/data"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return SimpleNamespace(
        app=app, environment=variables | {"PATH": path, "DATA_DIR": str(data), "LOG_FORMAT": "json"}
    )


def start(image: SimpleNamespace, command: list[str], log: Path) -> subprocess.Popen:
    with log.open("ab") as output:
        return subprocess.Popen(
            command, cwd=image.app, env=image.environment, stdout=output, stderr=output
        )


@pytest.mark.slow
@pytest.mark.once
def test_what_the_containers_start_runs(image: SimpleNamespace, tmp_path: Path) -> None:
    """Migrations, then the server until its health check is content, and the worker."""
    log, port = tmp_path / "log", str(free_port())
    commands = {name: COMPOSE["services"][name].get("command") for name in ("migrate", "worker")}
    assert start(image, commands["migrate"], log).wait(PATIENCE) == 0, log.read_text()
    serve = [port if word == "8000" else word for word in command_of("CMD")]
    health = [word.replace(":8000/", f":{port}/") for word in health_check()]
    assert start(image, health, tmp_path / "early").wait(PATIENCE) != 0, "nothing serves yet"
    server = start(image, serve, log)
    worker = start(image, [*commands["worker"], "--once"], log)
    try:
        wait_for(f"http://127.0.0.1:{port}", server, log)
        assert start(image, health, log).wait(PATIENCE) == 0, log.read_text()
        assert worker.wait(PATIENCE) == 0, log.read_text()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as web:
            wait_until_ready(web)
    finally:
        for process in (server, worker):
            process.terminate()
            process.wait(PATIENCE)


def health_check() -> list[str]:
    _, *words = COMPOSE["services"]["app"]["healthcheck"]["test"]
    return words


# compose.yaml


def services() -> Iterator[tuple[str, dict[str, Any]]]:
    yield from COMPOSE["services"].items()


def test_compose_has_the_parts_of_an_installation() -> None:
    assert {*COMPOSE["services"]} == {"app", "worker", "migrate", "pgbouncer", "postgres", "redis"}
    stages = set(re.findall(r" AS (\w+)", DOCKERFILE))
    for name, service in services():
        if "build" in service:
            assert service["build"]["target"] in stages, name
        else:
            assert re.fullmatch(r"[a-z]+:[\w.]+", service["image"]), name
        assert {*service.get("depends_on", {})} <= {*COMPOSE["services"]}, name
        for volume in service.get("volumes", []):
            assert volume.partition(":")[0] in COMPOSE["volumes"], name
        for config in service.get("configs", []):
            assert config["source"] in COMPOSE["configs"], name


def test_servers_begin_behind_the_migrations_and_see_the_workers_files() -> None:
    for name in ("app", "worker"):
        service = COMPOSE["services"][name]
        assert service["depends_on"]["migrate"] == {"condition": "service_completed_successfully"}
        assert service["volumes"] == ["data:/data"]
    assert COMPOSE["services"]["migrate"]["restart"] == "no"


@pytest.mark.parametrize("file", [COMPOSE, CLUSTER], ids=["compose", "cluster"])
def test_compose_sets_each_variable_or_passes_it_on(file: dict[str, Any]) -> None:
    """Otherwise Compose leaves out what the operator has set, without a word."""
    of_the_image = {"DATA_DIR", "DEBUG", "ENV_FILE"}
    others = {"GRANIAN_WORKERS", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    for name, service in file["services"].items():
        if service["image"] == "qyvo-contacts":
            assert {*service["environment"]} == ({*env.scheme} - of_the_image) | others, name


@pytest.mark.parametrize("file", [COMPOSE, CLUSTER], ids=["compose", "cluster"])
def test_compose_can_wait_for_each_container(file: dict[str, Any]) -> None:
    """`up --wait` fails for a container whose health check is turned off; one without any is
    awaited until it runs. So only the servers have the check, and not the image."""
    assert "HEALTHCHECK" not in DOCKERFILE
    check = COMPOSE["services"]["app"]["healthcheck"]
    for name, service in file["services"].items():
        if service["image"] == "qyvo-contacts":
            is_server = name.startswith("app")
            assert service.get("healthcheck") == (check if is_server else None), name


def test_compose_has_no_secret() -> None:
    for name in ("app", "worker", "migrate"):
        service = COMPOSE["services"][name]
        for variable in ("SECRET_KEY", "ALLOWED_HOSTS"):
            assert service["environment"][variable] == f"${{{variable}:?}}"
        assert ":${POSTGRES_PASSWORD:?}@" in service["environment"]["DATABASE_URL"]
        if command := service.get("command"):
            assert command[:2] == ["python", "manage.py"]
            assert command[2] in get_commands()


def test_the_service_goes_through_the_pooler_and_migrations_do_not() -> None:
    urls = {
        name: COMPOSE["services"][name]["environment"]["DATABASE_URL"].partition("@")[2]
        for name in ("app", "worker", "migrate")
    }
    assert urls["app"] == urls["worker"] == "pgbouncer:6432/qyvo?prepare_threshold=off"
    assert urls["migrate"] == "postgres:5432/qyvo"
    assert "SUPERUSER" not in COMPOSE["configs"]["role.sql"]["content"]


def test_the_cluster_is_made_of_what_is_there() -> None:
    """tests/system/cluster.py starts the same file."""
    services, stages = CLUSTER["services"], set(re.findall(r" AS (\w+)", DOCKERFILE))
    mounted = {config["source"] for one in services.values() for config in one.get("configs", [])}
    assert mounted == {*CLUSTER["configs"]}
    files = {ROOT / config["file"] for config in CLUSTER["configs"].values() if "file" in config}
    kept = set((ROOT / "docs/cluster").iterdir())
    assert files == {path for path in kept if path.stem != "requirements"}
    for name, service in services.items():
        assert service.get("build", {"target": "service"})["target"] in stages, name
        assert {*service.get("depends_on", [])} <= {*services}, name


@pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL only")
@pytest.mark.django_db
def test_the_role_of_compose_may_do_all_that_is_needed(tmp_path: Path) -> None:
    name = f"qyvo_compose_{os.getpid()}"
    sql = COMPOSE["configs"]["role.sql"]["content"].replace("qyvo", name)
    url = urlsplit(os.environ["DATABASE_URL"])
    host = url.netloc.rpartition("@")[2]
    own = url._replace(netloc=f"{name}:x@{host}", path=f"/{name}").geturl()
    with psycopg.connect(url.geturl(), autocommit=True) as admin:
        try:
            for statement in sql.strip().splitlines():
                admin.execute(statement.replace("${POSTGRES_PASSWORD:?}", "x").encode())
            assert manage(tmp_path, "migrate", "-v0", DATABASE_URL=own).returncode == 0
            check = ["check", "--deploy", "--database", "default"]
            assert "qyvo.W005" not in manage(tmp_path, *check, DATABASE_URL=own).stderr
        finally:
            admin.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)".encode())
            admin.execute(f"DROP ROLE IF EXISTS {name}".encode())


# The proxy of docs/debian/nginx.conf


@pytest.fixture
def nginx(server: httpx.Client, tmp_path: Path) -> Iterator[str]:
    """The address of a real nginx with that site, in front of the server."""
    key, certificate, port = tmp_path / "key", tmp_path / "certificate", free_port()
    subprocess.run(
        [need("openssl"), "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1",
         "-subj", "/CN=localhost", "-keyout", key, "-out", certificate],
        check=True, capture_output=True,
    )  # fmt: skip
    site = (ROOT / "docs/debian/nginx.conf").read_text()
    for written, here in {
        "127.0.0.1:8000": f"127.0.0.1:{server.base_url.port}",
        "listen 80;": f"listen 127.0.0.1:{free_port()};",
        "listen [::]:80;": "",
        "listen 443": f"listen 127.0.0.1:{port}",
        "listen [::]:443 ssl;": "",
        "/etc/letsencrypt/live/contacts.example.com/fullchain.pem": str(certificate),
        "/etc/letsencrypt/live/contacts.example.com/privkey.pem": str(key),
        "/var/lib/nginx/qyvo": f"{tmp_path}/static",
        "access_log /var/log/nginx/access.log qyvo;": "",
    }.items():
        assert written in site
        site = site.replace(written, here)
    temporary = " ".join(
        f"{kind}_temp_path {tmp_path}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    user = "" if os.getuid() else "user root;"  # nobody else may write into the test's folder
    (tmp_path / "nginx.conf").write_text(
        f"{user} pid {tmp_path}/pid; error_log {tmp_path}/error.log; daemon off; events {{}}"
        f" http {{ {temporary} access_log off; {site} }}"
    )
    command = [need("nginx"), "-p", str(tmp_path), "-c", str(tmp_path / "nginx.conf")]
    checked = subprocess.run([*command, "-t"], capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stderr
    assert "[warn]" not in checked.stderr, checked.stderr
    process = subprocess.Popen(command)
    try:
        wait_until(lambda: is_open(port))
        yield f"https://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(PATIENCE)


@pytest.mark.once
def test_behind_the_proxy_slow_bodies_wait_there_and_are_limited(
    nginx: str, server: httpx.Client
) -> None:
    """The login reads a body before it knows its sender: each of these would hold a thread."""
    head = "POST /admin/login/ HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 99\r\n\r\nx="
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    with ExitStack() as stack, httpx.Client(base_url=nginx, verify=tls, timeout=60) as web:
        web.headers["Authorization"] = server.headers["Authorization"]
        assert web.get("/api/v1/me").status_code == 200
        assert web.get("/static/qyvo/admin.css").headers["Content-Encoding"] == "gzip"
        assert web.get("/metrics").status_code == 404
        for number in (49, 1):
            for _ in range(number):
                slow = socket.create_connection(("127.0.0.1", web.base_url.port))
                slow = stack.enter_context(tls.wrap_socket(slow))
                slow.sendall(head.encode())
            time.sleep(0.5)
            answer = web.get("/api/v1/me")
            assert answer.status_code == (200 if number == 49 else 429)
        assert_error(answer, 429, "rate_limited")
