"""The catalogues of translations: `qyvo/locale/LANGUAGE/LC_MESSAGES/django.po`.

People edit these files, and Django reads a compiled form of them, `django.mo` beside each. Compiled
files are not committed: whatever starts Django makes the ones that are missing or older than their
source, if it may write there. Where the service cannot write into its own code, whoever installs
it does this once: `python -m qyvo.catalogues`. This module needs nothing but Python for that.

The formats: https://www.gnu.org/software/gettext/manual/gettext.html#PO-Files, and #MO-Files.
"""

import json
import os
import re
import struct
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

LOCALE = Path(__file__).resolve().parent / "locale"
MAGIC = 0x950412DE  # the first bytes of a compiled catalogue
CONTEXT_END, PLURAL_BEGIN = "\4", "\0"  # as compiled catalogues write a context and a plural
LINE = re.compile(r'(?:(msgctxt|msgid_plural|msgid|msgstr(?:\[\d\])?)\s+)?(".*")')


@dataclass
class Entry:
    """A text and its translation. `strings` has a translation for each plural form of the language,
    or one if the text has no plural."""

    msgid: str = ""
    context: str | None = None
    plural: str | None = None
    strings: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    is_fuzzy: bool = False  # guessed by a program: not used

    @property
    def key(self) -> tuple[str | None, str]:
        return self.context, self.msgid

    @property
    def is_translated(self) -> bool:
        return bool(self.strings) and all(self.strings) and not self.is_fuzzy

    def set(self, keyword: str, text: str) -> None:
        """Adds `text` to the part that `keyword` names: a long text has several lines."""
        if keyword == "msgctxt":
            self.context = (self.context or "") + text
        elif keyword == "msgid_plural":
            self.plural = (self.plural or "") + text
        elif keyword == "msgid":
            self.msgid += text
        else:
            number = int(keyword[7:-1] or 0)
            self.strings += [""] * (number + 1 - len(self.strings))
            self.strings[number] += text


def read(path: Path) -> list[Entry]:
    """The entries of a catalogue; the first one, with an empty `msgid`, is its header. Raises
    `ValueError` with the number of a line that is none of this format."""
    entries, keyword, begins = list[Entry](), "", True
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip() or line.startswith("#~"):  # a text that is no longer used
            begins = True
            continue
        found = LINE.fullmatch(line.strip())
        if begins or (found and found[1] in ("msgctxt", "msgid") and keyword.startswith("msgstr")):
            entries.append(Entry())
            keyword, begins = "", False
        if line.startswith("#"):
            read_comment(entries[-1], line)
            continue
        keyword = (found and found[1]) or keyword
        if not found or not keyword:
            raise ValueError(f"{path}, line {number}: {line}")
        entries[-1].set(keyword, json.loads(found[2]))
    return entries


def read_comment(entry: Entry, line: str) -> None:
    if line.startswith("#:"):
        entry.files += line[2:].split()
    elif line.startswith("#,"):
        entry.is_fuzzy = "fuzzy" in line


def compiled(entries: list[Entry]) -> bytes:
    """The catalogue as Django reads it, without texts that are not translated."""
    texts = sorted(
        (source_of(entry).encode(), PLURAL_BEGIN.join(entry.strings).encode())
        for entry in entries
        if entry.is_translated
    )
    # The head; for each source, and then for each translation, its length and place; the texts.
    pieces = [source for source, _ in texts] + [translated for _, translated in texts]
    head = struct.pack("<7I", MAGIC, 0, len(texts), 28, 28 + 8 * len(texts), 0, 0)
    index, place = b"", len(head) + 8 * len(pieces)
    for piece in pieces:
        index += struct.pack("<2I", len(piece), place)
        place += len(piece) + 1
    return head + index + b"".join(piece + b"\0" for piece in pieces)


def source_of(entry: Entry) -> str:
    context = "" if entry.context is None else entry.context + CONTEXT_END
    return context + entry.msgid + ("" if entry.plural is None else PLURAL_BEGIN + entry.plural)


def stale(folder: Path = LOCALE) -> list[Path]:
    """The catalogues without a compiled file, or with one that is older than they are."""
    return [
        source
        for source in sorted(folder.glob("*/LC_MESSAGES/django.po"))
        if not (made := source.with_suffix(".mo")).exists()
        or made.stat().st_mtime < source.stat().st_mtime
    ]


def compile_stale(folder: Path = LOCALE) -> list[Path]:
    """Compiles the catalogues that need it, and returns them. Several processes may do this at the
    same time: each file takes its place as a whole. Raises `OSError` and `ValueError`."""
    found = stale(folder)
    for source in found:
        content = compiled(read(source))
        handle, name = tempfile.mkstemp(dir=source.parent, suffix=".tmp")
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        Path(name).chmod(0o644)  # a server may run as another user
        Path(name).replace(source.with_suffix(".mo"))
    return found


if __name__ == "__main__":
    for done in compile_stale():
        sys.stdout.write(f"Compiled {done}\n")
