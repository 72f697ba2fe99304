#!/usr/bin/env python
import os
import sys


def main() -> None:
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qyvo.settings")
    from django.core.management import execute_from_command_line

    from tenants.isolation import see_everybody_outside_requests

    see_everybody_outside_requests()
    execute_from_command_line(sys.argv)


if __name__ == "__main__":
    main()
