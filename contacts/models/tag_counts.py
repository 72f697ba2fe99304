"""How many contacts each tag of a tenant has, without counting all links for each request.

The database stores the counts of a tenant together with what it had committed when the links were
counted. A request reads only the changes that have been committed since, from the change log, and
adds what they say. So the counts are exact, whoever writes contacts pays nothing, and no process
starts without counts. Counting two million links takes seconds.

Who has read many changes stores the result for everybody. Two processes may store at the same time:
either result is right, the older one only leaves more changes to read. A worker keeps what is
stored up to date (`refresh`), so that hardly any request has to count.

Links without an entry in the change log are counted when the stored counts expire.
"""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any, NamedTuple

from django.db import DEFAULT_DB_ALIAS, DatabaseError, connections, models
from django.db.models.expressions import RawSQL
from django.utils import timezone

from contacts.db.dialects import dialect_of
from contacts.db.replica import reading_alias
from contacts.values import rules
from tenants.fields import hex_id
from tenants.models import Tenant

KEPT_FOR = timedelta(hours=20)  # the change log keeps every entry for longer: see `prune_changes`
REFRESHED_AFTER = timedelta(hours=10)  # then a worker counts all links again
MOST_TAGS = 10_000  # counts of a tenant with more tags are not stored: each request reads them all
SMALL_PAGE = 50  # tags: who asks for so few gets them counted, and not all links of the tenant
MOST_CHANGES = 20_000  # after more changes, counting all links again takes about as long
STORED_AFTER = 200  # changes: who has read so many stores the counts

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


class TagCountsQuerySet(models.QuerySet["TagCounts"]):
    def usable(self) -> "TagCountsQuerySet":
        """Without counts of a dump that another server made, or another kind of database: their
        snapshots say nothing here."""
        known = dialect_of(self.db).IS_KNOWN_SNAPSHOT
        return self.filter(RawSQL(known, [], models.BooleanField()))  # noqa: S611 - no user input


class TagCounts(models.Model):
    """The stored counts of a tenant. `numbers`: of contacts, by the name of the tag; without tags
    that no contact has. `snapshot`: what was committed when they were counted, see
    `dialect.SNAPSHOT`. `counted_at`: when all links were counted."""

    tenant = models.OneToOneField(Tenant, models.CASCADE, primary_key=True, related_name="+")
    numbers = models.JSONField(encoder=rules.CompactJSON)
    snapshot = models.TextField()
    counted_at = models.DateTimeField()

    objects = TagCountsQuerySet.as_manager()

    class Meta:
        default_permissions = ()

    def __str__(self) -> str:
        return self.tenant_id


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


def of_tenant(
    tenant_id: str, *, may_count: bool, kept_for: timedelta = KEPT_FOR
) -> Counter[str] | None:
    """The number of contacts of each tag of the tenant, by the tag's name.

    `may_count`: whether to count all links where no counts are stored. `kept_for`: how long ago all
    links may have been counted. None: there are no counts.
    """
    stored = TagCounts.objects.usable().filter(tenant=tenant_id)
    known = stored.filter(counted_at__gt=timezone.now() - kept_for).first()
    counts = known and brought_up_to_date(known)
    if counts is None and may_count:
        counts = counted(tenant_id)
    return Counter(counts.numbers) if counts else None


def refresh(tenant_id: str) -> None:
    """Counts anew where a request soon would have to, and stores what has changed."""
    if of_tenant(tenant_id, may_count=True, kept_for=REFRESHED_AFTER) is None:
        TagCounts.objects.filter(tenant=tenant_id).delete()  # it has no tags now, or too many


def forget_restored(using: str, **kwargs: Any) -> None:
    """Deletes the counts of a restored dump: its changes get other transaction numbers afterwards.

    `using`: the alias of the database. A receiver of Django's signal `post_migrate`, before
    `settle_restored`, because `migrate` runs after each restore.
    """
    if TagCounts._meta.db_table not in connections[using].introspection.table_names():
        return
    every = TagCounts.objects.using(using)
    usable = {*every.usable().values_list("pk", flat=True)}
    for counts in every.select_related("tenant"):
        if counts.pk not in usable or counts.tenant.changes.using(using).are_foreign():
            counts.delete()


def counted(tenant_id: str) -> TagCounts | None:
    """Counts all links of the tenant; None if it has no links, or too many tags."""
    sql = COUNT.format(snapshot=dialect_of().SNAPSHOT, too_many=MOST_TAGS + 1)
    rows = executed(sql, {"tenant": hex_id(tenant_id)})
    if not rows:
        return None
    return stored(
        TagCounts(
            tenant_id=tenant_id,
            numbers={name: number for name, number, _ in rows},
            snapshot=rows[0][2],
            counted_at=timezone.now(),
        )
    )


def brought_up_to_date(known: TagCounts) -> TagCounts | None:
    """`known` with all later changes. None if there are too many changes, or if one has lost its
    values because a person was erased."""
    dialect = dialect_of()
    sql = CHANGES.format(snapshot=dialect.SNAPSHOT, unseen=dialect.UNSEEN, limit=MOST_CHANGES + 1)
    values = {"tenant": hex_id(known.tenant_id), "seen": known.snapshot}
    changes = [Changed(*row) for row in executed(sql, values)]
    if not changes:
        return known
    if len(changes) > MOST_CHANGES or any(change.is_cleared for change in changes):
        return None
    numbers = Counter(known.numbers)
    numbers.update(difference(changes))
    known.numbers = dict(+numbers)  # without tags that no contact has any more
    known.snapshot = changes[0].snapshot
    return stored(known) if len(changes) >= STORED_AFTER else known


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


def stored(counts: TagCounts) -> TagCounts:
    """Stores `counts` for everybody, unless the transaction may take back what it has counted.

    The leader stores what a replica has counted, too: the replica has seen nothing that the leader
    has not committed. A request that only reads must not fail because of this: the leader may be
    down, or SQLite's only lock for writing may be taken for long.
    """
    if not any(connections[name].in_atomic_block for name in {DEFAULT_DB_ALIAS, reading_alias()}):
        with suppress(DatabaseError):
            TagCounts.objects.bulk_create(
                [counts],
                update_conflicts=True,
                unique_fields=["tenant"],
                update_fields=["numbers", "snapshot", "counted_at"],
            )
    return counts


def executed(sql: str, values: dict[str, str]) -> Sequence[tuple]:
    with connections[reading_alias()].cursor() as cursor:
        cursor.execute(sql, values)
        return cursor.fetchall()
