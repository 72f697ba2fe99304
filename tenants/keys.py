"""The keys of an installation. Files in DATA_DIR keep them if the environment has none.

`SECRET_KEY` signs what lives for days: sessions, links, cursors. It can be replaced, and
`SECRET_KEY_FALLBACKS` then checks what the old keys have signed. `DATA_KEY` makes what is stored
for years: the secrets of webhooks and of second factors, the digests of people and addresses.
Nothing could make these again, so `DATA_KEY` stays when `SECRET_KEY` is replaced. Until the first
replacement both are the same key.
"""

import hmac
import secrets
from pathlib import Path

from django.conf import settings
from django.utils.crypto import salted_hmac

# The files in DATA_DIR.
SECRET = "secret_key"  # noqa: S105 - a name
FALLBACK = "secret_key_fallback"
DATA = "data_key"


def new_secret() -> str:
    return secrets.token_urlsafe(50)


def kept_secret(path: Path) -> str:
    """The secret in the file `path`. On first use, generates one and writes the file, readable by
    its owner only. Raises `OSError` if the folder is not writable.

    Several processes may start at the same time. Each writes a file of its own; the hard link lets
    the first one win, and nobody reads a file that is half written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    if not path.exists():
        fresh.touch(mode=0o600)
        fresh.write_text(new_secret())
        try:
            path.hardlink_to(fresh)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text()


def read_secret(path: Path) -> str:
    """The secret in the file `path`; empty if there is no such file."""
    return path.read_text() if path.exists() else ""


def replace_generated(folder: Path) -> None:
    """Replaces the generated secret key in `folder` (DATA_DIR). The old key becomes a fallback, and
    the data key if there is none yet. Raises `OSError` if a file cannot be written.

    In this order, each state in between is one with which a starting server works.
    """
    old = read_secret(folder / SECRET)
    if not (folder / DATA).exists():
        write_secret(folder / DATA, old)
    write_secret(folder / FALLBACK, "\n".join([old, *fallbacks(folder)]))
    write_secret(folder / SECRET, new_secret())


def fallbacks(folder: Path) -> list[str]:
    """The earlier generated keys in `folder`, the latest first."""
    return read_secret(folder / FALLBACK).split()


def write_secret(path: Path, secret: str) -> None:
    """Writes the file `path`, readable by its owner only. No process reads it half written."""
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    fresh.touch(mode=0o600)
    fresh.write_text(secret)
    fresh.replace(path)


def lasting_hmac(purpose: str, value: str, algorithm: str = "sha1") -> hmac.HMAC:
    """The HMAC of `value` with a key that is derived from `DATA_KEY` and `purpose`. Stored secrets
    and digests are made with it, so that they stay valid when `SECRET_KEY` is replaced."""
    return salted_hmac(purpose, value, settings.DATA_KEY, algorithm=algorithm)
