"""The documentation, as tests read it: README.md and the pages in docs/.

A new page in docs/ is read without a change here. So its commands run and its tables are checked.
"""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import yaml

from tests.support.paths import ROOT
from tests.support.processes import need

PAGE_LINK = re.compile(r"\]\((docs/[\w-]+\.md)")
FENCED = re.compile(r"^```\w*\n.*?^```$", re.MULTILINE | re.DOTALL)


def pages() -> dict[str, str]:
    """Path → text, README.md first. The pages follow in the order in which README.md links them,
    because a session on one page continues the session of the page before."""
    readme = (ROOT / "README.md").read_text()
    found = sorted(f"docs/{path.name}" for path in (ROOT / "docs").glob("*.md"))
    linked = [name for name in dict.fromkeys(PAGE_LINK.findall(readme)) if name in found]
    names = [*linked, *(name for name in found if name not in linked)]
    return {"README.md": readme} | {name: (ROOT / name).read_text() for name in names}


PAGES = pages()
TEXT = "\n".join(PAGES.values())
# Beside these, documents for developers: their links are checked, their commands are not run.
DOCUMENTS = PAGES | {
    name: (ROOT / name).read_text() for name in ("CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md")
}
# A page for each program that files of contacts come from. `tests/importing/test_source_pages.py`
# imports the file of each.
SOURCE_PAGES = {
    f"docs/import/{path.name}": path.read_text() for path in sorted(ROOT.glob("docs/import/*.md"))
}
DOCUMENTS |= SOURCE_PAGES


def blocks(language: str, page: str = "") -> list[str]:
    """The code blocks in `language`, on `page` (a path, such as `docs/api.md`) or on all pages."""
    text = PAGES[page] if page else TEXT
    return re.findall(rf"^```{language}\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)


def table(header: str) -> list[list[str]]:
    """The cells of each row below `header`, of the only table whose first line begins with it."""
    [found] = re.findall(rf"^{re.escape(header)}.*\n\|[- |:]+\|\n((?:\|.*\n)+)", TEXT, re.MULTILINE)
    return [
        [cell.strip() for cell in row.strip("|").split("|")] for row in found.strip().split("\n")
    ]


def first_column(header: str) -> set[str]:
    """The code words in the first column of this table."""
    return {word for cell, *_ in table(header) for word in re.findall(r"`([^`]+)`", cell)}


def prose(text: str) -> str:
    """`text` without code blocks."""
    return FENCED.sub("", text)


COMPOSE = yaml.safe_load((ROOT / "compose.yaml").read_text())
ADDRESS = "http://127.0.0.1:8000"


# Clients


def run_client(server: httpx.Client, tool: str, command: list[str], code: str) -> str:
    """What the example prints, run against the test server with Acme's token."""
    need(tool)
    assert ADDRESS in code
    token = server.headers["Authorization"].removeprefix("Bearer ")
    result = subprocess.run(
        [*command, code.replace(ADDRESS, str(server.base_url).rstrip("/"))],
        env=os.environ | {"QYVO_TOKEN": token},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


# Signatures


def vector() -> tuple[str, str, str]:
    """The secret, the body and the signature that docs/webhooks.md shows."""
    shown = TEXT[TEXT.index("| secret |") :].partition("\n\n")[0]
    secret, body, signature = (row.rpartition(" | `")[2].strip().removesuffix("` |")
                               for row in shown.splitlines() if "---" not in row)  # fmt: skip
    return secret, body, signature


CALLS = {
    "python": (
        "print(*[is_genuine('SECRET', s, b'BODY') for s in [SIGNED]])",
        sys.executable, "-c",
    ),
    "js": (
        "console.log(...[SIGNED].map((s) => isGenuine('SECRET', s, 'BODY')))",
        "node", "--input-type=module", "-e",
    ),
    "php": (
        "foreach ([SIGNED] as $s) echo isGenuine('SECRET', $s, 'BODY') ? 'true ' : 'false ';",
        "php", "-r",
    ),
}  # fmt: skip


def slugs(text: str) -> set[str]:
    """The anchors that GitHub gives to the headings of a document."""
    headings = re.findall(r"^#+ (.+)$", prose(text), re.MULTILINE)
    names = [re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings]
    assert len(names) == len(set(names)), "GitHub numbers headings that are alike"
    return set(names)


# The repository


def tracked_files() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name]
