"""Reads the environment: the list of all variables, and how their values are parsed.

`settings` says what each variable does. Raises `ImproperlyConfigured` with a message that names the
variable and never shows its value: it may be a secret in the wrong place.
"""

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
    DATA_KEY=(str, ""),
    DEBUG=(bool, False),
    ENV_FILE=(str, ".env"),
    IMPORT_MAX_MB=(int, 1024),
    LOG_FORMAT=(str, "line"),
    LOG_LEVEL=(str, "INFO"),
    METRICS_TOKEN=(str, ""),
    OAUTH=(bool, False),
    RATELIMIT_DEFAULT=(str, "120/minute"),
    RATELIMIT_STORAGE_URL=(str, "memory://"),
    REQUIRE_TWO_FACTOR=(bool, False),
    SECRET_KEY=(str, ""),
    SECRET_KEY_FALLBACKS=(list, []),
    TIME_ZONE=(str, "UTC"),
    WEBHOOK_ALLOWED_NETWORKS=(list, []),
)


def database_at(url: str) -> dict[str, Any]:
    """The entry of Django's `DATABASES` for DATABASE_URL. Raises `ImproperlyConfigured`."""
    if not url.startswith(("postgres://", "postgresql://", "sqlite:///")):
        raise ImproperlyConfigured(
            "DATABASE_URL must begin with postgres:// or sqlite:///; leave it empty for SQLite."
        )
    try:
        return env.db_url_config(url)
    except ValueError:
        raise ImproperlyConfigured(
            "DATABASE_URL cannot be read. Write postgres://user:password@host:port/name;"
            " percent-encode special characters in the password, such as %23 for #."
        ) from None
