"""Reading from a replica: a real standby that lags, and is killed.

All on one pair of servers of PostgreSQL and one server of ours, which connects as a role that
row-level security holds for.
"""

import re
import subprocess
import sys
import time
from collections.abc import Iterator
from copy import copy
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from urllib.parse import urlsplit

import httpx
import psycopg
import pytest
from django.db import DEFAULT_DB_ALIAS, connection

from contacts.db import replica
from contacts.db.replica import NOW, PAUSE, Stranger
from contacts.exporting.export import PAGE
from tenants.management.commands.create_demo import EMAIL
from tests.support.api import assert_error
from tests.support.installation import PATIENCE, Installation, Server, cluster, new_phone
from tests.support.paths import ROOT
from tests.support.postgres import RESTRICTED, restricted_role
from tests.support.processes import manage, wait_until
from tests.support.standby import NOISE, Standby, standby_of

pytestmark = pytest.mark.skipif(connection.vendor != "postgresql", reason="SQLite has no replicas")
OTHERS = """
from tenants.models import ApiToken, Tenant, User
globex = Tenant.objects.create(name="Globex", slug="globex")
for name, tenant in (("gus", globex), ("otto", None)):
    user = User.objects.create_user(f"{name}@globex.example", "hunter2-hunter2", tenant=tenant)
    print(f"{name}={ApiToken.objects.issue(user, 'tests').plaintext}")
"""
GRANTS = f"""
GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO {RESTRICTED};
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {RESTRICTED}
"""


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """`standby`, `server`, and a client of each: `acme`, `globex`, and `outsider`."""
    with cluster() as leader, pytest.MonkeyPatch.context() as patch:
        installation = Installation(leader, tmp_path_factory.mktemp("data"))
        tokens = dict(re.findall(r"(\w+)=(\S+)", installation.manage("shell", "-c", OTHERS)))
        role = restricted_role(leader.url)
        with psycopg.connect(leader.url, autocommit=True) as owner:
            owner.execute(GRANTS.encode())
        folder = Path(leader.server.pgdata).with_name("standby")
        with standby_of(leader, folder) as standby:
            patch.setenv("READ_DATABASE_URL", as_role(standby.url, role))
            restricted = copy(installation)
            restricted.database = copy(leader)
            restricted.database.url = as_role(leader.url, role)
            with restricted.server(workers=1) as server:
                clients = {
                    "acme": client(server, installation.token),
                    "globex": client(server, tokens["gus"]),
                    "outsider": client(server, tokens["otto"]),
                }
                yield SimpleNamespace(
                    standby=standby, server=server, installation=restricted, **clients
                )
                for web in clients.values():
                    web.close()


def as_role(url: str, role: str) -> str:
    parts = urlsplit(url)
    return parts._replace(netloc=f"{role}@{parts.netloc.rpartition('@')[2]}").geturl()


def client(server: Server, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=server.url, headers=headers, timeout=60)


@pytest.fixture
def standby(pair: SimpleNamespace) -> Standby:
    """It is read, also if the test before has broken it."""
    pair.standby.catch_up()
    wait_until(lambda: read_from(pair.acme) == "replica")
    return pair.standby


def call(web: httpx.Client, action: str, headers: Any = None, **body: Any) -> httpx.Response:
    return web.post(f"/api/v1/actions/{action}", json=body, headers=headers)


def created(web: httpx.Client, **fields: Any) -> tuple[str, dict[str, str]]:
    """The phone of a new contact, and the header with the position after it."""
    phone = new_phone()
    answer = call(web, "create-contact", phone=phone, **fields)
    assert answer.status_code == 201
    return phone, {"Qyvo-Position": answer.headers["Qyvo-Position"]}


def found(answer: httpx.Response, where: str) -> list[str]:
    """The phones in an answer, which was read there."""
    assert (answer.status_code, answer.headers.get("Qyvo-Read-From", "")) == (200, where)
    body = answer.json()
    return [row["phone"] for row in (body["data"] if isinstance(body, dict) else body)]


READY = dict.fromkeys(["database", "migrations", "queue", "rate_limit"], "up")
EVENTUAL, STRONG = {"Qyvo-Consistency": "eventual"}, {"Qyvo-Consistency": "strong"}


