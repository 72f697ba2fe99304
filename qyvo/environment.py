"""Reads the environment: the list of all variables, and how their values are parsed.

`settings` says what each variable does. Raises `ImproperlyConfigured` with a message that names the
variable and never shows its value: it may be a secret in the wrong place.
"""

from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

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
    EMAIL_FROM=(str, ""),
    EMAIL_URL=(str, ""),
    ENV_FILE=(str, ".env"),
    FILES_URL=(str, ""),
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
    SECRET_KEY_FALLBACKS=(list, []),
    TIME_ZONE=(str, "UTC"),
    WEBHOOK_ALLOWED_NETWORKS=(list, []),
)


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


STORE_OPTIONS = {  # of the query in FILES_URL: the option of django-storages
    "endpoint_url": "endpoint_url",
    "region": "region_name",
    "addressing_style": "addressing_style",
}


def files_at(url: str) -> dict[str, Any]:
    """The entry of Django's `STORAGES` for FILES_URL. Raises `ImproperlyConfigured`; the message
    shows no part of the URL, which may contain a secret."""
    if not url:
        return {"BACKEND": "contacts.jobs.files.Disk"}
    try:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query, strict_parsing=True) if parts.query else ())
        bucket = parts.hostname or ""
    except ValueError:
        raise ImproperlyConfigured(FILES_URL_FORM) from None
    if parts.scheme != "s3" or not bucket or not given.keys() <= STORE_OPTIONS.keys():
        raise ImproperlyConfigured(FILES_URL_FORM)
    if not given.get("endpoint_url", "https://").startswith(("https://", "http://")):
        raise ImproperlyConfigured("FILES_URL: endpoint_url must begin with https:// or http://.")
    # A server of one's own, such as MinIO, has no host name for each bucket.
    style = {"addressing_style": "path" if "endpoint_url" in given else "auto"}
    options = style | {STORE_OPTIONS[name]: value for name, value in given.items()}
    if options["addressing_style"] not in ("auto", "path", "virtual"):
        raise ImproperlyConfigured("FILES_URL: addressing_style must be auto, path or virtual.")
    location = {"bucket_name": bucket, "location": unquote(parts.path).strip("/")}
    return {
        "BACKEND": "contacts.jobs.object_store.ObjectStore",
        "OPTIONS": location | credentials_in(parts) | options,
    }


def credentials_in(parts: SplitResult) -> dict[str, str]:
    """The options of the storage with the credentials of the URL. Empty if it has none: boto3 then
    looks at AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the role of the machine."""
    if not parts.username and not parts.password:
        return {}
    if not parts.username or not parts.password:
        raise ImproperlyConfigured("FILES_URL must have both an access key and its secret.")
    return {"access_key": unquote(parts.username), "secret_key": unquote(parts.password)}


FILES_URL_FORM = (
    "FILES_URL cannot be read. Write s3://bucket/prefix?endpoint_url=https://host&region=name; the "
    "options endpoint_url, region and addressing_style may be left out. Percent-encode special "
    "characters."
)


MAIL_SERVERS: dict[str, dict[str, Any]] = {  # of the scheme of EMAIL_URL
    "smtps": {"EMAIL_PORT": 465, "EMAIL_USE_SSL": True},  # RFC 8314
    "smtp+tls": {"EMAIL_PORT": 587, "EMAIL_USE_TLS": True},  # STARTTLS
    "smtp": {"EMAIL_PORT": 25},
}
EMAIL_URL_FORM = (
    "EMAIL_URL cannot be read. Write smtps://user:password@host:465, or smtp+tls:// for STARTTLS; "
    "percent-encode special characters in the password, such as %23 for #."
)


def mail_server_at(url: str) -> dict[str, Any]:
    """Django's settings for EMAIL_URL. Raises `ImproperlyConfigured`; the message shows no part of
    the URL, which may contain a secret."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        raise ImproperlyConfigured(EMAIL_URL_FORM) from None
    rest = parts.path.strip("/") or parts.query or parts.fragment
    if parts.scheme not in MAIL_SERVERS or not host or rest:
        raise ImproperlyConfigured(EMAIL_URL_FORM)
    if parts.scheme == "smtp" and parts.password:
        raise ImproperlyConfigured(
            "EMAIL_URL with a password must begin with smtps:// or smtp+tls://: it would be sent"
            " readable."
        )
    login = {
        "EMAIL_HOST_USER": unquote(parts.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(parts.password or ""),
    }
    server = MAIL_SERVERS[parts.scheme] | {"EMAIL_HOST": host} | login
    return server | ({"EMAIL_PORT": port} if port else {})
