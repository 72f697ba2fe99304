"""Every setting of the project, from the environment; docs/configuration.md has the table.

A file `.env` beside manage.py (or the file that ENV_FILE names) is read too. A variable of the real
environment wins over the same variable in the file. Django reads settings from one module.
"""

import logging
import re
from datetime import timedelta
from email.utils import parseaddr
from ipaddress import ip_network
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from django.core.exceptions import ImproperlyConfigured

from qyvo.environment import database_at, env, files_at, mail_server_at
from qyvo.theme import UNFOLD  # noqa: F401 - a setting
from tenants import keys

BASE_DIR = Path(__file__).resolve().parent.parent
ENV_FILE = BASE_DIR / env("ENV_FILE")
if "ENV_FILE" in env.ENVIRON and not ENV_FILE.exists():
    raise ImproperlyConfigured("ENV_FILE names a file that does not exist.")
env.read_env(ENV_FILE)

DATA_DIR = BASE_DIR / env("DATA_DIR")
LOG_LEVEL = env("LOG_LEVEL").upper()
if LOG_LEVEL not in (levels := logging.getLevelNamesMapping()):
    raise ImproperlyConfigured(f"LOG_LEVEL must be one of {', '.join(levels)}.")

DEBUG = env("DEBUG")
try:
    SECRET_KEY = env("SECRET_KEY") or keys.kept_secret(DATA_DIR / keys.SECRET)
    SECRET_KEY_FALLBACKS = [*env("SECRET_KEY_FALLBACKS"), *keys.fallbacks(DATA_DIR)]
    DATA_KEY = env("DATA_KEY") or keys.read_secret(DATA_DIR / keys.DATA) or SECRET_KEY
except OSError as error:
    raise ImproperlyConfigured(f"DATA_DIR must be a writable folder: {error}") from error
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
    "unfold.apps.BasicAppConfig",  # before the admin: the first app with a template wins
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
    "oauth2_provider",
]

MIDDLEWARE = [
    # First: responses of the other middleware need the id too.
    "qyvo.request_id.RequestIdMiddleware",
    "qyvo.observe.Observe",
    "tenants.throttling.RateLimitHeaders",
    "qyvo.headers.BrowserHeaders",
    "django.middleware.security.SecurityMiddleware",
    "contacts.change_log.cause.CauseMiddleware",
    # From here on, for pages in browsers only.
    "qyvo.pages.SkipPages",
    "qyvo.pages.StaticFiles",
    # Before the middleware that may refuse a request with a page.
    "tenants.languages.LanguageMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "axes.middleware.AxesMiddleware",
    "tenants.time_zones.TimeZoneMiddleware",
]

# Which web pages may call the API from a browser. A page sends the token itself, never a cookie.
if CORS_ALLOWED_ORIGINS := env("CORS_ALLOWED_ORIGINS"):
    if not all(re.fullmatch(r"https?://[^/\s]+", origin) for origin in CORS_ALLOWED_ORIGINS):
        raise ImproperlyConfigured(
            "CORS_ALLOWED_ORIGINS must be origins without a path, such as https://app.example.com."
        )
    # Before the middleware that may answer by itself, and after the one that counts requests.
    MIDDLEWARE.insert(2, "corsheaders.middleware.CorsMiddleware")
