"""The cluster of compose.cluster.yaml. Its parts are killed one after the other while writers run.

`pytest -s tests/system/cluster.py` shows the figures. Not collected with the others: it takes
minutes, and installs Patroni and the last release. `make check` runs it. Needs etcd, HAProxy,
PgBouncer and Redis.
"""

import os
import subprocess
import time
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import httpx
import pytest

from tests.support.cluster import Cluster, Readiness, Writers, patroni, running_cluster
from tests.support.installation import LONGEST
from tests.support.processes import need
from tests.support.versions import CURRENT, Version, last_release

HEALED = 30  # seconds
TOLD = 5  # seconds of failing requests after which /readyz has said so
LEADER = {"database", "migrations", "queue"}  # the parts of /readyz that need the leader
SERVERS = ("app1", "app2")
FAILSAFE = "continue to run as a leader because failsafe mode is enabled"  # in Patroni's log


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> Version | None:
    """The last release. The cluster starts with its servers and workers."""
    for program in ("etcd", "haproxy", "pgbouncer", "redis-server"):
        need(program)
    return last_release(tmp_path_factory.mktemp("release"))


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory, release: Version | None) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    for closed in (folder, folder.parent, folder.parent.parent):
        closed.chmod(0o755)  # for the user of PostgreSQL
    with running_cluster(folder, release or CURRENT) as cluster:
        yield cluster


@pytest.fixture(scope="module", autouse=True)
def acknowledged(cluster: Cluster) -> Iterator[Writers]:
    """Writers that run through all tests. At the end the ledger is compared with the database."""
    with Writers(cluster.server, callers=4) as writers:
        writers.wait_for(201, 10)
        yield writers
        writers.stop()
    print(writers.figures("All faults together"), f"{len(writers.promised)} acknowledged, 0 lost")
    cluster.installation.check(writers)
    cluster.installation.manage("check_contacts", "--all-tenants")


@pytest.fixture(scope="module", autouse=True)
def answers_of_upgrade(cluster: Cluster, acknowledged: Writers) -> Counter[int | None]:
    """What the writers were answered while this version replaced the last release, in the order of
    docs/operations.md. All other tests are of this version."""
    before, began = acknowledged.counts, time.monotonic()
    cluster.version = cluster.installation.version = CURRENT
    cluster.installation.manage("migrate", "-v0")
    acknowledged.wait_for(201)  # of the release's servers, on the tables of this version
    for name in SERVERS:
        cluster[name].stop()
        cluster[name].start()
        cluster.wait_until(f"{name} is ready", partial(is_ready, cluster, name))
    for name in ("worker1", "worker2"):
        cluster[name].stop()
        cluster[name].start()
    answers = acknowledged.counts - before
    print(f"\nUpgrade: {time.monotonic() - began:.0f} s, {dict(answers)}")
    return answers


def test_an_upgrade_from_the_last_release_fails_no_request(
    release: Version | None, answers_of_upgrade: Counter[int | None]
) -> None:
    assert {*answers_of_upgrade} == {201}
    if release is None:
        pytest.skip("SKIPPED: git has no history here, so nobody has upgraded the last release.")


@contextmanager
def fault(
    cluster: Cluster, writers: Writers, what: str, down: Collection[str] = ()
) -> Iterator[None]:
    """Does what the block does, and waits until no request has failed for three seconds. Requests
    fail with 503 or a broken connection, within seconds, and never with a 500. Of the parts `down`
    only, /readyz may say that they are down."""
    before = writers.counts
    since = time.monotonic()
    with ExitStack() as stack:
        watched = [stack.enter_context(Readiness(cluster[name].address)) for name in SERVERS]
        yield
        seconds = writers.healed(since)
    for name, asked in zip(SERVERS, watched, strict=True):
        if cluster[name].process:
            assert_honest(asked, down, is_told=bool(down) and seconds > TOLD)
    counts = writers.counts - before
    assert seconds < HEALED, writers.counts
    told = ", ".join(f"{status}: {number}" for status, number in counts.items())
    print(f"\n{what}: healed after {seconds:.1f} s ({told})")
    assert {*writers.counts} <= {201, 502, 503, 504, None}, writers.counts
    for name in SERVERS:
        if cluster[name].process:
            cluster.wait_until(f"{name} is ready", partial(is_ready, cluster, name))


def assert_honest(asked: Readiness, down: Collection[str], *, is_told: bool) -> None:
    """503 if a part is down, otherwise 200, within seconds. `is_told`: and a part was down."""
    assert asked.answers
    for answer in asked.answers:
        assert answer.elapsed.total_seconds() < LONGEST
        assert answer.status_code == (503 if "down" in answer.json().values() else 200), answer.text
    assert asked.down <= {*down}
    assert asked.down or not is_told


def readiness(cluster: Cluster, name: str) -> httpx.Response:
    """What /readyz of this server says, which takes seconds at most."""
    began = time.monotonic()
    answer = httpx.get(f"http://{cluster[name].address}/readyz", timeout=60)
    assert time.monotonic() - began < LONGEST
    assert answer.status_code in (200, 503)
    return answer


def is_ready(cluster: Cluster, name: str) -> bool:
    with suppress(httpx.ConnectError):
        return readiness(cluster, name).status_code == 200
    return False


