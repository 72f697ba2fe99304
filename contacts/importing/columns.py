"""Which column of a file is which field of a contact. This module imports no framework."""

from collections.abc import Collection, Iterable
from itertools import islice
from typing import NamedTuple

from contacts import schema
from contacts.values import header_names
from contacts.values.defined_fields import DefinedField
from contacts.values.header_names import PhoneKind, kind_of_phone_words, phone_kind, words
from contacts.values.translation import gettext as _

# Columns that a file may have instead of `name`: the name is put together from them.
PARTS_OF_NAME = {
    "first_name": header_names.FIRST_NAME,
    "middle_name": header_names.MIDDLE_NAME,
    "last_name": header_names.LAST_NAME,
}

# The phones that a contact had before, as an export writes them. They are rows of their own.
FORMER = "former_phones"

# Yes or no: the import gives the date.
CONSENT = "consent"


def all_aliases() -> dict[str, Collection[str]]:
    """The fields that a column can be mapped to, each with the names of such columns. Consent has
    no such names: an import changes consent only if the user maps a column to it."""
    found: dict[str, Collection[str]] = {}
    for field in schema.FIELDS:
        if field.aliases is not None:
            found[field.name] = field.aliases
        if field.name == "name":
            found |= PARTS_OF_NAME
    return found | {FORMER: {"formerphones", "formerphone"}, CONSENT: ()}


ALIASES = all_aliases()
# Words beside an alias that change nothing, such as `billing` in `Billing first name`.
OWNERS = {"email": header_names.EMAIL_OWNERS, "tags": header_names.TAG_OWNERS}

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
        super().__init__(
            _("%(sentence)s There are: %(names)s.") % {"sentence": sentence, "names": names}
            if names
            else sentence
        )


class Columns(NamedTuple):
    """What `match` has found.

    `fields`: the field of each column that has one. Several columns may have the same field; the
    best column comes first. `types`: the column that says the kind of each phone column, where a
    file has one: `{"Phone 1 - Value": "Phone 1 - Type"}`. `codes`: the column with the country code
    of each phone column, where a file has one.
    """

    fields: dict[str, str]
    types: dict[str, str]
    codes: dict[str, str]

    @property
    def candidates(self) -> dict[str, list[str]]:
        """The columns of each field, the best first."""
        found: dict[str, list[str]] = {}
        for column, field in self.fields.items():
            found.setdefault(field, []).append(column)
        return found


def shortened(name: str) -> str:
    return f"{name[:50]}…" if len(name) > 50 else name


def pair(text: str) -> tuple[str, str]:
    """The column and the field of `COLUMN=FIELD`. Raises `UnknownColumn`."""
    column, sign, field = text.rpartition("=")
    if not sign:
        raise UnknownColumn(
            _("A map is COLUMN=FIELD, such as Cell=phone, not “%(text)s”.")
            % {"text": shortened(text)}
        )
    return column, field


def squeezed(name: str) -> str:
    """The words of `name` as one: `E-mail 1 - Value` and `email1value` become equal. Empty for a
    name that is too long to be an alias."""
    return "".join(words(name))


def is_known(name: str) -> bool:
    """Whether a column of this name says by its name what it holds. Any text may be asked for."""
    return bool(known_field(name)) or name in ALIASES


def known_field(name: str) -> str:
    """The field that a column of this name has; empty if the name is not known."""
    found = words(name)
    if kind_of_phone_words(found):
        return "phone"
    for field, aliases in ALIASES.items():
        owners = OWNERS.get(field, header_names.OWNERS)
        spellings = {"".join(found), "".join(word for word in found if word not in owners)}
        if not spellings.isdisjoint(aliases):
            return field
    return ""


RESERVED = frozenset(squeezed(name) for name in (*ALIASES, *OF_ERROR_FILE))


def is_reserved(name: str) -> bool:
    """Whether a column of this name has a meaning of its own, so that no field that a tenant
    defines may have the name."""
    return is_known(name) or squeezed(name) in RESERVED


def headers_of(defined: Iterable[DefinedField]) -> dict[str, str]:
    """The names of columns that the tenant defines, as they are and squeezed, each with its field.

    A label comes before a key: exports name their columns by labels. A key that is reserved, such
    as `email`, names no column.
    """
    labels = [(field.label, field) for field in defined]
    keys = [(field.key, field) for field in defined if not is_reserved(field.key)]
    found: dict[str, str] = {}
    for name, field in [*labels, *keys]:
        for spelling in (name, squeezed(name)):
            found.setdefault(spelling, f"metadata.{field.key}")
    return found


def match(
    header: Iterable[str],
    given: dict[str, str],
    *,
    rest_to_metadata: bool,
    titles: Iterable[str] = (),
    defined: Iterable[DefinedField] = (),
) -> Columns:
    """The fields of the columns: `{"Cell": "phone", "City": "metadata.City"}`.

    `given`: the field of each column that the user maps; an empty field leaves the column out. The
    other columns are matched by name, but not to a field that the user has mapped.
    `rest_to_metadata`: columns that are left become metadata. `titles`: the names as the file has
    them, if `header` makes them different because the file has the same name more than once.
    `defined`: the fields that the tenant defines; their labels and keys are known names.
    Raises `UnknownColumn`.
    """
    header = list(header)
    named = dict(zip(header, titles or header, strict=False))
    refuse_unknown(header, given)
    found = {column: field for column, field in given.items() if field}
    unmapped = {column: named[column] for column in header if column not in given}
    found |= recognised(unmapped, found, headers_of([*defined]))
    if rest_to_metadata:
        added = OF_ERROR_FILE if is_error_file(header) else ()
        others = {"", *found, *given, *added}
        found |= {column: f"metadata.{column}" for column in header if column not in others}
    fields = {column: found[column] for column in header if column in found}
    return Columns(
        best_first(fields, named), type_columns(fields, named), code_columns(fields, named)
    )