CORS_URLS_REGEX = r"^/((api/)?v1/|mcp/?$|oauth/|\.well-known/oauth-)"
CORS_ALLOW_HEADERS = [
    "authorization", "content-encoding", "content-type", "idempotency-key", "qyvo-consistency",
    "qyvo-position", "x-request-id", "mcp-protocol-version", "mcp-method", "mcp-name",
]  # fmt: skip
CORS_EXPOSE_HEADERS = ["*"]

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
    # Opening a connection takes three times as long as writing a contact. When the last one is
    # closed, SQLite copies its log into the database, and waits for the disk.
    "CONN_MAX_AGE": 60,  # seconds
    "OPTIONS": {
        # Writers wait at BEGIN. With SQLite's own default, two transactions that read and then
        # write would fail with "database is locked" at once, without waiting for the timeout.
        "transaction_mode": "IMMEDIATE",
        "timeout": 20,  # seconds; requests wait less: see `qyvo.wsgi`
        # In WAL mode readers and the writer do not block each other. Commits stay durable:
        # SQLite's default is synchronous=FULL.
        "init_command": "PRAGMA journal_mode=WAL",
    },
}
POSTGRESQL = {
    "ENGINE": "django.db.backends.postgresql",
    "CONN_MAX_AGE": 60,  # seconds
    "CONN_HEALTH_CHECKS": True,
    # Behind a transaction-mode pooler the next transaction may use another connection, where
    # the cursor does not exist.
    "DISABLE_SERVER_SIDE_CURSORS": True,
    # The statements that write contacts are prepared: PostgreSQL plans them once per connection
    # (`contacts.db.connections`). `?prepare_threshold=off` in DATABASE_URL turns that off, for
    # transaction-mode poolers without prepared statements (PgBouncer before 1.21).
    "OPTIONS": {
        "prepare_threshold": 5,
        # Without these a request waits for minutes when the server's machine or the network
        # stops without closing the connection.
        "connect_timeout": 3,  # seconds
        "keepalives_idle": 10,  # seconds
        "keepalives_interval": 5,  # seconds
        "keepalives_count": 3,
        "tcp_user_timeout": 25_000,  # milliseconds
    },
}

EMBEDDED: dict[str, Any] = {"NAME": DATA_DIR / "qyvo.sqlite3"}


def completed(database: dict[str, Any]) -> dict[str, Any]:
    """An entry of `DATABASES` with our defaults."""
    defaults = POSTGRESQL if "postgresql" in database.get("ENGINE", "") else SQLITE
    options = defaults["OPTIONS"] | database.get("OPTIONS", {})
    if options.get("prepare_threshold") == "off":
        options["prepare_threshold"] = None
    return defaults | database | {"ENGINE": defaults["ENGINE"], "OPTIONS": options}


def database_from(url: str, name: str = "DATABASE_URL") -> dict[str, Any]:
    """An entry of `DATABASES`. `name`: of the variable that has the URL, for errors."""
    return completed(database_at(url, name))


DATABASE_FROM = database_from  # for `manage.py move_database`
DATABASES = {"default": database_from(url) if (url := env("DATABASE_URL")) else completed(EMBEDDED)}
# A replica of PostgreSQL for reading: see `contacts.db.replica`.
if url := env("READ_DATABASE_URL"):
    replica = database_from(url, "READ_DATABASE_URL")
    if {POSTGRESQL["ENGINE"]} != {replica["ENGINE"], DATABASES["default"]["ENGINE"]}:
        raise ImproperlyConfigured(
            "READ_DATABASE_URL and DATABASE_URL must both be of PostgreSQL: SQLite has no replicas."
        )
    # In workers and commands, too, a statement there has a time limit: an export would wait for
    # ever for a replica that is frozen. The leader answers instead.
    DATABASES["replica"] = replica | {"ENGINE": "qyvo.postgresql", "TEST": {"MIRROR": "default"}}
    DATABASE_ROUTERS = ["contacts.db.replica.Router"]
    MIDDLEWARE.append("qyvo.lists.ReadLists")
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# People

