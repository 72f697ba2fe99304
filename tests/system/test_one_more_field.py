"""A field that is declared in one place reaches everything that handles fields."""

import os
import subprocess
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from urllib.parse import urlsplit

import psycopg
import pytest
from django.db import connection

from tests.support.databases import test_database_url
from tests.support.paths import ROOT


def alter(change: str) -> None:
    """Changes the table of contacts as its owner, who the tests may not be."""
    statement = f"ALTER TABLE contacts_contact {change}"
    if connection.vendor == "sqlite":
        with connection.cursor() as cursor:
            cursor.execute(statement)
        return
    url = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}")
    with psycopg.connect(url.geturl(), autocommit=True) as owner:
        owner.execute(statement.encode())


@pytest.fixture
def column_of_nickname(transactional_db: None) -> Iterator[None]:
    alter("ADD COLUMN nickname varchar(100) NOT NULL DEFAULT ''")
    yield
    alter("DROP COLUMN nickname")


def test_a_field_that_is_only_declared_is_handled_everywhere(
    column_of_nickname: None, acme: SimpleNamespace
) -> None:
    """In a process of its own: modules read the declaration when they are imported."""
    environment = os.environ | {"DATABASE_URL": test_database_url(), "RATELIMIT_DEFAULT": ""}
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.one_more_field", acme.plaintext],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert run.returncode == 0, run.stdout + run.stderr
    steps = "created updated undone merged deleted exported imported edited checked documented"
    assert run.stdout.splitlines()[-1] == steps
