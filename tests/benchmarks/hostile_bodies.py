"""Processor time for the bodies of tests/support/hostile.py, which cost much; without a database.

`python -m tests.benchmarks.hostile_bodies`: for each shape the seconds that it takes to read and
check a body of the largest size, of create-contact and of create-contacts.
"""

import os
import time
from contextlib import suppress

import django

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "qyvo.settings")
django.setup()

from rest_framework.exceptions import ValidationError  # noqa: E402 - needs the settings

from contacts.api.bulk import BatchRow, CreateContacts  # noqa: E402
from contacts.api.contacts import ContactInput  # noqa: E402
from contacts.api.fields import shared  # noqa: E402
from contacts.values import strict_json  # noqa: E402
from qyvo.api import MAX_BODY_BYTES  # noqa: E402
from tests.support.hostile import BODIES, VALUES  # noqa: E402

SIZES = {"create-contact": MAX_BODY_BYTES, "create-contacts": CreateContacts.max_body_bytes}


def check(body: bytes) -> None:
    data = strict_json.loads(body)
    kind = BatchRow if "contacts" in data else ContactInput
    for row in data.get("contacts", [data]):
        with suppress(ValidationError):
            shared(kind).run_validation(row)


def seconds(body: bytes) -> float:
    start = time.process_time()
    with suppress(strict_json.MalformedJSON):
        check(body)
    return time.process_time() - start


def main() -> None:
    print(f"{'seconds of':<24}", *(f"{action:>16}" for action in SIZES))
    for shape, value in VALUES.items():
        bodies = [BODIES[action](value, size).encode() for action, size in SIZES.items()]
        print(f"{shape:<24}", *(f"{seconds(body):16.3f}" for body in bodies))


if __name__ == "__main__":
    main()
