"""Replacing SECRET_KEY: what stays, and what the operator is told."""

import stat
from pathlib import Path
from typing import Any

import pytest
from django.core import signing
from django.core.management import CommandError

from contacts.models import Webhook
from contacts.values.digests import phone_digest
from tenants import keys, two_factor
from tenants.models import KnownAddress, Tenant, User
from tests.project.test_settings import settings_of
from tests.support.commands import lines

KEYS = ("SECRET_KEY", "SECRET_KEY_FALLBACKS", "DATA_KEY")


def start_anew(settings: Any, folder: Path, **variables: str) -> None:
    """Takes the keys over that a process would have that starts now."""
    read = settings_of(folder, **variables)
    settings.DATA_DIR = folder
    for name in KEYS:
        setattr(settings, name, getattr(read, name))


def stored(user: User, webhook: Webhook) -> list[Any]:
    app = two_factor.Authenticator(user=user, key="ab")
    address = KnownAddress.digest_of("203.0.113.7")
    return [webhook.secret, app.secret, two_factor.digest("abcd"), address, phone_digest("+331")]


@pytest.fixture
def made(db: None) -> tuple[User, Webhook]:
    tenant = Tenant.objects.create(name="Acme", slug="acme")
    return User(pk=1), Webhook(pk="0" * 26, tenant=tenant, salt="s", url="https://example.com")


def test_a_generated_key_is_replaced_and_what_was_made_with_it_stays_valid(
    made: tuple[User, Webhook], settings: Any, tmp_path: Path
) -> None:
    start_anew(settings, tmp_path)
    first, before, signed = settings.SECRET_KEY, stored(*made), signing.dumps("cursor")
    for _ in range(2):  # the second time, DATA_KEY is another key than the one that is replaced
        last = settings.SECRET_KEY
        assert "Then restart all servers and workers" in "\n".join(lines("rotate_secret_key"))
        start_anew(settings, tmp_path)
        assert settings.SECRET_KEY not in {first, last}
        assert settings.SECRET_KEY_FALLBACKS[0] == last
        assert settings.SECRET_KEY_FALLBACKS[-1] == first
        assert first == settings.DATA_KEY
        assert stored(*made) == before
        assert signing.loads(signed) == "cursor"
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
    assert {path.name for path in tmp_path.iterdir()} == {keys.SECRET, keys.FALLBACK, keys.DATA}


def test_the_old_key_ends_when_it_is_forgotten(settings: Any, tmp_path: Path) -> None:
    start_anew(settings, tmp_path)
    signed = signing.dumps("cursor")
    lines("rotate_secret_key")
    assert lines("rotate_secret_key", "--forget") == [
        "The old keys are gone. Restart all servers and workers."
    ]
    start_anew(settings, tmp_path)
    with pytest.raises(signing.BadSignature):
        signing.loads(signed)
    assert lines("rotate_secret_key", "--forget") == ["There is no old key. Nothing was changed."]


def test_a_key_of_the_environment_is_replaced_by_the_variables_that_are_printed(
    made: tuple[User, Webhook], settings: Any, tmp_path: Path
) -> None:
    start_anew(settings, tmp_path, SECRET_KEY="a" * 50)
    before, signed = stored(*made), signing.dumps("cursor")
    printed = lines("rotate_secret_key")
    variables = dict(line.split("=", 1) for line in printed if not line.startswith("#"))
    assert {*variables} == {*KEYS}
    start_anew(settings, tmp_path, **variables)
    assert settings.SECRET_KEY != "a" * 50
    assert stored(*made) == before
    assert signing.loads(signed) == "cursor"
    assert [*tmp_path.iterdir()] == []
    [told] = lines("rotate_secret_key", "--forget")
    assert told.startswith("Remove SECRET_KEY_FALLBACKS")


def test_a_folder_that_cannot_be_written_is_named_and_nothing_is_replaced(
    settings: Any, tmp_path: Path
) -> None:
    start_anew(settings, tmp_path)
    (tmp_path / keys.DATA).mkdir()
    (tmp_path / keys.FALLBACK).mkdir()
    with pytest.raises(CommandError, match="cannot be written"):
        lines("rotate_secret_key")
    assert (tmp_path / keys.SECRET).read_text() == settings.SECRET_KEY