def is_field(name: str) -> bool:
    """Whether a column can be mapped to `name`: a field of contacts, or a key of metadata."""
    return name in ALIASES or name.startswith("metadata.")


def refuse_unknown(header: list[str], given: dict[str, str]) -> None:
    existing = {*header}
    for column, field in given.items():
        if column not in existing:
            sentence = _("There is no column “%(column)s”.") % {"column": shortened(column)}
            raise UnknownColumn(sentence, header)
        if field and not is_field(field):
            known = [*ALIASES, "metadata.KEY"]
            sentence = _("There is no field “%(field)s”.") % {"field": shortened(field)}
            raise UnknownColumn(sentence, known)


def recognised(
    named: dict[str, str], given: dict[str, str], defined: dict[str, str]
) -> dict[str, str]:
    """The fields of the columns with known names.

    `named`: the title of each column. `given`: the columns that the user has mapped, with their
    fields. These fields get no further columns. `defined`: see `headers_of`.
    """
    taken = {*given.values()}
    if "name" in taken:
        taken |= PARTS_OF_NAME.keys()
    elif not taken.isdisjoint(PARTS_OF_NAME):
        taken.add("name")
    fields = {
        column: defined.get(title) or defined.get(squeezed(title)) or known_field(title)
        for column, title in named.items()
    }
    if "last_name" not in fields.values() and "last_name" not in taken:
        fields |= last_names(named)
    return {column: field for column, field in fields.items() if field and field not in taken}


def last_names(named: dict[str, str]) -> dict[str, str]:
    """The column `Name` of a German or Dutch file that has a column `Vorname` beside it."""
    spelled = {column: squeezed(title) for column, title in named.items()}
    return {
        column: "last_name"
        for column, name in spelled.items()
        if not header_names.FIRST_NAMES_BESIDE_A_LAST_NAME.get(name, frozenset()).isdisjoint(
            spelled.values()
        )
    }


def best_first(fields: dict[str, str], named: dict[str, str]) -> dict[str, str]:
    """`fields`, the phones in the order in which they are tried, and the parts of a name in the
    order in which they are written. `Billing name` comes before `Name`, which may be the number of
    an order."""
    parts = [*PARTS_OF_NAME]
    if any(squeezed(title) in header_names.FAMILY_NAME_FIRST for title in named.values()):
        parts.reverse()

    def rank(column: str) -> int:
        field = fields[column]
        if field == "phone":
            return phone_kind(named[column]) or PhoneKind.UNNAMED
        if field == "name":
            return int(squeezed(named[column]) in header_names.NAME)
        return parts.index(field) if field in parts else 0

    return {column: fields[column] for column in sorted(fields, key=rank)}


def type_columns(fields: dict[str, str], named: dict[str, str]) -> dict[str, str]:
    """The column with the kind of each phone column that has one."""
    types = {
        subject(title): column
        for column, title in named.items()
        if not header_names.TYPE_WORDS.isdisjoint(words(title)) and phone_kind(subject(title))
    }
    phones = {column: subject(named[column]) for column in fields if fields[column] == "phone"}
    return {column: types[title] for column, title in phones.items() if title in types}


def code_columns(fields: dict[str, str], named: dict[str, str]) -> dict[str, str]:
    """The column with the country code of each phone column that has one. Of several, a calling
    code comes first: a country code may be `FR`. A column `Country code` that does not say of which
    phone it is belongs to all phones without a column of their own."""
    codes = {
        subject(title, header_names.CODE_WORDS): column
        for column, title in sorted(named.items(), key=lambda item: "calling" in words(item[1]))
        if is_country_code(words(title))
    }
    of_all = codes.get("")
    phones = {column: subject(named[column]) for column in fields if fields[column] == "phone"}
    return {column: code for column, title in phones.items() if (code := codes.get(title, of_all))}


def is_country_code(found: header_names.Words) -> bool:
    """Whether a column with these words has country codes. A column `Code` may have anything."""
    return "code" in found and found != ("code",)


def whatsapp_ids(fields: dict[str, str]) -> frozenset[str]:
    """The phone columns with ids of WhatsApp."""
    phones = (column for column, field in fields.items() if field == "phone")
    return frozenset(column for column in phones if squeezed(column) in header_names.WHATSAPP_IDS)


OF_A_PHONE = header_names.TYPE_WORDS | header_names.VALUE_WORDS


def subject(title: str, left_out: Collection[str] = OF_A_PHONE) -> str:
    """What `Phone 1 - Type` and `Phone 1 - Value` are the type and the value of: `phone 1`."""
    return " ".join(word for word in words(title) if word not in left_out)


def is_error_file(header: list[str]) -> bool:
    """Whether an import of ours has written the file. Other files may have columns with the same
    names, but not as the last two."""
    return tuple(header[-2:]) == OF_ERROR_FILE
