"""The WSGI entry point, which qyvo/serve.py serves."""

import gc
import io
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

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qyvo.settings")


def make_folder_of_counts() -> None:
    """One for all processes that the same server has started, for their metrics.

    The library of the metrics reads where it is when it is first imported, by whatever app. Raises
    `PermissionError` where somebody else has made it.
    """
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        return  # the operator's
    folder = Path(tempfile.gettempdir(), f"qyvo-metrics-{os.getuid()}-{os.getppid()}")
    os.environ.setdefault("PROMETHEUS_MULTIPROC_DIR", str(folder))
    folder.mkdir(mode=0o700, exist_ok=True)
    if folder.lstat().st_uid != os.getuid():
        raise PermissionError(f"{folder} belongs to somebody else")


def refuse(problem: object) -> NoReturn:
    """Ends the process with a status by which qyvo.serve knows that a new one would not help."""
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

from django.db import connections  # noqa: E402 - needs the settings

from contacts.api.bulk import CreateContacts  # noqa: E402 - likewise

from . import urls  # noqa: E402, F401 - with all that they name
from .sqlite.base import LOCK_TIMEOUT  # noqa: E402

# Requests give up on a database that does not answer, and on a lock that others hold for long;
# commands and workers may wait.
database = connections.settings["default"]
if database["ENGINE"] == "django.db.backends.postgresql":
    database["ENGINE"] = "qyvo.postgresql"
else:
    database["OPTIONS"]["timeout"] = min(LOCK_TIMEOUT, float(database["OPTIONS"]["timeout"]))

# What is loaded by now stays. Else every full collection of garbage would go through it again,
# which is a tenth of the time of requests.
gc.collect()
gc.freeze()

CHARSET = re.compile(r";\s*charset=[^;]*", re.IGNORECASE)


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Django's application, made safe for two kinds of requests that it mistakes.

    A body sent with `Transfer-Encoding: chunked` has no Content-Length, which Django takes for
    no body at all: its caller would be told that every field is missing. Servers that end the
    stream themselves say so in `wsgi.input_terminated`; then it may be read up to a byte more
    than is taken. Nothing is read before its sender is known, for a thread waits as long as that
    takes: the views end with the stream, or where it is too long. Only the admin's forms are
    measured first, as Django wants it; and where nothing was sent there is nothing to wait for.

    A charset in the Content-Type makes Django decode the query string with it, base64 and
    punycode included, before any handler of errors is in place. All is UTF-8 here.
    """
    is_chunked = environ.get("wsgi.input_terminated") and not environ.get("CONTENT_LENGTH")
    is_form = environ["PATH_INFO"].startswith("/admin/")
    if is_chunked and (is_form or "HTTP_TRANSFER_ENCODING" not in environ):
        body = environ["wsgi.input"].read(CreateContacts.max_body_bytes + 1)
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    elif is_chunked:
        is_file = environ["PATH_INFO"].endswith("/imports")
        most = settings.IMPORT_MAX_BYTES if is_file else CreateContacts.max_body_bytes
        environ |= {
            "wsgi.input": EndingStream(environ["wsgi.input"]),
            "CONTENT_LENGTH": str(most + 1),
            "qyvo.unknown_length": True,
        }
    environ["CONTENT_TYPE"] = CHARSET.sub("", environ.get("CONTENT_TYPE", ""))
    return django_application(environ, start_response)
