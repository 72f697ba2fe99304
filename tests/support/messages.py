"""The texts of the code that are translated, and the catalogues that have them.

    make messages                         # brings the catalogues in qyvo/locale up to date
    python -m tests.support.messages --json             # prints all texts
    python -m tests.support.messages --json --missing fr # the texts that French lacks

It needs no GNU gettext, so that everybody, and every test, can run it. The texts are found by the
names of Django's functions; `contacts.values.translation` has the same names.
"""

import argparse
import ast
import json
import re
import sys
import tokenize
from collections.abc import Iterable, Iterator
from io import StringIO
from pathlib import Path
from typing import Any

from django.utils.translation.template import templatize

from qyvo.catalogues import LOCALE, Entry, read
from tests.support.paths import ROOT

# For each function: the places of context, text and plural among its arguments.
PLACES: dict[str, tuple[int | None, int, int | None]] = {
    "gettext": (None, 0, None),
    "ngettext": (None, 0, 1),
    "pgettext": (0, 1, None),
    "npgettext": (0, 1, 2),
}
FUNCTIONS = {
    "_": PLACES["gettext"],
    "_lazy": PLACES["gettext"],
    "gettext_noop": PLACES["gettext"],
    **PLACES,
    **{f"{name}_lazy": places for name, places in PLACES.items()},
}
# The languages that the catalogues are made for, with the rule for their plurals.
PLURALS = {
    "de": "nplurals=2; plural=(n != 1);",
    "es": "nplurals=2; plural=(n != 1);",
    "fr": "nplurals=2; plural=(n > 1);",
    "pt_BR": "nplurals=2; plural=(n > 1);",
}
HEADER = """\
Project-Id-Version: Qyvo Contacts
Language: {language}
MIME-Version: 1.0
Content-Type: text/plain; charset=UTF-8
Content-Transfer-Encoding: 8bit
Plural-Forms: {plurals}
"""
VALUE = re.compile(r"%(?:\(\w+\))?[sd]|%%")  # a value in a text, as Python's % takes it
BRACES = re.compile(r"\{\w*\}")  # as `format` and `format_html` take it


def sources() -> list[Path]:
    """The files that people's texts are in."""
    modules = (
        path for app in ("qyvo", "tenants", "contacts") for path in (ROOT / app).rglob("*.py")
    )
    templates = (
        path for kind in ("html", "txt") for path in (ROOT / "templates").rglob(f"*.{kind}")
    )
    found = (path for path in modules if "migrations" not in path.parts)
    return sorted([*found, *templates])


def all_messages() -> dict[tuple[str | None, str], Entry]:
    """All texts of the code, with the files that have them, in the order of these files. A text
    that is used with and without a plural is one entry with a plural, as in GNU gettext."""
    found: dict[tuple[str | None, str], Entry] = {}
    for path in sources():
        name = path.relative_to(ROOT).as_posix()
        for entry in messages_in(path):
            known = found.setdefault(entry.key, entry)
            known.plural = known.plural or entry.plural
            if name not in known.files:
                known.files.append(name)
    return found


def messages_in(path: Path) -> Iterator[Entry]:
    text = path.read_text(encoding="utf-8")
    if path.suffix != ".py":
        yield from in_template(text)
        return
    calls = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Call)]
    for node in sorted(calls, key=lambda call: (call.lineno, call.col_offset)):
        if places := FUNCTIONS.get(name_of(node.func)):
            where = f"{path}, line {node.lineno}"
            if entry := entry_of(node.args, places, where):
                yield entry


def name_of(function: ast.expr) -> str:
    return str(getattr(function, "id", getattr(function, "attr", "")))


def entry_of(
    arguments: list[ast.expr], places: tuple[int | None, int, int | None], where: str
) -> Entry | None:
    """The text of a call; None for a variable: its values are marked somewhere else. Raises
    `ValueError` for a text that is put together, because no catalogue can have it."""
    given = [arguments[place] if place is not None else None for place in places]
    if any(isinstance(argument, ast.JoinedStr | ast.BinOp) for argument in given):
        raise ValueError(f"{where}: mark the whole text, and give it its values afterwards.")
    context, text, plural = (getattr(argument, "value", None) for argument in given)
    return Entry(text, context, plural) if isinstance(text, str) else None


