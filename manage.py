#!/usr/bin/env python
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qyvo.settings")
    from django.core.exceptions import ImproperlyConfigured
    from django.core.management import execute_from_command_line
    from django.db import DatabaseError

    from tenants.isolation import see_everybody_outside_requests

    see_everybody_outside_requests()
    try:
        execute_from_command_line(sys.argv)
    except ImproperlyConfigured as error:
        sys.exit(f"Wrong settings: {error}")
    except DatabaseError:
        if (problem := unreachable()) is None:
            raise
        sys.exit(f"Check DATABASE_URL, its database cannot be reached: {problem}")


def unreachable() -> str | None:
    """Why no connection to the database can be had, in one line; None where it can."""
    from django.db import DatabaseError, connection

    connection.close()
    try:
        connection.ensure_connection()
    except DatabaseError as error:
        return " ".join(str(error).split())
    return None


if __name__ == "__main__":
    main()
