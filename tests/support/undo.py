"""Contacts that are changed, to be undone."""

import io
from pathlib import Path
from typing import Any

from django.core.management import call_command

from contacts.change_log.difference import LOGGED_FIELDS
from contacts.models import Change, Contact, Import
from tenants.models import Tenant

OTHER = "+14155550124"


def last_set() -> str:
    change_set = Change.objects.latest("pk").change_set
    assert change_set
    return change_set


def held(tenant: Tenant) -> dict[str, list[Any]]:
    rows = Contact.objects.filter(tenant=tenant)
    return {row.pk: row.logged_values(LOGGED_FIELDS) for row in rows}


def bring(path: Path, text: str, *options: str) -> str:
    path.write_text(text)
    command = ["import_contacts", str(path), "--tenant", "acme", *options]
    call_command(*command, stdout=io.StringIO(), stderr=io.StringIO())
    return Import.objects.latest("pk").pk
