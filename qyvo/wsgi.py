"""The WSGI entry point: `granian --interface wsgi qyvo.wsgi:application`."""

import io
import os
from collections.abc import Callable, Iterable
from typing import Any

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qyvo.settings")

django_application = get_wsgi_application()

# The largest body of any action, and a byte: enough to see that a body is too large.
CHUNKED_BODY_LIMIT = 8 * 1024 * 1024 + 1


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Django's application, for chunked requests too.

    A body sent with `Transfer-Encoding: chunked` has no Content-Length, which Django takes for
    no body at all: its caller would be told that every field is missing. Servers that end the
    stream themselves say so in `wsgi.input_terminated`; then it can be read and measured.
    """
    if environ.get("wsgi.input_terminated") and not environ.get("CONTENT_LENGTH"):
        body = environ["wsgi.input"].read(CHUNKED_BODY_LIMIT)
        environ |= {"wsgi.input": io.BytesIO(body), "CONTENT_LENGTH": str(len(body))}
    return django_application(environ, start_response)