AUTH_USER_MODEL = "tenants.User"
LOGIN_REDIRECT_URL = "admin:index"
AUTHENTICATION_BACKENDS = [
    "axes.backends.AxesStandaloneBackend",  # first: it refuses logins that come too soon
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
PASSWORD_RESET_TIMEOUT = 24 * 60 * 60  # seconds for which a link to set a password works

# E-mail: invitations, and links for people who forgot their password. A worker sends them.
HAS_EMAIL = bool(url := env("EMAIL_URL"))
DEFAULT_FROM_EMAIL = env("EMAIL_FROM")
EMAIL_TIMEOUT = 10  # seconds
if HAS_EMAIL:
    globals().update(mail_server_at(url))
    if "@" not in parseaddr(DEFAULT_FROM_EMAIL)[1]:
        raise ImproperlyConfigured(
            "EMAIL_FROM must be the sender of e-mails, such as Contacts <contacts@example.com>."
        )
    if "*" in ALLOWED_HOSTS:
        raise ImproperlyConfigured(
            "ALLOWED_HOSTS must list host names where EMAIL_URL is set: with *, whoever asks for"
            " an e-mail could choose where the link in the e-mail leads."
        )

# Limits against guessing passwords: the numbers are in tenants/login_limits.py.
AXES_HANDLER = "tenants.login_limits.LoginLimits"
AXES_COOLOFF_TIME = timedelta(hours=1)  # how long failed logins are stored
AXES_RESET_COOL_OFF_ON_FAILURE_DURING_LOCKOUT = False
AXES_USERNAME_FORM_FIELD = "username"
AXES_USERNAME_CALLABLE = "tenants.logins.name_typed"
AXES_CLIENT_IP_CALLABLE = "tenants.logins.address_of"
AXES_LOCKOUT_CALLABLE = "tenants.logins.too_many_tries"
AXES_SENSITIVE_PARAMETERS = ["username", "ip_address"]  # masked in the log
AXES_DISABLE_ACCESS_LOG = True  # its table would grow forever: nothing deletes old rows
AXES_ENABLE_ADMIN = False
AXES_VERBOSE = False

OTP_TOTP_ISSUER = "Qyvo Contacts"  # the name that authenticator apps show
REQUIRE_TWO_FACTOR = env("REQUIRE_TWO_FACTOR")

TIME_ZONE = env("TIME_ZONE")
try:
    ZoneInfo(TIME_ZONE)
except (LookupError, ValueError, OSError):
    raise ImproperlyConfigured("TIME_ZONE must be a name such as Europe/Paris.") from None
FORMAT_MODULE_PATH = "qyvo.formats"

# The texts are written in English; the catalogues of the other languages are in qyvo/locale.
LANGUAGE_CODE = "en"
LANGUAGES = [
    ("en", "English"),
    ("fr", "Français"),
    ("es", "Español"),
    ("pt-br", "Português (Brasil)"),
    ("de", "Deutsch"),
]
LOCALE_PATHS = [BASE_DIR / "qyvo" / "locale"]
# The languages that a native speaker has read. The others are offered with a word about this.
REVIEWED_LANGUAGES = ("en",)

# Static files are served from the installed packages: there is no collectstatic to forget.
STATIC_URL = "static/"
STATICFILES_DIRS = [BASE_DIR / "qyvo" / "static"]
WHITENOISE_USE_FINDERS = True
WHITENOISE_ALLOW_ALL_ORIGINS = False

# HTTP

REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": ["tenants.authentication.BearerToken"],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_THROTTLE_CLASSES": ["tenants.throttling.RateLimit"],
    "DEFAULT_CONTENT_NEGOTIATION_CLASS": "qyvo.api.AlwaysJSON",
    "DEFAULT_PARSER_CLASSES": ["qyvo.api.StrictJSONParser"],
    "DEFAULT_RENDERER_CLASSES": ["tenants.answers.JSON"],
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
    "DESCRIPTION": "One contact per phone. Every action is a POST request with a JSON object. It "
    "works on the tenant of the token's user; no request can reach another tenant.\n\n"
    "In bodies, an empty text means the same as `null`: no value.\n\n"
    "Every answer has the header `X-Request-Id`. Every answer to a request with a valid token also "
    "has `X-RateLimit-Limit`, `X-RateLimit-Remaining` and `X-RateLimit-Reset`. The answers 5XX and "
    "429 describe these headers. If the service reads from a replica, every answer to a change has "
    "`Qyvo-Position`.\n\n"
    "To try an action on this page, paste a token under *Authorize*.",
    "LICENSE": {"name": "MIT", "identifier": "MIT"},
    "SORT_OPERATIONS": False,
    "CONTACT": {"name": "Qyvo Contacts"},
    "SERVERS": [{"url": "/", "description": "The server that sent this document."}],
    "TAGS": [
        {"name": "Contacts", "description": "Write, read and find contacts."},
        {"name": "Tags", "description": "Add and remove tags, and list them."},
        {"name": "Imports", "description": "Files of contacts that are read in the background."},
        {"name": "Exports", "description": "Files of contacts that are written in the background."},
        {"name": "Bulk", "description": "Changes of many contacts that a worker makes."},
        {"name": "Webhooks", "description": "Your addresses that changes are sent to."},
        {"name": "Events", "description": "What is sent to your addresses."},
        {"name": "Account", "description": "Who the token belongs to."},
    ],
    "COMPONENT_SPLIT_PATCH": False,  # bodies of PATCH have serializers of their own
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    "POSTPROCESSING_HOOKS": ["qyvo.openapi_document.finish"],
    "PREPROCESSING_HOOKS": ["qyvo.openapi.only_documented"],
}

