"""On a Citus cluster: a coordinator and two workers, between which the tenants are distributed."""

import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import psycopg
import pytest
from django.db import connection

from tests.support.api import ACTIONS
from tests.support.citus import citus_cluster
from tests.support.postgres import RESTRICTED, restricted_role
from tests.support.processes import manage, serving, worker
from tests.system.test_pooler import every_action

pytestmark = pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL")
SHARDS = """
SELECT result::int FROM run_command_on_shards(
    'contacts_contact', $$SELECT count(*) FROM %s WHERE former_of_id IS NULL$$
) WHERE result::int > 0
"""
COPIES = "SELECT sum(pg_relation_size(logicalrelid)) FROM pg_dist_partition"


@pytest.fixture
def cluster(django_db_setup: None, tmp_path: Path) -> Iterator[SimpleNamespace]:
    """`url`: of the owner; `database`: the URL of the server's role; `told`: what `distribute` has
    printed. Acme has a contact from before."""
    with citus_cluster(workers=2) as url:
        folder = tmp_path
        role = restricted_role(url)

        def run(*words: str) -> str:
            done = manage(folder, *words, DATABASE_URL=url)
            assert done.returncode == 0, done.stderr
            return done.stdout

        run("migrate", "--verbosity", "0")
        rights = "SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public"
        with psycopg.connect(url, autocommit=True) as owner:
            owner.execute(f"GRANT {rights} TO {RESTRICTED}".encode())
            owner.execute(
                f"GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA public TO {RESTRICTED}".encode()
            )
        for name in ("Acme", "Globex"):
            run("create_tenant", name, "--email", f"ann@{name.lower()}.example")
        (folder / "shop.csv").write_text("phone,tags\n+14155550199,before\n")
        run("import_contacts", str(folder / "shop.csv"), "--tenant", "acme")
        yield SimpleNamespace(
            url=url,
            database=url.replace("postgres:@", f"{role}@"),
            folder=folder,
            told=run("distribute"),
            run=run,
            tokens={
                name: re.findall(r"qyvo_\w+", run("create_token", f"ann@{name}.example"))[0]
                for name in ("acme", "globex")
            },
        )


@pytest.fixture
def rows(cluster: SimpleNamespace) -> Any:
    with psycopg.connect(cluster.url, autocommit=True) as owner:
        yield lambda query: owner.execute(query).fetchall()


def client(url: str, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=url, headers=headers, timeout=60)


def test_tenants_are_distributed_once_and_every_action_shows_each_its_own_rows(
    cluster: SimpleNamespace, rows: Any, tmp_path: Path
) -> None:
    assert "tables distributed before: 0" in cluster.told
    assert "create_distributed_table" not in cluster.run("distribute", "--dry-run")
    assert "tables distributed: 0" in cluster.run("distribute")
    assert rows(COPIES) == [(0,)], "the coordinator keeps no rows that nobody would see"
    variables = {"DATABASE_URL": cluster.database, "RATELIMIT_DEFAULT": ""}
    with (
        serving(tmp_path / "log", workers=1, **variables) as url,
        client(url, cluster.tokens["acme"]) as acme,
        client(url, cluster.tokens["globex"]) as globex,
        client(url, "qyvo_nobody") as outsider,
    ):
        for number, web in enumerate([acme, globex]):
            wrong = [call for call in every_action(web, number) if call[1] not in (200, 201, 202)]
            assert not wrong, (tmp_path / "log").read_text()
        csv = {"Content-Type": "text/csv"}
        file = b"phone,tags,opted_in_at\n+14155550177,vip,2026-01-01\n+14155550123,new,\n"
        assert acme.post("/api/v1/imports", content=file, headers=csv).status_code == 202
        with worker(tmp_path, tmp_path / "worker", "--once", **variables) as process:
            assert process.wait(timeout=120) == 0, (tmp_path / "worker").read_text()
        key = {"phone": "+14155550177"}
        answers = [web.post(ACTIONS + "get-contact", json=key) for web in (acme, globex, outsider)]
        assert [answer.status_code for answer in answers] == [200, 404, 401]
        assert answers[0].json()["tags"] == ["vip"]
        tags = {tag["name"] for tag in acme.post(ACTIONS + "list-tags", json={}).json()}
        assert "before" in tags, "what was there before is still there"
    shards = rows(SHARDS)
    assert len(shards) <= 2, "each tenant is on one node"
    # Of each tenant 21 of `every_action`; of Acme, one from before and one of the import.
    assert sum(number for [number] in shards) == 21 + 23
