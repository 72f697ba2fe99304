"""How many contacts each tag of a tenant has, without counting all links for each request.

A process keeps the counts of a tenant together with what the database had committed when the links
were counted. The next request reads only the changes that have been committed since, from the
change log, and adds what they say. So the counts are exact, and whoever writes contacts pays
nothing. Counting two million links takes half a second.

Links without an entry in the change log are counted when the kept counts expire.
"""

import json
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from django.db import DEFAULT_DB_ALIAS, connections

from contacts.db.dialects import dialect_of
from contacts.db.replica import reading_alias
from tenants.fields import hex_id

KEPT_FOR = 3600  # seconds: the change log keeps every entry for longer
MOST_KEPT = 20  # a process keeps the counts of so many tenants
MOST_TAGS = 10_000  # counts of a tenant with more tags are not kept, because of the memory
SMALL_PAGE = 50  # tags: who asks for so few gets them counted, and not all links of the tenant
MOST_CHANGES = 5_000  # after more changes, counting all links again takes about as long

COUNT = """
SELECT tag.name, linked.number, {snapshot} FROM (
    SELECT tag_id, count(*) AS number FROM contacts_contacttag WHERE tenant_id = %(tenant)s
        AND (SELECT count(*) FROM (
            SELECT 1 FROM contacts_tag WHERE tenant_id = %(tenant)s LIMIT {too_many}
        ) AS first_tags) < {too_many}
    GROUP BY tag_id
) AS linked JOIN contacts_tag AS tag ON tag.id = linked.tag_id AND tag.tenant_id = %(tenant)s
"""
# The tags of a new contact are not in its entry. Each is looked up, and not joined: without
# statistics, PostgreSQL might read all contacts to join a few.
CHANGES = """
SELECT id, contact_id, kind = 'created', fields -> 'tags',
    CASE WHEN kind = 'created' THEN (
        SELECT tags FROM contacts_contact
        WHERE contacts_contact.id = contacts_change.contact_id AND tenant_id = %(tenant)s
    ) END,
    kind NOT IN ('created', 'opted_in', 'opted_out') AND fields = '{{}}',
    {snapshot}
FROM contacts_change WHERE tenant_id = %(tenant)s AND {unseen} LIMIT {limit}
"""


class Counts(NamedTuple):
    """`by_name`: the number of contacts, by the name of the tag. `snapshot`: what was committed
    when they were counted, see `dialect.SNAPSHOT`. `counted_at`: when all links were counted."""

    by_name: Counter[str]
    snapshot: str
    counted_at: float


class Changed(NamedTuple):
    """An entry of the change log. `tags`: as `change_log.difference.of_tags`; None if they stayed.
    `tags_now`: of a created contact, comma-separated; None if it is gone again. `is_cleared`:
    whether the entry has lost its values because a person was erased."""

    id: int
    contact_id: object
    is_new: bool
    tags: str | None
    tags_now: str | None
    is_cleared: bool
    snapshot: str


kept: dict[str, Counts] = {}  # by tenant, the one asked for last at the end


def of_tenant(tenant_id: str, *, may_count: bool) -> Counter[str] | None:
    """The number of contacts of each tag of the tenant, by the tag's name.

    `may_count`: whether to count all links where no counts are kept. None: there are no counts.
    """
    # The replica has counts of its own: it may see transactions in another order than the leader.
    key, database = tenant_id, reading_alias()
    if database != DEFAULT_DB_ALIAS:
        key = f"{database}/{tenant_id}"
    known = kept.get(key)
    counts = known and brought_up_to_date(tenant_id, known)
    if counts is None and may_count:
        counts = counted(tenant_id)
    if counts is None:
        return None
    # A transaction may take back what it sees of its own.
    if not connections[database].in_atomic_block:
        kept.pop(key, None)
        kept[key] = counts
    for oldest in [*kept][:-MOST_KEPT]:
        kept.pop(oldest, None)
    return counts.by_name


def counted(tenant_id: str) -> Counts | None:
    """Counts all links of the tenant; None if it has no links, or too many tags."""
    sql = COUNT.format(snapshot=dialect_of().SNAPSHOT, too_many=MOST_TAGS + 1)
    rows = executed(sql, {"tenant": hex_id(tenant_id)})
    if not rows:
        return None
    by_name = Counter({name: number for name, number, _ in rows})
    return Counts(by_name, rows[0][2], time.monotonic())


def brought_up_to_date(tenant_id: str, known: Counts) -> Counts | None:
    """`known` with all later changes. None if there are too many changes, or if one has lost its
    values because a person was erased."""
    if time.monotonic() - known.counted_at > KEPT_FOR:
        return None
    dialect = dialect_of()
    sql = CHANGES.format(snapshot=dialect.SNAPSHOT, unseen=dialect.UNSEEN, limit=MOST_CHANGES + 1)
    values = {"tenant": hex_id(tenant_id), "seen": known.snapshot}
    changes = [Changed(*row) for row in executed(sql, values)]
    if not changes:
        return known
    if len(changes) > MOST_CHANGES or any(change.is_cleared for change in changes):
        return None
    by_name = known.by_name.copy()
    by_name.update(difference(changes))
    return known._replace(by_name=by_name, snapshot=changes[0].snapshot)


def difference(changes: Iterable[Changed]) -> Counter[str]:
    """By how much `changes` change the number of contacts of each tag."""
    found: Counter[str] = Counter()
    # New contacts are counted with the tags that they have now, so their later changes are skipped.
    is_new: set[object] = set()
    for change in sorted(changes):
        if change.contact_id in is_new:
            continue
        if change.is_new:
            is_new.add(change.contact_id)
            found.update(change.tags_now.split(",") if change.tags_now else ())
        elif change.tags:
            tags = json.loads(change.tags)
            found.update(tags["added"])
            found.subtract(tags["removed"])
    return found


def executed(sql: str, values: dict[str, str]) -> Sequence[tuple]:
    with connections[reading_alias()].cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()
