"""Programs of others against the live server: clients that four generators make from the API's
description, linters of the description, libraries of receivers of webhooks, and MCP's official
client and conformance suite.

`pytest tests/system/generated_clients.py`; not collected with the others: it installs the
generators. .ci/run runs it. Needs npm and Java.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

from contacts.models import Import, Webhook
from tests.support import mcp_proxy
from tests.support.processes import need
from tests.support.receiver import Receiver
from tests.support.webhooks import send

SOURCES = Path(__file__).with_name("clients")
EXPECTED = {
    "created": "Romain",
    "updated": "Romain R.",
    "email": None,
    "tags": ["vip", "beta"],
    "batch": ["created", "failed"],
    "found": ["+14155550123"],
    "listed": ["+14155550123", "+33612345678"],
    "opted_in": True,
    "import": ["create-only", True],
    "webhook": True,
    "refused": "The given data was invalid. phone: The phone is too short for its country.",
}
NO_DOCUMENTS = "apiTests=false,modelTests=false,apiDocs=false,modelDocs=false"


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory, server_url: str) -> Path:
    """A folder with the generators, the API's description and the calls."""
    folder = tmp_path_factory.mktemp("clients")
    shutil.copytree(SOURCES, folder, dirs_exist_ok=True)
    schema = httpx.get(f"{server_url}/api/v1/openapi.json", timeout=60).content
    (folder / "openapi.json").write_bytes(schema)
    run(folder, need("npm"), "ci", "--no-audit", "--no-fund", "--ignore-scripts")
    uv = str(Path(sys.executable).with_name("uv"))
    run(folder, uv, "venv", "python")
    run(
        folder, uv, "pip", "install", "--python", "python", "--require-hashes", "--requirement",
        "requirements.txt",
    )  # fmt: skip
    return folder


def run(folder: Path, *command: str, **variables: str) -> str:
    """The output of `command`. Fails with what it says, if it fails."""
    path = f"{folder}/python/bin:{folder}/node_modules/.bin:{os.environ['PATH']}"
    # The generators look for new versions, and count their users.
    quiet = {"REDOCLY_TELEMETRY": "off", "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true"}
    done = subprocess.run(
        command, cwd=folder, env=os.environ | quiet | {"PATH": path} | variables,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def openapi_python_client(folder: Path) -> list[str]:
    run(
        folder, "openapi-python-client", "generate", "--path", "openapi.json",
        "--output-path", "python_client", "--meta", "none",
    )  # fmt: skip
    return ["python/bin/python", "with_openapi_python_client.py"]


def openapi_generator(folder: Path) -> list[str]:
    need("java")
    run(
        folder, "openapi-generator-cli", "generate", "-g", "python", "-i", "openapi.json",
        "-o", "openapi_generator", "--global-property", NO_DOCUMENTS,
    )  # fmt: skip
    return ["python/bin/python", "with_openapi_generator.py"]


def hey_api(folder: Path) -> list[str]:
    run(folder, "openapi-ts", "-i", "openapi.json", "-o", "hey_api", "--no-log-file")
    return compiled(folder, "with_hey_api")


def openapi_typescript(folder: Path) -> list[str]:
    run(folder, "openapi-typescript", "openapi.json", "--output", "openapi_typescript.d.ts")
    return compiled(folder, "with_openapi_typescript")


def compiled(folder: Path, name: str) -> list[str]:
    """The program `name`, translated by TypeScript's compiler, which checks its types."""
    run(
        folder, "tsc", "--strict", "--target", "es2022", "--module", "commonjs",
        "--moduleResolution", "node10", "--lib", "es2022,dom,dom.iterable", "--types", "node",
        "--esModuleInterop", "--skipLibCheck", "--outDir", "built", f"{name}.ts",
    )  # fmt: skip
    return ["node", f"built/{name}.js"]


@pytest.mark.parametrize(
    "generate", [openapi_python_client, openapi_generator, hey_api, openapi_typescript]
)
def test_a_generated_client_does_what_it_is_told(
    folder: Path,
    server: httpx.Client,
    acme: SimpleNamespace,
    generate: Callable[[Path], list[str]],
) -> None:
    variables = {
        "URL": str(server.base_url).rstrip("/"), "TOKEN": acme.plaintext,
        "PYTHONPATH": str(folder / "openapi_generator"),
    }  # fmt: skip
    said = run(folder, *generate(folder), **variables)
    assert json.loads(said.splitlines()[-1]) == EXPECTED
    options: dict[str, Any] = Import.objects.get().options
    assert options["tag"] == ["a", "b"]


def test_libraries_of_standard_webhooks_verify_a_delivery(
    folder: Path,
    transactional_db: None,
    acme: SimpleNamespace,
    receiver: Receiver,
    webhook: Webhook,
) -> None:
    """With the new and the old secret, and with no other."""
    old = webhook.secret
    webhook.rotate()
    acme.api.create(name="Zoé")
    send()
    [received] = receiver.received
    given = {
        "headers": dict(received.headers), "body": received.body.decode(),
        "secrets": [webhook.secret, old], "wrong": f"whsec_{'0' * 64}",
    }  # fmt: skip
    run(folder, "python/bin/python", "verify_delivery.py", json.dumps(given))


def test_linters_find_nothing(folder: Path) -> None:
    assert "warning" not in run(folder, "redocly", "lint", "openapi.json").lower().replace(
        "deprecation warning", ""
    )
    spectral = ["spectral", "lint", "--ruleset", "spectral.yaml", "--fail-severity", "hint"]
    assert "No results" in run(folder, *spectral, "openapi.json")


# The Model Context Protocol

EXPECTED_OF_MCP = {
    "server": "qyvo-contacts",
    "tools": 14,
    "warned": True,
    "tags": ["vip", "Zoé"],
    "listed": [{}],
    "refused": [True, "validation_failed"],
    "tried": True,
    "unknown": -32602,
    "gone": True,
}
# The others call tools, resources and prompts with names that only a server made for the suite has.
SCENARIOS = ["server-initialize", "ping", "tools-list", "dns-rebinding-protection"]


@pytest.mark.parametrize(("mode", "revision"), [("auto", "2026-07-28"), ("legacy", "2025-11-25")])
def test_the_official_client_of_mcp_calls_tools(
    folder: Path, server: httpx.Client, acme: SimpleNamespace, mode: str, revision: str
) -> None:
    variables = {"URL": str(server.base_url).rstrip("/"), "TOKEN": acme.plaintext}
    said = run(folder, "python/bin/python", "with_mcp.py", mode, **variables)
    assert json.loads(said.splitlines()[-1]) == EXPECTED_OF_MCP | {"revision": revision}


@pytest.mark.parametrize("scenario", SCENARIOS)
def test_the_conformance_suite_of_mcp_passes(
    folder: Path, server: httpx.Client, acme: SimpleNamespace, scenario: str
) -> None:
    with mcp_proxy.adding(acme.plaintext, str(server.base_url).rstrip("/")) as url:
        said = run(
            folder, "node", "--import", "./old_node.mjs", "node_modules/.bin/conformance",
            "server", "--url", f"{url}/mcp", "--scenario", scenario,
        )  # fmt: skip
    assert "0 failed, 0 warnings" in said, said
