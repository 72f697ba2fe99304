"""Imports in the admin: upload, preview, and its buttons."""

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client
from django.urls import reverse

from contacts.importing import uploads
from contacts.models import Import
from tests.support.admin import context_of, errors, url

CSV = "Cell phone nr,Name,Town\n+33612345678,Zoé,Lyon\n12,Bob,\n"


def upload(
    client: Client, content: str | bytes = CSV, name: str = "shop.csv", **fields: Any
) -> Any:
    raw = content.encode() if isinstance(content, str) else content
    form = {"file": SimpleUploadedFile(name, raw), "mode": "upsert", "clear_marker": "--"}
    return client.post(url(Import, "add"), form | fields)


def drafted(client: Client, content: str | bytes = CSV, **fields: Any) -> Import:
    answer = upload(client, content, **fields)
    assert answer.status_code == 302, errors(answer)
    job = Import.objects.latest("pk")
    assert answer.headers["Location"] == page_of("preview", job)
    return job


def work(job: Import) -> Import:
    """Runs the import as the worker does."""
    uploads.run_import.call(job.pk)
    job.refresh_from_db()
    return job


def page_of(name: str, job: Import) -> str:
    return reverse(f"admin:contacts_import_{name}", args=[job.pk])


def looked_at(client: Client, job: Import) -> Any:
    """The context of the preview."""
    answer = client.get(page_of("preview", job))
    assert answer.status_code == 200, answer
    return answer.context


def fields_of(client: Client, job: Import) -> dict[str, str]:
    """What each column is chosen to be on the page."""
    form = looked_at(client, job)["form"]
    return {column: form[f"field_{n}"].value() for column, n in form.columns.items()}


def press(client: Client, job: Import, button: str, **changes: Any) -> Any:
    """Sends the form of the preview as the browser has it, with `changes`; columns by their names,
    such as `Town="metadata.city"`."""
    form = context_of(client, page_of("preview", job))["form"]
    data = {field.html_name: field.value() for field in form if field.value() not in (None, False)}
    named = {f"field_{form.columns[name]}": changes.pop(name) for name in [*changes]
             if name in form.columns}  # fmt: skip
    return client.post(page_of("preview", job), data | named | changes | {button: "1"})
