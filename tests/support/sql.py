"""What a call asks of the database, and what is stored."""

from collections.abc import Callable
from typing import Any

from django.db import connection
from django.db.models import Model
from django.test.utils import CaptureQueriesContext

from contacts.models import Contact


def assert_links_match_tags() -> None:
    """The invariant of the write path, over all contacts."""
    for contact in Contact.objects.prefetch_related("links__tag"):
        links = contact.links.all()
        assert sorted(contact.tags) == sorted(link.tag.name for link in links)
        assert {contact.tenant_id} >= {link.tenant_id for link in links}
        assert {contact.tenant_id} >= {link.tag.tenant_id for link in links}


def all_rows(*models: type[Model]) -> list[dict[str, Any]]:
    """All rows of `models`, in the order of their keys. Without an order, PostgreSQL may return
    unchanged rows in another order the next time."""
    return [row for model in models for row in model._default_manager.order_by("pk").values()]


def statements(action: Callable[[], Any]) -> list[str]:
    """The SQL that `action` costs, BEGIN, COMMIT and savepoints aside."""
    with CaptureQueriesContext(connection) as captured:
        action()
    control = ("BEGIN", "COMMIT", "SAVEPOINT", "RELEASE", "ROLLBACK")
    return [sql for query in captured if not (sql := query["sql"]).startswith(control)]