RATELIMIT_DEFAULT = env("RATELIMIT_DEFAULT")
RATELIMIT_STORAGE_URL = env("RATELIMIT_STORAGE_URL")

if BEHIND_HTTPS_PROXY := env("BEHIND_HTTPS_PROXY"):
    SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    SECURE_SSL_REDIRECT = True
    SESSION_COOKIE_SECURE = True
    CSRF_COOKIE_SECURE = True
    SECURE_HSTS_SECONDS = 365 * 24 * 60 * 60
# HSTS for subdomains (W005) and preloading (W021) bind the whole domain. Only the owner of the
# domain can decide that. OAuth's W008: `tenants.oauth.clients.is_safe_redirect` refuses redirects
# by http, except to the person's own computer.
SILENCED_SYSTEM_CHECKS = ["security.W005", "security.W021", "oauth2_provider.W008"]

# OAuth, for apps such as Claude and ChatGPT: django-oauth-toolkit, with the rules of tenants.oauth.
# Its tables always exist; without OAUTH, no address and no access token works.

OAUTH = env("OAUTH")
OAUTH2_PROVIDER_APPLICATION_MODEL = "oauth2_provider.Application"  # the toolkit's own; Django asks
OAUTH2_PROVIDER_ACCESS_TOKEN_MODEL = "oauth2_provider.AccessToken"  # noqa: S105 - a name
OAUTH2_PROVIDER = {
    "OAUTH2_SERVER_CLASS": "oauthlib.oauth2.WebApplicationServer",  # codes and refresh tokens only
    "OAUTH2_BACKEND_CLASS": "tenants.oauth.server.Core",
    "OAUTH2_VALIDATOR_CLASS": "tenants.oauth.server.Validator",
    "SCOPES_BACKEND_CLASS": "tenants.oauth.server.Scopes",
    "ACCESS_TOKEN_GENERATOR": "tenants.oauth.server.new_access_token",
    "REFRESH_TOKEN_GENERATOR": "tenants.oauth.server.new_refresh_token",
    "AUTHORIZATION_CODE_EXPIRE_SECONDS": 60,
    "ACCESS_TOKEN_EXPIRE_SECONDS": 60 * 60,
    "REFRESH_TOKEN_EXPIRE_SECONDS": 30 * 24 * 60 * 60,  # without a refresh
    "REFRESH_TOKEN_REUSE_PROTECTION": True,
    "ALLOW_LOCALHOST_LOOPBACK": True,
    "DCR_ENABLED": True,
    "CIMD_ENABLED": True,
    "CIMD_METADATA_FETCHER": "tenants.oauth.clients.MetadataFetcher",
    "CIMD_REGISTRATION_PERMISSION_CLASSES": ["tenants.oauth.clients.FromConsentPage"],
    "OAUTH2_RESPONSE_TYPES_SUPPORTED": ["code"],
    "OAUTH2_GRANT_TYPES_SUPPORTED": ["authorization_code", "refresh_token"],
    "OAUTH2_TOKEN_ENDPOINT_AUTH_METHODS_SUPPORTED": ["none"],
    "OAUTH2_PROTECTED_RESOURCE_NAME": "Qyvo Contacts",
    # The rules of RFC 9700. Redirects by http stay possible, but only to the person's own computer.
    "COMPLIANT_BCP_RFC9700_IMPLICIT_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PASSWORD_GRANT": True,
    "COMPLIANT_BCP_RFC9700_PKCE_METHOD": True,
    "COMPLIANT_BCP_RFC9700_ACCESS_TOKEN_TRANSPORT": True,
    "COMPLIANT_BCP_RFC9700_AUTHZ_RESPONSE_ISS": True,
    "COMPLIANT_BCP_RFC9700_TOKEN_STORAGE": True,
    "COMPLIANT_BCP_RFC9700_REFRESH_TOKEN": True,
    "COMPLIANT_BCP_RFC9700_REDIRECT_URI_MATCHING": True,
    "COMPLIANT_BCP_RFC9700_PKCE_REQUIRED": True,
}

