"""Text."""

import codecs
import encodings
from contextlib import suppress
from encodings import aliases
from pkgutil import iter_modules

from ..records import UnreadableFile

MAX_LINE = 2 * 1024 * 1024  # characters
BOMS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
# Of names of hosts, whose decoders take the square of a block's length.
HOSTS = {"idna", "punycode"}
ENCODINGS = {*aliases.aliases, *(one.name for one in iter_modules(encodings.__path__))} - HOSTS


def text_encoding(name: str) -> str:
    # Python never forgets a name that it was asked for: it is asked for those only that it has.
    if encodings.normalize_encoding(name).lower() in ENCODINGS:
        with suppress(LookupError):
            if codecs.lookup(name)._is_text_encoding:  # others turn bytes into bytes
                return name
    raise UnreadableFile(f"There is no encoding “{name[:50]}”; try utf-8, cp1252 or utf-16.")
