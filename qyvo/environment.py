"""Reads the environment: the list of all variables, and how their values are parsed.

`settings` says what each variable does. Raises `ImproperlyConfigured` with a message that names the
variable and never shows its value: it may be a secret in the wrong place.
"""

import secrets
from pathlib import Path
from typing import Any

import environ
from django.core.exceptions import ImproperlyConfigured


class Env(environ.Env):
    """Reads a variable with the type and default that the scheme below gives it."""

    FALSE = ("false", "off", "no", "n", "0", "")

    def get_value(self, var: str, *args: Any, **kwargs: Any) -> Any:
        kind, default = self.scheme[var]
        words = (*self.BOOLEAN_TRUE_STRINGS, *self.FALSE)
        if kind is bool and self.ENVIRON.get(var, "").lower() not in words:
            raise ImproperlyConfigured(f"{var} must be true or false.")
        try:
            return super().get_value(var, *args, **kwargs)
        except ValueError:
            raise ImproperlyConfigured(f"{var} must be a number, such as {default}.") from None


# The scheme is the whole list of variables: name -> (type, default). A test compares
# it with docs/configuration.md and .env.example.
env = Env(
    ALLOWED_HOSTS=(list, ["localhost", "127.0.0.1", "[::1]"]),
    BEHIND_HTTPS_PROXY=(bool, False),
    CORS_ALLOWED_ORIGINS=(list, []),
    CSRF_TRUSTED_ORIGINS=(list, []),
    DATABASE_URL=(str, ""),
    DATA_DIR=(str, ".data"),
    DEBUG=(bool, False),
    ENV_FILE=(str, ".env"),
    IMPORT_MAX_MB=(int, 1024),
    LOG_FORMAT=(str, "line"),
    LOG_LEVEL=(str, "INFO"),
    METRICS_TOKEN=(str, ""),
    OAUTH=(bool, False),
    RATELIMIT_DEFAULT=(str, "120/minute"),
    RATELIMIT_STORAGE_URL=(str, "memory://"),
    READ_DATABASE_URL=(str, ""),
    REQUIRE_TWO_FACTOR=(bool, False),
    SECRET_KEY=(str, ""),
    TIME_ZONE=(str, "UTC"),
    WEBHOOK_ALLOWED_NETWORKS=(list, []),
)


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
        fresh.write_text(secrets.token_urlsafe(50))
        try:
            path.hardlink_to(fresh)
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text()


def database_at(url: str, name: str = "DATABASE_URL") -> dict[str, Any]:
    """The entry of Django's `DATABASES` for the value of the variable `name`. Raises
    `ImproperlyConfigured`."""
    if not url.startswith(("postgres://", "postgresql://", "sqlite:///")):
        raise ImproperlyConfigured(
            f"{name} must begin with postgres:// or sqlite:///; leave it empty for SQLite."
        )
    try:
        return env.db_url_config(url)
    except ValueError:
        raise ImproperlyConfigured(
            f"{name} cannot be read. Write postgres://user:password@host:port/name;"
            " percent-encode special characters in the password, such as %23 for #."
        ) from None