# Imports and background tasks

STORAGES = {
    "files": files_at(env("FILES_URL")),
    "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
}
IMPORT_MAX_BYTES = env("IMPORT_MAX_MB") * 1024 * 1024
FILE_UPLOAD_HANDLERS = ["contacts.api.parsers.OnDisk"]
# An imported file may have 1,000 columns, and the preview has two form fields for each column.
DATA_UPLOAD_MAX_NUMBER_FIELDS = 2_100

TASKS = {"default": {"BACKEND": "django_tasks_db.DatabaseBackend"}}

# Webhooks: the private networks that they may reach, such as the network of a self-hosted n8n

try:
    WEBHOOK_ALLOWED_NETWORKS = [*map(ip_network, env("WEBHOOK_ALLOWED_NETWORKS"))]
except ValueError as error:
    raise ImproperlyConfigured(f"WEBHOOK_ALLOWED_NETWORKS: {error}") from error

# Monitoring

METRICS_TOKEN = env("METRICS_TOKEN")

# Logging: to standard error; each line has the id of its request.

LOG_FORMAT = env("LOG_FORMAT")
if LOG_FORMAT not in ("line", "json"):
    raise ImproperlyConfigured("LOG_FORMAT must be line or json.")

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "filters": {
        "request_id": {"()": "qyvo.request_id.RequestIdFilter"},
        "drop_api_refusals": {"()": "qyvo.logs.DropAPIRefusals"},
        "refused_host": {"()": "qyvo.logs.RefusedHost"},
    },
    "formatters": {
        "line": {"format": "%(asctime)s %(levelname)s %(name)s [%(request_id)s] %(message)s"},
        "json": {"()": "qyvo.logs.JSONFormatter"},
    },
    "handlers": {
        "stderr": {
            "class": "qyvo.logs.Lines",
            "filters": ["request_id"],
            "formatter": LOG_FORMAT,
        },
    },
    "root": {"handlers": ["stderr"], "level": LOG_LEVEL},
    # Without Django's own handlers: they would e-mail ADMINS and, under DEBUG, write lines twice.
    "loggers": {
        "django": {"handlers": [], "level": LOG_LEVEL, "propagate": True},
        # Not what it deletes every hour.
        "oauth2_provider": {"level": max(logging.WARNING, levels[LOG_LEVEL])},
        "django.request": {"filters": ["drop_api_refusals"]},
        "django.security.DisallowedHost": {"filters": ["refused_host"]},
    },
}