def test_a_read_from_a_replica_that_lags_is_old_unless_its_caller_asks_for_more(
    pair: SimpleNamespace, standby: Standby
) -> None:
    web = pair.acme
    with standby.paused():
        phone, position = created(web, name="Late Larry", tags="late")
        assert found(call(web, "search-contacts", query="larry"), "replica") == []
        assert phone not in found(call(web, "list-contacts"), "replica")
        assert call(web, "list-tags", name="late").json() == []
        assert call(web, "get-contact", EVENTUAL, phone=phone).status_code == 404

        assert found(call(web, "search-contacts", position, query="larry"), "leader") == [phone]
        assert phone in found(call(web, "list-contacts", position), "leader")
        assert found(call(web, "search-contacts", STRONG, query="larry"), "") == [phone]
        assert call(web, "get-contact", phone=phone).json()["name"] == "Late Larry"
        eventual = call(web, "get-contact", EVENTUAL | position, phone=phone)
        assert (eventual.status_code, eventual.headers["Qyvo-Read-From"]) == (200, "leader")
        exported = pair.installation.manage("export_contacts", "--tenant", "demo")
        assert phone in exported, "an export has all that is committed"
    assert found(call(web, "search-contacts", position, query="larry"), "replica") == [phone]
    tags = call(web, "list-tags", position, name="late")
    assert (tags.headers["Qyvo-Read-From"], tags.json()[0]["contacts_count"]) == ("replica", 1)
    eventual = call(web, "get-contact", EVENTUAL | position, phone=phone)
    assert (eventual.status_code, eventual.headers["Qyvo-Read-From"]) == (200, "replica")
    for header, value in (("Qyvo-Consistency", "weak"), ("Qyvo-Position", "1;2")):
        refused = call(web, "search-contacts", {header: value})
        assert (refused.status_code, [*refused.json()["errors"]]) == (422, [header])


def test_the_replica_shows_each_tenant_its_own_contacts_and_an_outsider_none(
    pair: SimpleNamespace, standby: Standby
) -> None:
    ours, _ = created(pair.acme, name="Shared Sharon")
    theirs, _ = created(pair.globex, name="Shared Sharon")
    standby.catch_up()
    for _ in range(3):  # the connections are shared by the tenants
        for web, phone, other in ((pair.acme, ours, theirs), (pair.globex, theirs, ours)):
            assert found(call(web, "search-contacts", query="sharon"), "replica") == [phone]
            assert other not in found(call(web, "list-contacts"), "replica")
            assert call(web, "get-contact", EVENTUAL, phone=other).status_code == 404
            own = call(web, "get-contact", EVENTUAL, phone=phone)
            assert own.headers["Qyvo-Read-From"] == "replica"
        assert_error(call(pair.outsider, "search-contacts", query="sharon"), 422, "no_workspace")
    with psycopg.connect(pair.installation.environment["READ_DATABASE_URL"]) as replica:
        assert replica.execute("SELECT count(*) FROM contacts_contact").fetchone() == (0,)


def test_a_role_of_the_replica_that_sees_all_tenants_is_reported(pair: SimpleNamespace) -> None:
    here = pair.installation
    for url, is_reported in (
        (pair.standby.url, True),
        (here.environment["READ_DATABASE_URL"], False),
    ):
        done = manage(
            here.data_dir, "check", "--deploy", "--database", "default",
            DATABASE_URL=here.database.url, READ_DATABASE_URL=url,
        )  # fmt: skip
        assert ("qyvo.W006" in done.stderr) is is_reported, done.stderr


def test_staff_see_in_a_list_what_they_have_just_saved(
    pair: SimpleNamespace, standby: Standby
) -> None:
    with httpx.Client(base_url=pair.server.url, follow_redirects=True, timeout=60) as browser:
        log_in(browser, pair.installation.password)
        browser.cookies.delete("qyvo_position")
        standby.catch_up()
        with standby.paused():
            saved = browser.post(
                "/admin/contacts/contact/add/",
                data={
                    "phone": new_phone(), "name": "Saved Sally", "metadata": "{}",
                    "tenant": pair.acme.get("/api/v1/me").json()["tenant"]["id"],
                    "csrfmiddlewaretoken": browser.cookies["csrftoken"],
                },
            )  # fmt: skip
            assert saved.url.path == "/admin/contacts/contact/"
            assert listed(saved), "the list after the redirect"
            browser.cookies.delete("qyvo_position")
            assert not listed(browser.get("/admin/contacts/contact/"))
        assert listed(browser.get("/admin/contacts/contact/"))


