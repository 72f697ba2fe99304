"""The examples of the documentation, run as their readers run them."""

import json
import re
import subprocess
import sys

import httpx
import pytest

from contacts.models import Contact
from tests.support.documents import CALLS, PAGES, blocks, run_client, slugs, tracked_files, vector
from tests.support.paths import ROOT
from tests.support.processes import need


@pytest.mark.once
def test_the_curl_example_gets_the_reply_shown(server: httpx.Client) -> None:
    [code] = [block for block in blocks("sh", "README.md") if block.startswith("curl")]
    reply = json.loads(run_client(server, "curl", ["sh", "-c"], code.replace("curl", "curl -sS")))
    [shown] = map(json.loads, blocks("json", "README.md"))
    assert list(reply) == list(shown)
    for key in ("phone", "name", "email", "tags"):
        assert reply[key] == shown[key]
    assert len(reply["id"]) == len(shown["id"])


@pytest.mark.once
@pytest.mark.parametrize(
    ("language", "command"),
    [
        ("python", [sys.executable, "-c"]),
        ("js", ["node", "--input-type=module", "-e"]),
        ("php", ["php", "-r"]),
    ],
)
def test_the_client_example_creates_a_contact(
    server: httpx.Client, language: str, command: list[str]
) -> None:
    [code] = blocks(language, "docs/api.md")
    printed = run_client(server, command[0], command, code.removeprefix("<?php "))
    contact = Contact.objects.get()
    assert printed == contact.pk
    assert (contact.phone, contact.tags) == ("+14155550123", ["vip", "fr-FR"])


@pytest.mark.once
@pytest.mark.parametrize("language", CALLS)
def test_the_vector_shown_is_verified_by_the_code_shown(language: str) -> None:
    secret, body, signature = vector()
    call, *command = CALLS[language]
    need(command[0])
    moment, _, digest = signature.partition(",")
    tried = [signature, f"{moment},v1={'0' * 64},{digest}", f"{moment},v1={'0' * 64}", moment,
             f"t=1,{digest}", digest, "", "v1=x,t=1"]  # fmt: skip
    call = call.replace("SECRET", secret).replace("BODY", body)
    call = call.replace("SIGNED", ", ".join(f"'{text}'" for text in tried))
    [code] = blocks(language, "docs/webhooks.md")
    code = code.removeprefix("<?php\n")
    run = subprocess.run([*command, f"{code}\n{call}"], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr
    assert run.stdout.lower().split() == ["true"] * 2 + ["false"] * 6


@pytest.mark.once
def test_every_page_that_the_code_names_exists() -> None:
    for path in tracked_files():
        if path.suffix in (".py", ".toml", ".md", ".yaml", "") and path.is_file():
            for page, anchor in re.findall(r"\b(docs/[a-z-]+\.md)(?:#([\w-]+))?", path.read_text()):
                assert page in PAGES, f"{path}: {page}"
                assert not anchor or anchor in slugs(PAGES[page]), f"{path}: {page}#{anchor}"


@pytest.mark.once
def test_no_tracked_file_names_a_machine_or_an_index() -> None:
    for path in tracked_files():
        if path.is_file():
            text = path.read_text(errors="replace")
            assert str(ROOT) + "/" not in text, path
            assert not re.search(r"--(extra-)?index-url h|https?://\S+/simple", text), path
