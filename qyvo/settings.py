"""Every setting of the project, from the environment; docs/configuration.md has the table.

A `.env` file beside manage.py (or ENV_FILE) is read too; real environment variables win over it.
"""

import logging
import secrets
from datetime import timedelta
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import environ
from django.core.exceptions import ImproperlyConfigured
from django.templatetags.static import static

BASE_DIR = Path(__file__).resolve().parent.parent


class Env(environ.Env):
    """Variables by the scheme; one that cannot be read raises `ImproperlyConfigured`, which names
    it. Its value is not shown: it may be a secret in the wrong place."""

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
    CSRF_TRUSTED_ORIGINS=(list, []),
    DATABASE_URL=(str, ""),
    DATA_DIR=(str, ".data"),
    DEBUG=(bool, False),
    ENV_FILE=(str, ".env"),
    IMPORT_MAX_MB=(int, 1024),
    LOG_FORMAT=(str, "line"),
    LOG_LEVEL=(str, "INFO"),
    METRICS_TOKEN=(str, ""),
    RATELIMIT_DEFAULT=(str, "120/minute"),
    RATELIMIT_STORAGE_URL=(str, "memory://"),
    REQUIRE_TWO_FACTOR=(bool, False),
    SECRET_KEY=(str, ""),
    TIME_ZONE=(str, "UTC"),
    WEBHOOK_ALLOWED_NETWORKS=(list, []),
)
ENV_FILE = BASE_DIR / env("ENV_FILE")
if "ENV_FILE" in env.ENVIRON and not ENV_FILE.exists():
    raise ImproperlyConfigured("ENV_FILE names a file that is not there.")
env.read_env(ENV_FILE)

DATA_DIR = BASE_DIR / env("DATA_DIR")
LOG_LEVEL = env("LOG_LEVEL").upper()
if LOG_LEVEL not in (levels := logging.getLevelNamesMapping()):
    raise ImproperlyConfigured(f"LOG_LEVEL must be one of {', '.join(levels)}.")


