"""One import through each door."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from contacts.models import Import
from tests.support.admin_imports import drafted, press
from tests.support.imports import bring
from tests.support.imports_api import IMPORTS, worked

Options = dict[str, Any]


@pytest.fixture(params=["command", "api", "admin"])
def door(request: Any, acme: SimpleNamespace, staff: Client, tmp_path: Path) -> Any:
    """Imports a file with options, and returns the finished import."""

    def command(text: str, options: Options) -> Import:
        path = tmp_path / "people.csv"
        path.write_text(text)
        arguments = []
        for name, value in options.items():
            flag = f"--{name.replace('_', '-')}"
            values = value if isinstance(value, list) else [value]
            arguments += [flag] if value is True else [f"{flag}={each}" for each in values]
        bring(path, *arguments)
        return Import.objects.latest("pk")

    def api(text: str, options: Options) -> Import:
        file = SimpleUploadedFile("people.csv", text.encode())
        answer = acme.api.client.post(IMPORTS, {"file": file} | options, headers=acme.api.headers)
        assert answer.status_code == 202, answer.json()
        return worked(Import.objects.latest("pk"))

    def admin(text: str, options: Options) -> Import:
        form = {name: ",".join(v) if isinstance(v, list) else v for name, v in options.items()}
        columns = form.pop("map", "").split(",")
        job = drafted(staff, text, **form)
        chosen = dict(pair.split("=") for pair in columns if pair)
        press(staff, job, "run", **chosen)
        return worked(job)

    doors = {"command": command, "api": api, "admin": admin}
    through: Callable[[str, Options], Import] = doors[request.param]
    return lambda text, options=None: through(text, options or {})
