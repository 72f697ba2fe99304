"""The tables, and the questions that are asked about them."""

from . import names  # noqa: F401 - gives the models the names that people see
from .bulk_action import (
    BulkAction,
    BulkBatch,
)
from .change import (
    ENDS,
    Change,
    ChangeQuerySet,
    Entry,
    Tombstone,
)
from .contact import (
    BY_CHANGE,
    BY_MESSAGE,
    Contact,
    ContactQuerySet,
    Outcome,
    carries,
    contact_is_there,
    decisions_of_contacts,
    in_json,
    matches,
    with_folded,
)
from .contact_counts import (
    ContactCounts,
)
from .duplicate import (
    BY_LIKELIHOOD,
    Duplicate,
    DuplicateQuerySet,
    DuplicateSearch,
    NearKey,
)
from .erasure import (
    EARLIER_OPT_OUT,
    Erasure,
    OptOut,
)
from .export import (
    Export,
    ExportQuerySet,
)
from .import_job import (
    Import,
    ImportBatch,
    ImportFailure,
    Warned,
)
from .metadata_field import (
    MetadataField,
    fields_of,
    rows_of,
)
from .name_folding import (
    NameFolding,
)
from .note import (
    Note,
)
from .saved_view import (
    MAX_VIEW_NAME,
    SavedView,
    SavedViewQuerySet,
)
from .stored import all_columns, attributes, converted, find_stored, find_with_owner, look_up
from .stored_answer import (
    StillRunning,
    StoredAnswer,
)
from .tag import (
    ContactTag,
    CountedTag,
    Tag,
    TagQuerySet,
    are_few,
    links_of,
    numbers_of_contacts,
)
from .tag_counts import (
    TagCounts,
)
from .tenant_lock import (
    TenantLock,
)
from .webhook import (
    EVENT_OF_KIND,
    EVENTS,
    IMPORT_FINISHED,
    MAX_URL,
    TEST_EVENT,
    Delivery,
    DeliveryQuerySet,
    Webhook,
)

__all__ = [
    "BY_CHANGE",
    "BY_LIKELIHOOD",
    "BY_MESSAGE",
    "EARLIER_OPT_OUT",
    "ENDS",
    "EVENTS",
    "EVENT_OF_KIND",
    "IMPORT_FINISHED",
    "MAX_URL",
    "MAX_VIEW_NAME",
    "TEST_EVENT",
    "BulkAction",
    "BulkBatch",
    "Change",
    "ChangeQuerySet",
    "Contact",
    "ContactCounts",
    "ContactQuerySet",
    "ContactTag",
    "CountedTag",
    "Delivery",
    "DeliveryQuerySet",
    "Duplicate",
    "DuplicateQuerySet",
    "DuplicateSearch",
    "Entry",
    "Erasure",
    "Export",
    "ExportQuerySet",
    "Import",
    "ImportBatch",
    "ImportFailure",
    "MetadataField",
    "NameFolding",
    "NearKey",
    "Note",
    "OptOut",
    "Outcome",
    "SavedView",
    "SavedViewQuerySet",
    "StillRunning",
    "StoredAnswer",
    "Tag",
    "TagCounts",
    "TagQuerySet",
    "TenantLock",
    "Tombstone",
    "Warned",
    "Webhook",
    "all_columns",
    "are_few",
    "attributes",
    "carries",
    "contact_is_there",
    "converted",
    "decisions_of_contacts",
    "fields_of",
    "find_stored",
    "find_with_owner",
    "in_json",
    "links_of",
    "look_up",
    "matches",
    "numbers_of_contacts",
    "rows_of",
    "with_folded",
]
