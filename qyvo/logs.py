"""How log lines are written, and which are left out. Read before any model is."""

import json
import logging
from datetime import UTC, datetime

from django.http import HttpRequest

API = ("/api/v1/", "/v1/")


def is_of_api(request: HttpRequest) -> bool:
    return request.path_info.startswith(API)


class NotOfAPI(logging.Filter):
    """Leaves out Django's own lines on refusals of the API: the access line tells of them, and
    Django's show the address."""

    def filter(self, record: logging.LogRecord) -> bool:
        request, status = getattr(record, "request", None), getattr(record, "status_code", 500)
        return status >= 500 or not (isinstance(request, HttpRequest) and is_of_api(request))


class JSONFormatter(logging.Formatter):
    """One JSON object a line: what it says and nothing else of its record, on which Django may
    hang a whole request.

    `time` in UTC, `level`, `logger`, `request_id` (null outside a request), `message`; the `fields`
    that the record was given as `extra`; `traceback` of an error.
    """

    def format(self, record: logging.LogRecord) -> str:
        request_id = getattr(record, "request_id", "-")
        line = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "request_id": None if request_id == "-" else request_id,
            "message": record.getMessage(),
        } | getattr(record, "fields", {})
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False)
