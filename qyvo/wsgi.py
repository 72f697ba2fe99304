"""The WSGI application that qyvo/serve.py serves."""

import io
import multiprocessing
import os
import re
import sys
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

import django
from django.conf import settings
from django.core.checks import run_checks
from django.core.exceptions import ImproperlyConfigured

from .garbage import keep_loaded, search_rarely

search_rarely()
os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qyvo.settings")


def make_folder_of_counts() -> None:
    """Creates the folder for metrics that all processes of this server share.

    Must run before any app imports prometheus_client, which reads PROMETHEUS_MULTIPROC_DIR on
    import. Raises `PermissionError` if the folder belongs to another user: that user could read or
    fake the metrics.
    """
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        return  # the operator has chosen a folder
    main = multiprocessing.parent_process()  # None in the main process itself
    server = main.pid if main else os.getpid()
    folder = Path(tempfile.gettempdir(), f"qyvo-metrics-{os.getuid()}-{server}")
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(folder))
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to another user")


def refuse(problem: object) -> NoReturn:
    """Ends the process with a status that tells qyvo.serve not to start a replacement."""
    sys.stderr.write(f"Wrong settings: {problem}\n")
    sys.exit(os.EX_CONFIG)


try:
    if settings.METRICS_TOKEN:
        make_folder_of_counts()
    django.setup(set_prefix=False)
    from .unread import EndingStream, Handler  # needs the settings

    django_application = Handler()
except ImproperlyConfigured as error:
    refuse(error)
for mistake in run_checks(tags=["variables"]):
    refuse(f"{mistake.msg} {mistake.hint}")

from django.core.cache import close_caches  # noqa: E402 - needs the settings
from django.core.handlers.base import reset_urlconf  # noqa: E402
from django.core.signals import request_finished, request_started  # noqa: E402
from django.db import close_old_connections, connections, reset_queries  # noqa: E402 - needs the settings

from contacts.api.bulk import CreateContacts  # noqa: E402 - needs the settings
from contacts.apps import CHECKS_OF_CONNECTIONS  # noqa: E402

from . import logs, urls  # noqa: E402, F401 - loads all views before the first request
from .sqlite.base import LOCK_TIMEOUT  # noqa: E402

# Requests have short time limits for a database that does not answer and for locks. Commands and
# workers, which do not import this module, may wait longer.
database: dict[str, Any]
for database in connections.settings.values():
    if database["ENGINE"] == "qyvo.sqlite":
        database["ENGINE"] = "qyvo.sqlite.shared"
        database["OPTIONS"]["timeout"] = min(LOCK_TIMEOUT, float(database["OPTIONS"]["timeout"]))
    else:
        database["ENGINE"] = "qyvo.postgresql"

keep_loaded()

# Django would call them for every request. Only a cache on the network has something to close, only
# under DEBUG a connection keeps its queries, and each request sets the URLs. The connections of a
# thread were given back when its request before ended, and on PostgreSQL the pool checks them.
# Together they take 5 % of a request's time.
request_finished.disconnect(close_caches)
request_finished.disconnect(reset_urlconf)
request_started.disconnect(close_old_connections)
if database["ENGINE"] == "qyvo.postgresql":
    request_started.disconnect(dispatch_uid=CHECKS_OF_CONNECTIONS)
if not settings.DEBUG:
    request_started.disconnect(reset_queries)
logs.drop_unused_facts()

CHARSET = re.compile(r";\s*charset=[^;]*", re.IGNORECASE)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Calls Django's application, and corrects two kinds of requests that Django misreads.

    - A body with `Transfer-Encoding: chunked` has no Content-Length. Django would treat it as
      empty, and answer that every field is missing. If the server ends the stream itself
      (`wsgi.input_terminated`), the request gets a Content-Length of one byte more than the limit,
      and the views read until the stream ends or is too long. This function does not read the body,
      because reading may keep a thread waiting and the client is not authenticated yet. The
      exceptions are forms of the admin, for which Django needs the exact length, and requests
      without a Transfer-Encoding, which have no body to wait for.
    - A charset in the Content-Type makes Django decode the query string with this charset, also
      with base64 or punycode, before any error handler is in place. The charset is removed:
      everything is UTF-8 here.
    """
    is_chunked = environ.get("wsgi.input_terminated") and not environ.get("CONTENT_LENGTH")
    is_form = environ["PATH_INFO"].startswith("/admin/")
    if is_chunked and (is_form or "HTTP_TRANSFER_ENCODING" not in environ):
        body = environ["wsgi.input"].read(CreateContacts.max_body_bytes + 1)
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    elif is_chunked:
        is_file = environ["PATH_INFO"].rstrip("/").endswith("/imports")
        most = settings.IMPORT_MAX_BYTES if is_file else CreateContacts.max_body_bytes
        environ |= {
            "wsgi.input": EndingStream(environ["wsgi.input"]),
            "CONTENT_LENGTH": str(most + 1),
            "qyvo.unknown_length": True,
        }
    environ["CONTENT_TYPE"] = CHARSET.sub("", environ.get("CONTENT_TYPE", ""))
    return django_application(environ, start_response)