def listed(page: httpx.Response) -> bool:
    """Whether the table has the name, without the message that the contact was added."""
    _, _, table = page.text.partition('id="result_list"')
    return "Saved Sally" in table


def log_in(browser: httpx.Client, password: str) -> None:
    browser.get("/admin/login/")
    answer = browser.post(
        "/admin/login/?next=/admin/",
        data={
            "username": EMAIL, "password": password,
            "csrfmiddlewaretoken": browser.cookies["csrftoken"],
        },
    )  # fmt: skip
    assert answer.url.path == "/admin/"


def test_a_standby_that_is_promoted_while_the_leader_goes_on_is_not_read(
    pair: SimpleNamespace, standby: Standby
) -> None:
    web = pair.acme
    old, former = created(web, name="Nora Before")
    standby.catch_up()
    assert found(call(web, "search-contacts", former, query="nora"), "replica") == [old]
    with standby.promoted():
        phone, position = created(web, name="Nora After")
        assert found(call(web, "search-contacts", position, query="nora"), "leader") == [phone, old]
        wait_until(lambda: read_from(web) == "leader")
        with psycopg.connect(standby.url, autocommit=True) as foreign:
            foreign.execute("UPDATE contacts_contact SET name = 'Foreign Nora'")
        for headers in (None, former, {"Qyvo-Position": former["Qyvo-Position"].split(":")[1]}):
            answer = call(web, "search-contacts", headers, query="nora after")
            assert found(answer, "leader") == [phone], headers
        ready = web.get("/readyz")
        assert (ready.status_code, ready.json()["replica"]) == (200, "down")
        assert "it is no standby" in checked(pair, standby.url)
    wait_until(lambda: read_from(web) == "replica")
    assert found(call(web, "search-contacts", position, query="nora"), "replica") == [phone, old]


def read_from(web: httpx.Client) -> str:
    return call(web, "search-contacts").headers["Qyvo-Read-From"]


def checked(pair: SimpleNamespace, replica: str) -> str:
    """What `check --deploy` says of the replica."""
    done = manage(
        pair.installation.data_dir, "check", "--deploy", "--database", "default",
        DATABASE_URL=pair.installation.database.url, READ_DATABASE_URL=replica,
    )  # fmt: skip
    return "".join(line for line in done.stderr.splitlines() if "qyvo.W008" in line)


