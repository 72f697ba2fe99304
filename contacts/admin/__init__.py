"""The Django admin of contacts: one module for each page or kind of row.

A contact's admin class is composed in `contacts` from `contact_page`, `contact_list`, `finder`,
`history`, `merging` and `overview`. Importing this package registers every admin class.
"""

from . import (
    bulk,
    changes,
    contacts,
    duplicates,
    exports,
    failed,
    fields,
    imports,
    saved_views,
    tags,
    tasks,
    webhooks,
)

__all__ = [
    "bulk",
    "changes",
    "contacts",
    "duplicates",
    "exports",
    "failed",
    "fields",
    "imports",
    "saved_views",
    "tags",
    "tasks",
    "webhooks",
]