def kept_secret(path: Path) -> str:
    """The secret in `path`; made up and written there, readable by its owner only, on first use.

    Exclusive creation lets several processes start at once: one writes, the others read.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.{secrets.token_hex(8)}")
    if not path.exists():
        fresh.touch(mode=0o600)
        fresh.write_text(secrets.token_urlsafe(50))
        try:
            path.hardlink_to(fresh)  # whole or not at all, and never over another's
        except FileExistsError:
            pass
        finally:
            fresh.unlink()
    return path.read_text()


DEBUG = env("DEBUG")
try:
    SECRET_KEY = env("SECRET_KEY") or kept_secret(DATA_DIR / "secret_key")
except OSError as error:
    raise ImproperlyConfigured(f"DATA_DIR must be a folder to write to: {error}") from error
ALLOWED_HOSTS = env("ALLOWED_HOSTS")
CSRF_TRUSTED_ORIGINS = env("CSRF_TRUSTED_ORIGINS")
CSRF_FAILURE_VIEW = "qyvo.api.csrf_failure"

INSTALLED_APPS = [
    "contacts",
    "tenants",
    "rest_framework",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "whitenoise.runserver_nostatic",
    "unfold.apps.BasicAppConfig",  # before the admin, whose templates it replaces
    "unfold.contrib.filters",
    "qyvo.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.humanize",
    "django_tasks_db",
    "axes",
    "django_otp.plugins.otp_static",
    "django_otp.plugins.otp_totp",
]

MIDDLEWARE = [
    # First, so that every answer carries the id, those of the other middleware included.
    "qyvo.request_id.RequestIdMiddleware",
    "qyvo.observe.Observe",
    "tenants.throttling.RateLimitHeaders",
    "qyvo.headers.BrowserHeaders",
    "django.middleware.security.SecurityMiddleware",
    "qyvo.pages.StaticFiles",
    "qyvo.pages.Sessions",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "qyvo.pages.Authentication",
    "contacts.change_log.cause.CauseMiddleware",
    "qyvo.pages.Messages",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
]

ROOT_URLCONF = "qyvo.urls"
WSGI_APPLICATION = "qyvo.wsgi.application"

TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "DIRS": [BASE_DIR / "templates"],
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ],
        },
    },
]

# Database

SQLITE = {
    "ENGINE": "qyvo.sqlite",
    "OPTIONS": {
        # Writers queue up at BEGIN. With SQLite's own default, two transactions that read
        # and then write would fail with "database is locked" at once, whatever the timeout.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,  # seconds; requests wait less, see `qyvo.wsgi`
        # Readers and the writer do not block each other; commits stay durable
        # (synchronous=FULL is SQLite's default).
        "init_command": "PRAGMA journal_mode=WAL",
    },
}
POSTGRESQL = {
    "ENGINE": "django.db.backends.postgresql",
    "CONN_MAX_AGE": 60,  # seconds
    "CONN_HEALTH_CHECKS": True,
    # Transaction-mode poolers give every transaction another connection.
    "DISABLE_SERVER_SIDE_CURSORS": True,
    # What writes contacts is planned once a connection (`contacts.db.connections`); `off` for
    # transaction-mode poolers that do not know prepared statements (PgBouncer before 1.21).
    "OPTIONS": {
        "prepare_threshold": 5,
        # A server, or the way to it, that is gone without a word: seconds, and milliseconds.
        "connect_timeout": 3,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        "tcp_user_timeout": 25_000,
    },
}

EMBEDDED: dict[str, Any] = {"NAME": DATA_DIR / "qyvo.sqlite3"}


def database_at(url: str) -> dict[str, Any]:
    """What Django wants to know of it. Raises `ImproperlyConfigured`."""
    if not url.startswith(("postgres://", "postgresql://", "sqlite:///")):
        raise ImproperlyConfigured(
            "DATABASE_URL must begin with postgres:// or sqlite:///; leave it empty for SQLite."
        )
    try:
        return env.db_url_config(url)
    except ValueError:
        raise ImproperlyConfigured(
            "DATABASE_URL cannot be read. Write postgres://user:password@host:port/name,"
            " with %23 for # in the password, and so on."
        ) from None


database = database_at(url) if (url := env("DATABASE_URL")) else EMBEDDED
defaults = POSTGRESQL if "postgresql" in database.pop("ENGINE", "") else SQLITE
options = defaults["OPTIONS"] | database.get("OPTIONS", {})
if options.get("prepare_threshold") == "off":
    options["prepare_threshold"] = None
DATABASES = {"default": defaults | database | {"OPTIONS": options}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# People

AUTH_USER_MODEL = "tenants.User"
LOGIN_REDIRECT_URL = "admin:index"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first: it refuses those who have to wait
    "django.contrib.auth.backends.ModelBackend",
]
AUTH_PASSWORD_VALIDATORS: list[dict[str, Any]] = [
    {"NAME": f"django.contrib.auth.password_validation.{name}", "OPTIONS": options}
    for name, options in (
        ("UserAttributeSimilarityValidator", {}),
        ("MinimumLengthValidator", {"min_length": 12}),  # OWASP ASVS 4.0.3, 2.1.1
        ("CommonPasswordValidator", {}),
        ("NumericPasswordValidator", {}),
    )
]

# Guessing passwords: tenants/login_limits.py has the limits.
AXES_HANDLER = "tenants.login_limits.LoginLimits"
AXES_COOLOFF_TIME = timedelta(hours=1)  # how long failures are stored
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_USERNAME_FORM_FIELD = "username"
AXES_USERNAME_CALLABLE = "tenants.logins.name_typed"
AXES_CLIENT_IP_CALLABLE = "tenants.logins.address_of"
AXES_LOCKOUT_CALLABLE = "tenants.logins.too_many_tries"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address"]  # not to be logged
AXES_DISABLE_ACCESS_LOG = True  # nothing would delete old entries
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

OTP_TOTP_ISSUER = "Qyvo Contacts"  # as apps name it
REQUIRE_TWO_FACTOR = env("REQUIRE_TWO_FACTOR")

TIME_ZONE = env("TIME_ZONE")
try:
    ZoneInfo(TIME_ZONE)
except (LookupError, ValueError, OSError):
    raise ImproperlyConfigured("TIME_ZONE must be a name such as Europe/Paris.") from None

# Static files come straight from the packages: no collectstatic step to forget.
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "qyvo" / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_ALLOW_ALL_ORIGINS = False

# The look of the admin: django-unfold

UNFOLD = {
    "SITE_TITLE": "Qyvo Contacts",
    "SITE_HEADER": "Qyvo Contacts",
    "SITE_ICON": lambda request: static("qyvo/logo.svg"),
    "SITE_FAVICONS": [
        {"rel": "icon", "type": "image/svg+xml", "href": lambda request: static("qyvo/logo.svg")},
    ],
    "STYLES": [lambda request: static("qyvo/admin.css")],
    "SCRIPTS": [lambda request: static("qyvo/admin.js")],
    "SHOW_BACK_BUTTON": True,
    "ACCOUNT": {"navigation": "qyvo.navigation.account"},
    "SIDEBAR": {"navigation": "qyvo.navigation.sidebar"},
    "COLORS": {
        # Light enough on black, dark enough under white (WCAG 2.2, 1.4.3): 4.5 : 1.
        "primary": {
            "50": "oklch(98.4% .014 180.7)", "100": "oklch(95.3% .051 180.8)",
            "200": "oklch(91% .096 180.4)", "300": "oklch(85.5% .138 181.1)",
            "400": "oklch(77.7% .152 181.9)", "500": "oklch(70.4% .14 182.5)",
            "600": "oklch(48% .086 175)", "700": "oklch(43% .078 177)",
            "800": "oklch(38% .07 180)", "900": "oklch(33% .06 184)",
            "950": "oklch(27.7% .046 192.5)",
        },
    },
}  # fmt: skip

# HTTP

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenants.authentication.BearerToken"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["tenants.throttling.RateLimit"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "qyvo.api.AlwaysJSON",
    "DEFAULT_PARSER_CLASSES": ["qyvo.api.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_METADATA_CLASS": None,
    "DEFAULT_SCHEMA_CLASS": "qyvo.openapi.Operation",
    "NON_FIELD_ERRORS_KEY": "body",
    "EXCEPTION_HANDLER": "qyvo.api.exception_handler",
    "URL_FORMAT_OVERRIDE": None,
}

SPECTACULAR_SETTINGS = {
    "OAS_VERSION": "3.1.0",
    "TITLE": "Qyvo Contacts",
    "VERSION": "1",
    "DESCRIPTION": "One contact per phone. Every action is a POST of a JSON object, and answers "
    "for the tenant of the token's user: no request can see or name another one.\n\n"
    "To try it here, paste a token under *Authorize*.",
    "LICENSE": {"name": "MIT", "identifier": "MIT"},
    "SORT_OPERATIONS": False,
    "PREPROCESSING_HOOKS": ["qyvo.openapi.only_documented"],
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
}

RATELIMIT_DEFAULT = env("RATELIMIT_DEFAULT")
RATELIMIT_STORAGE_URL = env("RATELIMIT_STORAGE_URL")

if BEHIND_HTTPS_PROXY := env("BEHIND_HTTPS_PROXY"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60
# HSTS for subdomains and preloading bind the whole domain: its owner's decision, not ours.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021"]

# Imports, and who runs them

IMPORT_MAX_BYTES = env("IMPORT_MAX_MB") * 1024 * 1024
FILE_UPLOAD_HANDLERS = ["contacts.api.parsers.OnDisk"]
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2_100  # a file may have 1,000 columns, and each has two in a form

TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}

# Webhooks: networks inside that they may reach, such as one with an n8n of one's own

try:
    WEBHOOK_ALLOWED_NETWORKS = [*map(ip_network, env("WEBHOOK_ALLOWED_NETWORKS"))]
except ValueError as error:
    raise ImproperlyConfigured(f"WEBHOOK_ALLOWED_NETWORKS: {error}") from error

# Watching

METRICS_TOKEN = env("METRICS_TOKEN")

# Logging: to standard error, each line with the id of the request it belongs to.

LOG_FORMAT = env("LOG_FORMAT")
if LOG_FORMAT not in ("line", "json"):
    raise ImproperlyConfigured("LOG_FORMAT must be line or json.")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request_id": {"()": "qyvo.request_id.RequestIdFilter"},
        "not_of_api": {"()": "qyvo.logs.NotOfAPI"},
    },
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"},
        "json": {"()": "qyvo.logs.JSONFormatter"},
    },
    "handlers": {
        "stderr": {
            "class": "logging.StreamHandler",
            "filters": ["request_id"],
            "formatter": LOG_FORMAT,
        },
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    # Django's own handlers would send e-mail to nobody and, under DEBUG, write lines twice.
    "loggers": {
        "django": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        "django.request": {"filters": ["not_of_api"]},
    },
}