def test_after_a_failover_positions_of_the_former_leader_are_read_from_the_replica(
    pair: SimpleNamespace, standby: Standby, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The standby becomes the leader. The former leader goes on, and has a standby, which follows
    it. All servers have more in their log than the positions ask for."""
    folder = standby.folder.parent
    _, position = created(pair.acme)
    standby.catch_up()
    with standby_of(standby.leader, folder / "left", 5434) as left, standby.promoted():
        created(pair.acme)
        with standby_of(standby.leader, folder / "heir", 5435, source=standby.port) as heir:
            with psycopg.connect(standby.url, autocommit=True) as new_leader:
                new_leader.execute(NOISE)
                [now] = new_leader.execute(NOW).fetchone() or ()
            place = now.partition(":")[2]
            heir.replay(place)
            while not about({"": standby.leader.url}, "", place).is_as_far:
                standby.leader.rows(NOISE)
            left.replay(place)
            before = position["Qyvo-Position"]
            for url, after_former, after_new in (
                (heir.url, True, True),
                (standby.url, True, True),  # the leader, behind a balancer
                (left.url, True, False),  # the former leader's place, and not the new one's
                (standby.leader.url, Stranger, Stranger),
            ):
                urls = {replica.ALIAS: url, DEFAULT_DB_ALIAS: standby.url}
                monkeypatch.setattr(replica, "about", partial(about, urls))
                assert has_reached(before) == after_former, url
                assert has_reached(now) == after_new, url
            urls = {replica.ALIAS: heir.url, DEFAULT_DB_ALIAS: standby.leader.url}
            monkeypatch.setattr(replica, "about", partial(about, urls))
            assert has_reached(before) is Stranger, "it follows another leader"


def about(urls: dict[str, str], alias: str, place: str = replica.BEGINNING) -> replica.Server:
    """As a role without rights."""
    with psycopg.connect(as_role(urls[alias], RESTRICTED)) as connection:
        return replica.Server(*(connection.execute(replica.ABOUT, [place]).fetchone() or ()))


def has_reached(after: str) -> Any:
    try:
        return replica.has_reached(after, replica.about(DEFAULT_DB_ALIAS))
    except Stranger:
        return Stranger


def test_a_database_of_another_cluster_is_not_read(pair: SimpleNamespace) -> None:
    params = connection.get_connection_params()
    host, port, name = (params.get(key) or "" for key in ("host", "port", "dbname"))
    other = f"postgres://{params['user']}@/{name}?host={host}&port={port or 5432}"
    assert "it is of another cluster" in checked(pair, other)
    assert "not read" in checked(pair, "postgres://127.0.0.1:1/qyvo"), "nobody answers"
    assert checked(pair, pair.standby.url) == ""


def test_a_replica_that_is_frozen_holds_up_reads_and_exports_for_seconds(
    pair: SimpleNamespace, standby: Standby
) -> None:
    web, export = (
        pair.globex,
        [sys.executable, "manage.py", "export_contacts", "--tenant", "globex"],
    )
    number = 3 * PAGE
    for start in range(0, number, 1000):
        rows = [{"phone": new_phone(), "name": "n" * 200} for _ in range(1000)]
        assert call(web, "create-contacts", contacts=rows).json()["created"] == 1000, start
    standby.catch_up()
    assert read_from(web) == "replica"
    with subprocess.Popen(
        export, cwd=ROOT, env=pair.installation.environment, stdout=subprocess.PIPE, bufsize=0
    ) as began:
        assert began.stdout
        began.stdout.read(1)  # the first page has been read from the replica; nobody takes it
        with standby.frozen():
            assert read_from(web) == "leader"
            assert web.get("/readyz").json() == READY | {"status": "ok", "replica": "down"}
            rest, _ = began.communicate(timeout=PATIENCE)
    assert (began.returncode, rest.count(b"n" * 200)) == (0, number)
    wait_until(lambda: web.get("/readyz").json()["replica"] == "up")


def test_a_replica_that_stands_still_is_behind_for_readyz(
    pair: SimpleNamespace, standby: Standby
) -> None:
    with standby.paused():
        created(pair.acme)
        wait_until(lambda: pair.acme.get("/readyz").json()["replica"] == "behind")
        assert pair.acme.get("/readyz").json() == READY | {"status": "ok", "replica": "behind"}
    wait_until(lambda: pair.acme.get("/readyz").json()["replica"] == "up")


def test_reads_go_on_when_the_replica_is_killed(pair: SimpleNamespace, standby: Standby) -> None:
    web, log = pair.acme, pair.installation
    phone, _ = created(web, name="Steady Stan")
    standby.catch_up()
    assert found(call(web, "search-contacts", query="stan"), "replica") == [phone]
    wait_until(lambda: web.get("/readyz").json()["replica"] == "up")
    log.forget_log()
    standby.kill()
    began = time.monotonic()
    try:
        for _ in range(5):
            assert found(call(web, "search-contacts", query="stan"), "leader") == [phone]
        give_up = time.monotonic() + PATIENCE
        while (ready := web.get("/readyz")).json()["replica"] != "down":
            assert time.monotonic() < give_up, "what was well a second ago is asked again"
            time.sleep(0.1)
        assert ready.status_code == 200
        tried_again = int((time.monotonic() - began) / PAUSE)
        told = len(log.lines("The replica is not asked"))
        assert 1 <= told <= 1 + tried_again, "a line, and not one per request"
    finally:
        standby.start()
    give_up = time.monotonic() + PATIENCE
    while call(web, "search-contacts").headers["Qyvo-Read-From"] != "replica":
        assert time.monotonic() < give_up, "it is asked again"
        time.sleep(0.5)
