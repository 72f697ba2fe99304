"""The format of log lines, and a filter. Imported before Django's models are."""

import json
import logging
import os
from datetime import UTC, datetime
from functools import partial

from django.http import HttpRequest

STANDARD_ERROR = 2
API = ("/api/v1/", "/v1/", "/mcp")


def is_api_request(request: HttpRequest) -> bool:
    """Whether the address of `request` belongs to the API."""
    return request.path_info.startswith(API)


class DropAPIRefusals(logging.Filter):
    """Drops Django's own lines about refused API requests (4xx): the access line reports them
    already, and Django's line shows the address, which may contain personal data."""

    def filter(self, record: logging.LogRecord) -> bool:
        request, status = getattr(record, "request", None), getattr(record, "status_code", 500)
        return status >= 500 or not (isinstance(request, HttpRequest) and is_api_request(request))


class RefusedHost(logging.Filter):
    """Makes a warning of Django's error about a wrong Host, without its traceback: scanners send
    such requests all day, and they are no fault of the server."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.levelno, record.levelname = logging.WARNING, logging.getLevelName(logging.WARNING)
        record.exc_info = None
        return True


class Lines(logging.Handler):
    """Writes each line to standard error with one call of the system, and without a lock: a thread
    that writes lets the others run, and these would wait for the lock instead of working. Pipes
    keep lines of up to 4,096 bytes together (pipe(7)), files that are appended to keep all."""

    write = staticmethod(partial(os.write, STANDARD_ERROR))

    def handle(self, record: logging.LogRecord) -> bool:
        """As logging does, without its lock. (With `lock = None` logging fails on Python 3.13.)"""
        passed = self.filter(record)  # since Python 3.12, a filter may put another record in place
        if passed:
            self.emit(passed if isinstance(passed, logging.LogRecord) else record)
        return bool(passed)

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = f"{self.format(record)}\n".encode(errors="backslashreplace")
            while line:
                line = line[self.write(line) :]
        except Exception:  # noqa: BLE001 - as every handler of logging does
            self.handleError(record)


class JSONFormatter(logging.Formatter):
    """Writes each record as one JSON object per line, with these keys only. Django attaches whole
    requests to records, which must not be in the log.

    `time` (UTC), `level`, `logger`, `request_id` (null outside a request), `message`; the items of
    `fields`, if the record has them (`extra={"fields": …}`); `traceback`, if there is an exception.
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


def drop_unused_facts() -> None:
    """Makes log records without the place in the code, the thread and the process. No format of
    ours shows them, and finding them takes half the time of a line (Python's Logging HOWTO,
    "Optimization")."""
    logging._srcfile = None
    for facts in ("logThreads", "logProcesses", "logMultiprocessing", "logAsyncioTasks"):
        setattr(logging, facts, False)
