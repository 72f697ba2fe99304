"""The documentation, as tests read it: README.md and the pages in docs/.

A new page in docs/ is read without a change here. So its commands run and its tables are checked.
"""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
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