def is_down(cluster: Cluster, name: str, part: str) -> bool:
    return readiness(cluster, name).json()[part] == "down"


def wait_until_down(cluster: Cluster, part: str) -> None:
    for name in SERVERS:
        is_so = partial(is_down, cluster, name, part)
        cluster.wait_until(f"/readyz of {name} tells that {part} is down", is_so)


def test_a_leader_that_is_killed_is_replaced(cluster: Cluster, acknowledged: Writers) -> None:
    leader = cluster.node("leader")
    heir = cluster.node("sync_standby")
    with fault(cluster, acknowledged, "Leader killed", LEADER):
        cluster[leader].kill()
        wait_until_down(cluster, "database")
    assert cluster.node("leader") == heir, "the one that has every acknowledged write"
    cluster[leader].start()
    cluster.wait_until("it is a replica", lambda: len(cluster.roles()) == 3)


def test_a_switchover_takes_seconds(cluster: Cluster, acknowledged: Writers) -> None:
    heir = cluster.node("sync_standby")
    with fault(cluster, acknowledged, "Switchover", LEADER):
        switch_to(cluster, heir)
    assert cluster.node("leader") == heir
    cluster.wait_until("three nodes", lambda: len(cluster.roles()) == 3)


def switch_to(cluster: Cluster, candidate: str) -> None:
    etcd = f"127.0.0.1:{cluster.port('etcd1')}"
    subprocess.run(
        [patroni() / "patronictl", "--dcs-url", f"etcd3://{etcd}", "switchover", "qyvo",
         "--leader", cluster.node("leader"), "--candidate", candidate, "--force"],
        env=os.environ, check=True, capture_output=True,
    )  # fmt: skip


def test_a_replica_that_dies_holds_up_writes_for_seconds(
    cluster: Cluster, acknowledged: Writers
) -> None:
    """Kills the replica that must confirm every commit."""
    replica = cluster.node("sync_standby")
    with fault(cluster, acknowledged, "Replica killed"):
        cluster[replica].kill()
    assert cluster.node("sync_standby") != replica
    cluster[replica].start()
    cluster.wait_until("it is back", lambda: len(cluster.roles()) == 3)


def test_writes_go_on_while_all_of_etcd_is_gone(cluster: Cluster, acknowledged: Writers) -> None:
    """The Patroni of the leader asks those of the replicas (`failsafe_mode`)."""
    cluster.wait_until("all nodes answer", partial(all_answer, cluster))
    log = cluster[cluster.node("leader")].log
    failed, read = number_of_failures(acknowledged), log.stat().st_size
    with fault(cluster, acknowledged, "All of etcd killed"), without_etcd(cluster):
        cluster.wait_until(
            "the leader goes on without etcd", lambda: FAILSAFE in log.read_text()[read:]
        )
        acknowledged.wait_for(201, 20)
    assert number_of_failures(acknowledged) == failed
    cluster.wait_until("three nodes", lambda: len(cluster.roles()) == 3)


def all_answer(cluster: Cluster) -> bool:
    """Whether each PostgreSQL runs and its Patroni answers. `roles` knows of a node that was killed
    for as long as `ttl`."""
    with suppress(httpx.TransportError):
        ports = [cluster.port(f"postgres{number}", 8008) for number in (1, 2, 3)]
        answers = [httpx.get(f"http://127.0.0.1:{port}/health", timeout=5) for port in ports]
        return all(answer.status_code == 200 for answer in answers)
    return False


@contextmanager
def without_etcd(cluster: Cluster) -> Iterator[None]:
    services = [cluster[f"etcd{number}"] for number in (1, 2, 3)]
    for service in services:
        service.kill()
    try:
        yield
    finally:
        for service in services:
            service.start()


def number_of_failures(writers: Writers) -> int:
    return sum(writers.counts.values()) - writers.counts[201]


def test_a_server_that_dies_leaves_the_work_to_the_other(
    cluster: Cluster, acknowledged: Writers
) -> None:
    with fault(cluster, acknowledged, "Server killed"):
        cluster["app1"].kill()
    cluster["app1"].start()
    cluster.wait_until("it is back", partial(is_ready, cluster, "app1"))


def test_requests_are_answered_while_redis_is_gone(cluster: Cluster, acknowledged: Writers) -> None:
    failed = number_of_failures(acknowledged)
    with fault(cluster, acknowledged, "Redis killed", {"rate_limit"}):
        cluster["redis"].kill()
        wait_until_down(cluster, "rate_limit")
        acknowledged.wait_for(201, 20)
        cluster["redis"].start()
    assert number_of_failures(acknowledged) == failed


def test_a_worker_imports_after_all_that(cluster: Cluster) -> None:
    """One has been killed; each has lost its connections twice."""
    cluster["worker1"].kill()
    csv = "phone\n" + "".join(f"+4915228817{number}\n" for number in range(100, 120))
    with cluster.server.client() as client:
        answer = client.post(
            "/api/v1/imports", content=csv.encode(), headers={"Content-Type": "text/csv"}
        )
        assert answer.status_code == 202
        key = answer.json()["id"]
        cluster.wait_until(
            "the import is done",
            lambda: client.get(f"/api/v1/imports/{key}").json()["state"] == "done",
        )
