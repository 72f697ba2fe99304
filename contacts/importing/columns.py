"""Which column of a file is which field of a contact. This module imports no framework."""

import re
import unicodedata
from collections.abc import Iterable
from itertools import islice

from contacts import schema

# Columns that a file may have instead of `name`: the name is put together from both.
PARTS_OF_NAME = {
    "first_name": ("firstname", "givenname", "prenom", "vorname"),
    "last_name": ("lastname", "familyname", "surname", "nom", "nachname"),
}


def all_aliases() -> dict[str, tuple[str, ...]]:
    """The fields that a column can be mapped to, each with the names of such columns in the
    exports of HubSpot, Shopify, Google Contacts, Mailchimp, Brevo and others; the best name first.
    Consent has no such names: an import changes consent only if the user maps a column to it."""
    found: dict[str, tuple[str, ...]] = {}
    for field in schema.FIELDS:
        if field.aliases is not None:
            found[field.name] = field.aliases
        if field.name == "name":
            found |= PARTS_OF_NAME
    return found


ALIASES = all_aliases()

KNOWN = {alias for aliases in ALIASES.values() for alias in aliases}

MAX_ALIAS = 100  # characters; a longer name of a column is not compared with the aliases

# The columns that an error file adds.
OF_ERROR_FILE = ("line", "error")


class UnknownColumn(ValueError):
    """A mapping names a column or a field that does not exist.

    `sentence`: the message without the list of columns. In a file without a header, this list is
    the name and the phone of a person, which must not be stored.
    """

    def __init__(self, sentence: str, existing: Iterable[str] = ()) -> None:
        self.sentence = sentence
        names = ", ".join(shortened(name) for name in islice(existing, 50))
        super().__init__(f"{sentence} There are: {names}." if names else sentence)


def shortened(name: str) -> str:
    return f"{name[:50]}…" if len(name) > 50 else name


def pair(text: str) -> tuple[str, str]:
    """The column and the field of `COLUMN=FIELD`. Raises `UnknownColumn`."""
    column, sign, field = text.rpartition("=")
    if not sign:
        raise UnknownColumn(f"A map is COLUMN=FIELD, such as Cell=phone, not “{shortened(text)}”.")
    return column, field


def squeezed(name: str) -> str:
    """`name` in lower case with letters and digits only, without accents: `E-mail 1 - Value` and
    `email1value` become equal.

    Empty for a name that is too long to be an alias. Without this limit, a name of one letter with
    a million accents would take an hour, because Python sorts accents by insertion.
    """
    if len(name) > MAX_ALIAS:
        return ""
    text = unicodedata.normalize("NFKD", name).casefold()
    return re.sub(r"[\W_]|[^\x00-\x7f]", "", text)


def is_known(name: str) -> bool:
    """Whether a column with this name is recognised."""
    return squeezed(name) in KNOWN


def match(
    header: Iterable[str], given: dict[str, str], *, rest_to_metadata: bool
) -> dict[str, str]:
    """The field of each column that has one: `{"Cell": "phone", "City": "metadata.City"}`.

    `given`: the field of each column that the user maps; an empty field leaves the column out. The
    other columns are matched by name; a field gets one column. `rest_to_metadata`: columns that
    are left become metadata. Raises `UnknownColumn`.
    """
    header = list(header)
    existing = {*header}
    for column, field in given.items():
        if column not in existing:
            raise UnknownColumn(f"There is no column “{shortened(column)}”.", header)
        if field and field not in ALIASES and field.removeprefix("metadata.") == field:
            known = [*ALIASES, "metadata.KEY"]
            raise UnknownColumn(f"There is no field “{shortened(field)}”.", known)
    found = {column: field for column, field in given.items() if field}
    names = {squeezed(column): column for column in reversed(header) if column not in given}
    for field, aliases in ALIASES.items():
        if field not in found.values() and not is_made_of(field, found.values()):
            columns = [names[alias] for alias in aliases if alias in names]
            found |= dict.fromkeys(columns[:1], field)
    if rest_to_metadata:
        added = OF_ERROR_FILE if is_error_file(header) else ()
        others = {"", *found, *given, *added}
        rest = [column for column in header if column not in others]
        found |= {column: f"metadata.{column}" for column in rest}
    return {column: found[column] for column in header if column in found}


def is_error_file(header: list[str]) -> bool:
    """Whether an import of ours has written the file. Other files may have columns with the same
    names, but not as the last two."""
    return tuple(header[-2:]) == OF_ERROR_FILE


def is_made_of(field: str, found: Iterable[str]) -> bool:
    """Whether the field is a part of a name, and the file has a column with the whole name."""
    return field in PARTS_OF_NAME and "name" in found
