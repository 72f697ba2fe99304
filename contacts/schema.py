"""The fields of a contact. Each is declared once, in `FIELDS`; everything else reads that table.

To add a field: declare it here, add its column to `Contact`, make the migration, and add the field
to the examples of the API and to the documentation; CONTRIBUTING.md has the list. The column needs
a `db_default`: during a deploy, the version before still writes rows, without the new column.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import Enum, Flag, auto
from typing import TYPE_CHECKING, Any

from django.utils.translation import gettext_lazy as _

from contacts.values import folding, header_names, rules

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise

Rule = Callable[..., Any]


class Kind(Enum):
    """What a field holds. It decides how the change log describes a change, and how the API shows
    the value."""

    TEXT = auto()
    NUMBER = auto()
    MOMENT = auto()
    TAGS = auto()
    METADATA = auto()


# What a field holds while it is empty, as JSON: tags are one comma-separated text there.
EMPTY: dict[Kind, Any] = {
    Kind.TEXT: "",
    Kind.NUMBER: 0,
    Kind.MOMENT: None,
    Kind.TAGS: "",
    Kind.METADATA: {},
}


class Merge(Enum):
    """What a field holds in the contact that stays after a merge."""

    OWN = auto()  # what it held before
    NEWEST = auto()  # the value of the contact updated last, empty ones aside
    ALL = auto()  # all tags; all keys of metadata, each with its newest value
    SUM = auto()
    EARLIEST = auto()
    LATEST = auto()
    IF_ALL_OPTED_IN = auto()  # the latest, if all have opted in and none has opted out


class Shape(Flag):
    """The bodies and answers of the API that have the field."""

    CREATE = auto()  # the body of create-contact, and the rows of create-contacts
    UPDATE = auto()  # the body of update-contact
    CREATED = auto()  # the answer of create-contact
    UPDATED = auto()  # the answer of update-contact
    FOUND = auto()  # a contact in search-contacts
    DETAIL = auto()  # a contact in get-contact and in webhooks
    LISTED = auto()  # a contact in list-contacts

    NONE = 0
    BODIES = CREATE | UPDATE
    FULL = DETAIL | LISTED
    ANSWERS = CREATED | UPDATED | FOUND | FULL


@dataclass(frozen=True)
class Field:
    """One field of a contact.

    `label`: its name for people, in the admin. The English name is the one that Django makes of
    `name`; any other one would appear as a title in the OpenAPI document.
    `rule`: makes the stored value of what a caller sends; raises `ValueError`. None: no caller
    sends the field.
    `max_length`: characters of a text that a caller sends.
    `merge`: what the field holds after a merge.
    `shapes`: the bodies and answers of the API that have it.
    `is_required`: no contact is without it.
    `is_logged`: the change log has its changes, and so have webhooks, histories and undo.
    `is_exported`: files of contacts have it.
    `is_edited`: the admin's form has it.
    `fold`: makes the value of the column `<name>_folded`, for searches; None: no such column.
    `is_kept`: create-contact leaves it alone if the body does not have it; the others are emptied.
    `aliases`: names of columns of imported files, as `header_names.listed` writes them; empty: a
    column gives the field only if the caller says so; None: no column can.
    """

    name: str
    label: "_StrPromise"
    kind: Kind
    rule: Rule | None = None
    max_length: int | None = None
    merge: Merge = Merge.OWN
    shapes: Shape = Shape.NONE
    is_required: bool = False
    is_logged: bool = True
    is_exported: bool = False
    is_edited: bool = False
    fold: Callable[[str], str] | None = None
    is_kept: bool = False
    aliases: Collection[str] | None = None

    @property
    def empty(self) -> Any:
        return EMPTY[self.kind]


FIELDS: tuple[Field, ...] = (
    Field(
        "phone", _("phone"), Kind.TEXT, rules.phone,
        shapes=Shape.CREATE | Shape.ANSWERS,
        is_required=True, is_exported=True, is_edited=True,
        aliases=header_names.PHONES,
    ),
    Field(
        "name", _("name"), Kind.TEXT, rules.name, rules.MAX_NAME, Merge.NEWEST,
        shapes=Shape.BODIES | Shape.ANSWERS,
        is_exported=True, is_edited=True, fold=folding.searchable,
        aliases=header_names.NAME,
    ),
    Field(
        "email", _("email"), Kind.TEXT, rules.email, rules.MAX_EMAIL, Merge.NEWEST,
        shapes=Shape.BODIES | Shape.ANSWERS,
        is_exported=True, is_edited=True, fold=rules.folded,
        aliases=header_names.EMAIL,
    ),
    Field(
        "tags", _("tags"), Kind.TAGS, rules.tags, merge=Merge.ALL,
        shapes=Shape.BODIES | Shape.ANSWERS,
        is_exported=True, is_edited=True,
        aliases=header_names.TAGS,
    ),
    Field(
        "locale", _("locale"), Kind.TEXT, rules.locale, rules.MAX_LOCALE, Merge.NEWEST,
        shapes=Shape.BODIES | Shape.FULL,
        is_exported=True, is_edited=True, is_kept=True,
        aliases=header_names.LOCALE,
    ),
    Field(
        "metadata", _("metadata"), Kind.METADATA, rules.metadata, merge=Merge.ALL,
        shapes=Shape.BODIES | Shape.FULL,
        is_exported=True, is_edited=True,
        aliases=header_names.METADATA,
    ),
    # Consent has no aliases: a column that happens to have such a name must not opt anybody in.
    Field(
        "opted_in_at", _("opted in at"), Kind.MOMENT, rules.decided,
        merge=Merge.IF_ALL_OPTED_IN, shapes=Shape.FULL, is_exported=True, aliases=(),
    ),
    Field(
        "opted_out_at", _("opted out at"), Kind.MOMENT, rules.decided,
        merge=Merge.LATEST, shapes=Shape.FULL, is_exported=True, aliases=(),
    ),
    Field(
        "last_message_at", _("last message at"), Kind.MOMENT, merge=Merge.LATEST,
        shapes=Shape.FOUND | Shape.FULL,
    ),
    Field("total_messages", _("total messages"), Kind.NUMBER, merge=Merge.SUM, shapes=Shape.FULL),
    Field("source", _("source"), Kind.TEXT, shapes=Shape.FOUND | Shape.FULL, is_required=True),
    Field(
        "created_at", _("created at"), Kind.MOMENT, merge=Merge.EARLIEST, is_required=True,
        shapes=Shape.CREATED | Shape.FOUND | Shape.FULL,
    ),
    Field(
        "updated_at", _("updated at"), Kind.MOMENT, is_required=True, is_logged=False,
        shapes=Shape.UPDATED | Shape.LISTED,
    ),
)  # fmt: skip

# Columns that are no fields for anybody; so are those that hold another one folded.
TECHNICAL = ("id", "tenant", "former_of")
# How the columns `<name>_folded` are made, by name.
FOLDS = {field.name: field.fold for field in FIELDS if field.fold}


def fields(*first: str) -> list[Field]:
    """All fields: those named in `first` in this order, then the others as the table has them."""
    by_name = {field.name: field for field in FIELDS}
    return [*map(by_name.pop, first), *by_name.values()]