def in_template(source: str) -> Iterator[Entry]:
    """Django turns a template into calls between blanked letters. What is no call is left out."""
    words = " ".join(line.strip() for line in templatize(source).splitlines())
    tokens = [*tokenize.generate_tokens(StringIO(words).readline)]
    for place, token in enumerate(tokens):
        if token.type == tokenize.NAME and token.string in FUNCTIONS:
            texts = strings_after(tokens[place + 1 :])
            places = FUNCTIONS[token.string]
            values = [texts[number] if number is not None else None for number in places]
            yield Entry(values[1] or "", values[0], values[2])


def strings_after(tokens: Iterable[tokenize.TokenInfo]) -> list[str]:
    """The texts among the arguments of a call. `tokens`: what follows its name."""
    found = []
    for token in tokens:
        if token.string == ")":
            break
        if token.type == tokenize.STRING:
            found.append(str(ast.literal_eval(token.string)))
    return found


def flags_of(entry: Entry) -> str:
    """What editors of catalogues then check: that a translation has the same values."""
    text = entry.msgid + (entry.plural or "")
    flags = ["fuzzy"] if entry.is_fuzzy else []
    flags += ["python-format"] if VALUE.search(text) else []
    flags += ["python-brace-format"] if BRACES.search(text) else []
    return ", ".join(flags)


def quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def written(entry: Entry) -> str:
    """An entry as a catalogue has it. Each text is one line, so that a change is one line, too."""
    lines = [f"#: {name}" for name in entry.files]
    lines += [f"#, {flags}"] if (flags := flags_of(entry)) else []
    lines += [f"msgctxt {quoted(entry.context)}"] if entry.context is not None else []
    lines += [f"msgid {quoted(entry.msgid)}"]
    if entry.plural is None:
        lines += [f"msgstr {quoted((entry.strings or [''])[0])}"]
    else:
        lines += [f"msgid_plural {quoted(entry.plural)}"]
        strings = entry.strings if len(entry.strings) > 1 else ["", ""]
        lines += [f"msgstr[{number}] {quoted(text)}" for number, text in enumerate(strings)]
    return "\n".join(lines) + "\n"


def catalogue(language: str) -> Path:
    return LOCALE / language / "LC_MESSAGES" / "django.po"


def translations(language: str) -> dict[tuple[str | None, str], Entry]:
    """What the catalogue has; nothing if there is none."""
    path = catalogue(language)
    entries = read(path) if path.exists() else []
    return {entry.key: entry for entry in entries if entry.msgid}


def updated(language: str) -> str:
    """The catalogue with all texts of the code, and the translations that it already has. A text
    that is no longer used goes; git has it."""
    known = translations(language)
    head = HEADER.format(language=language, plurals=PLURALS[language])
    parts = [written(Entry(strings=[head]))]
    for entry in all_messages().values():
        if (old := known.get(entry.key)) and (old.plural is None) == (entry.plural is None):
            entry.strings, entry.is_fuzzy = old.strings, old.is_fuzzy
        parts.append(written(entry))
    return "\n".join(parts)


def as_json(missing: str = "") -> str:
    """All texts, or the ones that the language `missing` does not have yet."""
    known = translations(missing) if missing else {}
    found: list[dict[str, Any]] = [
        {"context": e.context, "msgid": e.msgid, "plural": e.plural, "files": e.files}
        for e in all_messages().values()
        if not (e.key in known and known[e.key].is_translated)
    ]
    return json.dumps(found, ensure_ascii=False, indent=1)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("--json", action="store_true", help="print the texts; change nothing")
    parser.add_argument("--missing", default="", choices=PLURALS, help="only what it lacks")
    options = parser.parse_args()
    if options.json:
        sys.stdout.write(as_json(options.missing) + "\n")
        return
    for language in PLURALS:
        path = catalogue(language)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(updated(language), encoding="utf-8")
        left = sum(not entry.is_translated for entry in translations(language).values())
        sys.stdout.write(f"{path.relative_to(ROOT)}: {left} texts to translate\n")


if __name__ == "__main__":
    main()
