#!/usr/bin/env python
import errno
import os
import sys

from qyvo.garbage import search_rarely

NO_SPACE = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def main() -> None:
    search_rarely()
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qyvo.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    from tenants.isolation import allow_all_tenants_outside_requests

    allow_all_tenants_outside_requests()
    try:
        execute_from_command_line(sys.argv)
        sys.stdout.flush()
    except KeyboardInterrupt:
        sys.stderr.write("Interrupted.\n")
        sys.exit(130)
    except BrokenPipeError:  # such as of `| head`, which has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python writes the rest of its buffer at exit
        sys.exit(141)
    except OSError as error:
        if error.errno not in NO_SPACE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.exit(f"A file or the output cannot be written: {error}")
    except ImproperlyConfigured as error:
        sys.exit(f"Wrong settings: {error}")
    except DatabaseError:
        if (problem := unreachable()) is None:
            raise
        sys.exit(f"The database cannot be reached; check DATABASE_URL: {problem}")


def unreachable() -> str | None:
    """The reason why the database cannot be reached, in one line; None if it can be reached."""
    from django.db import DatabaseError, connection

    connection.close()
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        return " ".join(str(error).split())
    return None


if __name__ == "__main__":
    main()
