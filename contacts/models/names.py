"""The names of models and fields that people see, in their language. Fields that no page shows are
left out: see `tenants.verbose_names`.

`noun` and `number` say to translators what a short word is: the name of a kind of row, or the head
of a column with numbers of contacts.
"""

from django.utils.translation import gettext_lazy, pgettext_lazy

from contacts import schema
from tenants.verbose_names import set_verbose_names

from .bulk_action import BulkAction
from .change import Change
from .contact import Contact
from .duplicate import Duplicate
from .erasure import Erasure, OptOut
from .export import Export
from .import_job import Import
from .metadata_field import MetadataField
from .note import Note
from .saved_view import SavedView
from .tag import Tag
from .webhook import Delivery, Webhook

set_verbose_names(
    Contact,
    one=gettext_lazy("contact"),
    many=gettext_lazy("contacts"),
    id=gettext_lazy("id"),
    tenant=gettext_lazy("tenant"),
    **{field.name: field.label for field in schema.FIELDS},
)
set_verbose_names(
    Tag,
    one=gettext_lazy("tag"),
    many=gettext_lazy("tags"),
    tenant=gettext_lazy("tenant"),
    id=gettext_lazy("id"),
    name=gettext_lazy("name"),
    created_at=gettext_lazy("created at"),
)
set_verbose_names(
    MetadataField,
    one=gettext_lazy("field"),
    many=gettext_lazy("fields"),
    tenant=gettext_lazy("tenant"),
    label=gettext_lazy("label"),
    key=gettext_lazy("key"),
    kind=gettext_lazy("kind"),
    choices=gettext_lazy("choices"),
    position=gettext_lazy("position"),
)
set_verbose_names(
    Note,
    one=gettext_lazy("note"),
    many=gettext_lazy("notes"),
)
set_verbose_names(
    SavedView,
    one=gettext_lazy("saved view"),
    many=gettext_lazy("saved views"),
    tenant=gettext_lazy("tenant"),
    name=gettext_lazy("name"),
    is_shared=gettext_lazy("shared"),
)
set_verbose_names(
    Duplicate,
    one=gettext_lazy("possible duplicate"),
    many=gettext_lazy("possible duplicates"),
    tenant=gettext_lazy("tenant"),
)
set_verbose_names(
    Change,
    one=pgettext_lazy("noun", "change"),
    many=pgettext_lazy("noun", "changes"),
    tenant=gettext_lazy("tenant"),
)
set_verbose_names(
    Import,
    one=pgettext_lazy("noun", "import"),
    many=pgettext_lazy("noun", "imports"),
    tenant=gettext_lazy("tenant"),
    file_name=gettext_lazy("file name"),
    dry_run=gettext_lazy("dry run"),
    state=gettext_lazy("state"),
    rows=gettext_lazy("rows"),
    created=pgettext_lazy("number", "created"),
    updated=pgettext_lazy("number", "updated"),
    unchanged=pgettext_lazy("number", "unchanged"),
    superseded=pgettext_lazy("number", "repeated"),
    failed=pgettext_lazy("number", "failed"),
    started_at=gettext_lazy("started at"),
)
set_verbose_names(
    Export,
    one=pgettext_lazy("noun", "export"),
    many=pgettext_lazy("noun", "exports"),
    tenant=gettext_lazy("tenant"),
    state=gettext_lazy("state"),
    total=pgettext_lazy("number", "total"),
    started_at=gettext_lazy("started at"),
    expires_at=gettext_lazy("expires at"),
)
set_verbose_names(
    BulkAction,
    one=gettext_lazy("bulk action"),
    many=gettext_lazy("bulk actions"),
    tenant=gettext_lazy("tenant"),
    kind=gettext_lazy("kind"),
    total=pgettext_lazy("number", "total"),
    changed=pgettext_lazy("number", "changed"),
    refused=pgettext_lazy("number", "refused"),
    started_at=gettext_lazy("started at"),
)
set_verbose_names(
    Webhook,
    one=gettext_lazy("webhook"),
    many=gettext_lazy("webhooks"),
    tenant=gettext_lazy("tenant"),
    id=gettext_lazy("id"),
    url=gettext_lazy("url"),
    events=gettext_lazy("events"),
    import_rows=gettext_lazy("import rows"),
    last_success_at=gettext_lazy("last success at"),
    rotated_at=gettext_lazy("rotated at"),
    created_at=gettext_lazy("created at"),
)
set_verbose_names(
    Delivery,
    one=gettext_lazy("delivery"),
    many=gettext_lazy("deliveries"),
    tenant=gettext_lazy("tenant"),
    id=gettext_lazy("id"),
    webhook=gettext_lazy("webhook"),
    event=gettext_lazy("event"),
    state=gettext_lazy("state"),
    attempts=gettext_lazy("attempts"),
    last_status=gettext_lazy("last status"),
    problem=gettext_lazy("problem"),
    created_at=gettext_lazy("created at"),
    due_at=gettext_lazy("due at"),
    finished_at=gettext_lazy("finished at"),
)
set_verbose_names(
    Erasure,
    one=gettext_lazy("erasure"),
    many=gettext_lazy("erasures"),
)
set_verbose_names(
    OptOut,
    one=gettext_lazy("opt-out"),
    many=gettext_lazy("opt-outs"),
)
