"""The output of management commands."""

import io

from django.core.management import call_command


def lines(command: str, *options: str) -> list[str]:
    """What it prints for programs."""
    out = io.StringIO()
    call_command(command, *options, stdout=out, stderr=io.StringIO())
    return out.getvalue().splitlines()
