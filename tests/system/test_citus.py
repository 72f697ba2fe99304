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

from tests.support.api import ACTIONS, PASSWORD
from tests.support.citus import citus_cluster, role_with_rights
from tests.support.processes import PATIENCE, manage, serving, worker
from tests.system.test_pooler import every_action

pytestmark = pytest.mark.skipif(connection.vendor != "postgresql", reason="is about PostgreSQL")
SHARDS = """
SELECT result::int FROM run_command_on_shards(
    'contacts_contact', $$SELECT count(*) FROM %s WHERE former_of_id IS NULL$$
) WHERE result::int > 0
"""
COPIES = "SELECT sum(pg_relation_size(logicalrelid)) FROM pg_dist_partition"
SUPERUSER = "sue@host.example"
# Prints the tokens of two tenants. Acme has a contact from before.
SETUP = f"""
from django.core.management import call_command
from tenants.models import ApiToken, Tenant, User
for name in ("acme", "globex"):
    tenant = Tenant.objects.create(name=name, slug=name)
    user = User.objects.create(email=f"ann@{{name}}.example", tenant=tenant)
    print(ApiToken.objects.issue(user, "test").plaintext)
User.objects.create_superuser("{SUPERUSER}", "{PASSWORD}")
call_command("import_contacts", "%s", tenant="acme", quiet=True)
"""
# What Citus has refused before: ids that were given out, joins and locks without the tenant.
COMMANDS = """
from django.core.management import call_command
from tenants.models import User
User.objects.create(email="new@acme.example")
call_command("find_duplicates", once=True, quiet=True)
for command, option in [
    ("retag", {"rename": "before=earlier"}),
    ("record_consent", {"status": "opted_in", "tag": "earlier", "at": "2026-01-01T00:00Z"}),
    ("prune_tags", {}),
]:
    call_command(command, tenant="acme", quiet=True, **option)
"""


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[SimpleNamespace]:
    """`url`: of the owner; `database`: the URL of the server's role; `told`: what `distribute` has
    printed; `tokens`: of Acme and Globex."""
    with citus_cluster(workers=2) as url:

        def run(*words: str) -> str:
            done = manage(tmp_path, *words, DATABASE_URL=url)
            assert done.returncode == 0, done.stderr
            return done.stdout

        run("migrate", "--verbosity", "0")
        login = role_with_rights(url)
        file = tmp_path / "shop.csv"
        file.write_text("phone,name,tags\n+14155550199,Ada Lovelace,before\n")
        tokens = re.findall(r"qyvo_\w+", run("shell", "-v0", "-c", SETUP % file))
        yield SimpleNamespace(
            url=url,
            database=url.replace("postgres:@", f"{login}@"),
            told=run("distribute"),
            run=run,
            tokens=tokens,
        )


@pytest.fixture
def rows(cluster: SimpleNamespace) -> Any:
    with psycopg.connect(cluster.url, autocommit=True) as owner:
        yield lambda query: owner.execute(query).fetchall()


def client(url: str, token: str) -> httpx.Client:
    headers = {"Authorization": f"Bearer {token}"}
    return httpx.Client(base_url=url, headers=headers, timeout=60)


def saved_in_admin(url: str, contact: str) -> int:
    """The status of the answer to a superuser, who sees all tenants and renames the contact."""
    with httpx.Client(base_url=url, timeout=60) as web:
        web.get("/admin/login/")
        login = {"username": SUPERUSER, "password": PASSWORD}
        form = {"phone": "+14155550177", "name": "Renamed", "tags": "vip", "metadata": "{}"}
        page = f"/admin/contacts/contact/{contact}/change/"
        for address, data in [("/admin/login/", login), (page, form)]:
            token = {"csrfmiddlewaretoken": web.cookies["csrftoken"]}
            answer = web.post(address, data=data | token)
        return answer.status_code


def test_tenants_are_distributed_once_and_every_action_shows_each_its_own_rows(
    cluster: SimpleNamespace, rows: Any, tmp_path: Path
) -> None:
    assert "tables distributed before: 0" in cluster.told
    assert "create_distributed_table" not in cluster.run("distribute", "--dry-run")
    assert "tables distributed: 0" in cluster.run("distribute")
    cluster.run("shell", "-v0", "-c", COMMANDS)
    assert rows(COPIES) == [(0,)], "the coordinator keeps no rows that nobody would see"
    variables = {"DATABASE_URL": cluster.database, "RATELIMIT_DEFAULT": ""}
    with (
        serving(tmp_path / "log", workers=1, **variables) as url,
        client(url, cluster.tokens[0]) as acme,
        client(url, cluster.tokens[1]) as globex,
        client(url, "qyvo_nobody") as outsider,
    ):
        for number, web in enumerate([acme, globex]):
            wrong = [call for call in every_action(web, number) if call[1] not in (200, 201, 202)]
            assert not wrong, (tmp_path / "log").read_text()
        csv = {"Content-Type": "text/csv"}
        file = b"phone,tags,opted_in_at\n+14155550177,vip,2026-01-01\n+14155550123,new,\n"
        for words, content in [("", file), ("?tag=shop", b"phone\n+14155550177\n")]:
            answer = acme.post(f"/api/v1/imports{words}", content=content, headers=csv)
            assert answer.status_code == 202
        with worker(tmp_path, tmp_path / "worker", "--once", **variables) as process:
            assert process.wait(PATIENCE) == 0, (tmp_path / "worker").read_text()
        key = {"phone": "+14155550177"}
        answers = [web.post(ACTIONS + "get-contact", json=key) for web in (acme, globex, outsider)]
        assert [answer.status_code for answer in answers] == [200, 404, 401]
        assert answers[0].json()["tags"] == ["vip", "shop"]
        assert saved_in_admin(url, answers[0].json()["id"]) == 302
        found = acme.post(ACTIONS + "search-contacts", json={"query": "rename"}).json()
        assert [contact["name"] for contact in found] == ["Renamed"]
        tags = {tag["name"] for tag in acme.post(ACTIONS + "list-tags", json={}).json()}
        assert "earlier" in tags, "what was there before is still there"
    shards = rows(SHARDS)
    assert len(shards) <= 2, "each tenant is on one node"
    # Of each tenant 21 of `every_action`; of Acme, one from before and one of the import.
    assert sum(number for [number] in shards) == 21 + 23
