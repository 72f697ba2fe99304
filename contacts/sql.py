"""The statements that the ORM cannot say, and the one place where the two databases differ."""

import json
import sqlite3
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from functools import lru_cache, partial, wraps
from typing import Any, NamedTuple, TypeVar, cast

import psycopg
from django.db import (
    DatabaseError,
    IntegrityError,
    OperationalError,
    connection,
    connections,
    transaction,
)
from django.db.models import (
    Aggregate,
    BinaryField,
    BooleanField,
    DateTimeField,
    Func,
    QuerySet,
    Subquery,
    TextField,
    UUIDField,
    Value,
)
from django.db.models.functions import Cast
from django.utils import timezone

from tenants.fields import bits_of, new_ulid

from .rules import folded, spelled

ATTEMPTS = 3
MICROSECOND = timedelta(microseconds=1)  # the resolution of both databases' timestamps
# PostgreSQL's SQLSTATEs
DEADLOCK = "40P01"
INCOMPLETE = "22012"  # division by zero, see `insert_sql`

# How the databases say that they cannot serve for now. PostgreSQL's SQLSTATEs begin with: gone; out
# of disk, memory or connections; stopping or starting; its disk fails; takes no writes; in each
# other's way for too long: serialization, deadlock, lock and statement timeouts.
UNAVAILABLE = ("08", "53", "57P0", "58030", "25006", "40001", "40P01", "55P03", "57014")
SQLITE_UNAVAILABLE = {
    sqlite3.SQLITE_BUSY, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CANTOPEN,
}  # fmt: skip

Verb = TypeVar("Verb", bound=Callable[..., Any])
Result = TypeVar("Result")


def transactional(verb: Verb) -> Verb:
    """Runs `verb` in a transaction; tried again where PostgreSQL ends it to resolve a deadlock.

    Every writer locks contacts, then tags, each in one order. Somebody who deletes tags that
    others are just creating anew can still close a circle of three. Inside another transaction
    a deadlock has no second try: that one is lost as a whole.
    """

    @wraps(verb)
    def run(*args: Any, **kwargs: Any) -> Any:
        for attempt in range(1, ATTEMPTS + 1):
            try:
                with transaction.atomic():
                    return verb(*args, **kwargs)
            except OperationalError as error:
                is_deadlock = sqlstate(error) == DEADLOCK
                if not is_deadlock or attempt == ATTEMPTS or connection.in_atomic_block:
                    raise
        raise AssertionError  # the last attempt returns or raises

    return cast("Verb", run)


def sqlstate(error: DatabaseError) -> str:
    """What kind of an error PostgreSQL tells."""
    return getattr(error.__cause__, "sqlstate", None) or ""


def tried_twice(transact: Callable[[], Result]) -> Result:
    """What `transact` returns; tried once more where another writer has just taken a phone or a
    tag."""
    try:
        return transact()
    except IntegrityError:
        return transact()


def is_unavailable(error: BaseException) -> bool:
    """Whether `error` says that the database cannot serve for now: what has failed may well succeed
    later. A mistake of ours, which would fail again, is none of these.
    """
    cause = error.__cause__
    if isinstance(cause, sqlite3.Error):
        return (
            getattr(cause, "sqlite_errorcode", 0) & 0xFF in SQLITE_UNAVAILABLE
        )  # none of a misuse
    if isinstance(cause, psycopg.Error) and cause.sqlstate:
        return cause.sqlstate.startswith(UNAVAILABLE)
    # Not from the server: it could not be reached, was lost, or has not answered.
    return isinstance(cause, psycopg.OperationalError)


def updated_after(stored: datetime) -> datetime:
    """The `updated_at` of a contact that changes now: later than `stored`, the one that it has.

    A clock may step back, and the clocks of servers differ. Without this rule a reader that knows
    the contact as of `stored` would take the newer row for an older one. The statements that
    change contacts without reading them first say the same with `updated_after` of a dialect.
    """
    return max(timezone.now(), stored + MICROSECOND)


# What rows of a file change in a contact. Metadata keys are merged; nobody who has opted out is
# opted in again; and of two decisions the later one counts, at one moment the one to opt out.
MERGED = {
    "opted_in_at": "CASE WHEN contacts_contact.opted_out_at IS NULL"
    " AND (EXCLUDED.opted_in_at > contacts_contact.opted_in_at) IS NOT FALSE"
    " THEN EXCLUDED.opted_in_at ELSE contacts_contact.opted_in_at END",
    "opted_out_at": "CASE WHEN EXCLUDED.opted_out_at >= COALESCE(contacts_contact.opted_out_at,"
    " contacts_contact.opted_in_at, EXCLUDED.opted_out_at)"
    " THEN EXCLUDED.opted_out_at ELSE contacts_contact.opted_out_at END",
}


class Upsert(NamedTuple):
    """The statements of an upsert: how rows that exist were before, and the upsert itself.

    PostgreSQL says both in one; SQLite, which has one writer at a time, needs two.
    """

    before: str
    write: str


class PreparingCursor(psycopg.Cursor[Any]):
    def _convert_query(self, *args: Any, **kwargs: Any) -> Any:
        """Kept for Django's log of statements; psycopg itself forgets a prepared one."""
        self._query = super()._convert_query(*args, **kwargs)
        return self._query


def prepared(using: str) -> Any:
    """A cursor for what is run again and again: PostgreSQL plans it once a connection, not each
    time, unless `prepare_threshold` forbids it, as poolers may need.

    What is only read goes without: there the best plan depends on the values.
    """
    connection: Any = connections[using]
    if connection.vendor != "postgresql":
        return connection.cursor()
    connection.close_if_health_check_failed()
    connection.ensure_connection()
    return connection._prepare_cursor(PreparingCursor(connection.connection))


def sql_kind(using: str) -> str:
    """Which of `DIALECTS` a database understands."""
    connection: Any = connections[using]
    has_old = connection.vendor == "postgresql" and connection.pg_version >= PostgreSQL18.VERSION
    return "postgresql18" if has_old else connection.vendor


@lru_cache(maxsize=256)
def upsert_sql(
    kind: str,
    columns: tuple[str, ...],
    given: tuple[str, ...],
    changes: tuple[str, ...],
    told: tuple[str, ...],
    returned: tuple[str, ...],
) -> Upsert:
    """INSERT … ON CONFLICT of the contacts in the JSON array `%(rows)s`.

    `given`: the columns that its objects have; the others are parameters of their own names,
    alike for all rows. `changes`: the columns that an existing row gets; `-metadata` replaces
    them all, `metadata` merges their keys. A row that has these values already is left alone and
    not returned. `returned`: expressions over the rows that were written. Behind them come `was`
    and `now`, what the columns `told` held and hold, as JSON arrays, no `was` for a new row; and
    `seen`, see `PostgreSQL.upsert`.
    """
    dialect = DIALECTS[kind]
    values = {name: dialect.given(name) if name in given else f"%({name})s" for name in columns}
    merged = MERGED | {"metadata": dialect.MERGED_METADATA}
    sets = {name.lstrip("-"): merged.get(name, f"EXCLUDED.{name.lstrip('-')}") for name in changes}
    if sets:
        before, write = dialect.upsert(values, on_conflict(dialect, sets), told, returned)
    else:
        shown = ", ".join([*returned, "NULL AS was", "NULL AS now", "NULL AS seen"])
        conflict = f"ON CONFLICT (tenant_id, phone) DO NOTHING RETURNING {shown}"
        before, write = "", dialect.written(f"{inserting(values)} {dialect.ROWS} {conflict}")
    return Upsert(before, dialect.alone(write))


def inserts_alone(using: str) -> bool:
    """Whether `insert_sql` may be used now: on PostgreSQL, outside any transaction."""
    connection: Any = connections[using]
    return connection.vendor == "postgresql" and not connection.in_atomic_block


@lru_cache
def insert_sql(columns: tuple[str, ...], lock_timeout: str = "") -> str:
    """INSERT of the contact in the JSON array `%(rows)s`, with its tags, links and log entry; one
    row tells that it is done, none that its phone is there already.

    By itself a transaction, and one trip instead of three. So it may not do half of it. It fails
    with `INCOMPLETE`, as a whole, where somebody else has just made or renamed one of its tags, and
    where somebody with this phone has opted out; `%(digest)s` is that of the phone.

    `lock_timeout`: how long it may wait for a lock, such as `1s`; empty for the server's own
    setting. The statement sets it for itself, when it reads the row that it is going to insert:
    a SET of its own would be another trip.
    """
    insert = inserting({name: PostgreSQL.given(name) for name in columns})
    limit = f"set_config('lock_timeout', '{lock_timeout}', true) IS NOT NULL"
    rows = f"{PostgreSQL.ROWS} WHERE {limit}" if lock_timeout else PostgreSQL.ROWS
    return PostgreSQL.whole(
        f"{insert} {rows} ON CONFLICT (tenant_id, phone) DO NOTHING RETURNING id, tags"
    )


@lru_cache
def find_sql(columns: tuple[str, ...]) -> str:
    """SELECT of a tenant's contact by its phone."""
    return (
        f"SELECT {', '.join(columns)} FROM contacts_contact"  # noqa: S608 - our own
        " WHERE tenant_id = %(tenant)s AND phone = %(phone)s"
    )


@lru_cache(maxsize=256)
def update_sql(vendor: str, columns: tuple[str, ...]) -> str:
    """UPDATE of the contacts of one tenant in the JSON array `%(rows)s`, found by id."""
    dialect = DIALECTS[vendor]
    values = ", ".join(f"{name} = {dialect.given(name)}" for name in columns)
    return (
        f"UPDATE contacts_contact SET {values} {dialect.ROWS_TO_UPDATE}"  # noqa: S608 - our own
        f" AND contacts_contact.id = {dialect.given('id')}"
        f" AND {dialect.unindexed('contacts_contact.tenant_id')} = %(tenant)s"
    )


def inserting(values: dict[str, str]) -> str:
    """`values`: what each column gets."""
    return f"INSERT INTO contacts_contact ({', '.join(values)}) SELECT {', '.join(values.values())}"


def on_conflict(dialect: "type[SQLite] | type[PostgreSQL]", changes: dict[str, str]) -> str:
    """`changes`: the columns that an existing row gets, each with its new value.

    EXCLUDED.updated_at, not now(), so that the statement also runs on Citus.
    """
    updated_at = dialect.updated_after("contacts_contact.updated_at", "EXCLUDED.updated_at")
    values = changes | {"updated_at": updated_at}
    assignments = ", ".join(f"{name} = {value}" for name, value in values.items())
    stored = ", ".join(f"contacts_contact.{name}" for name in changes)
    return (
        f"ON CONFLICT (tenant_id, phone) DO UPDATE SET {assignments} "
        f"WHERE ({stored}) IS DISTINCT FROM ({', '.join(changes.values())})"
    )


def add_functions(connection: Any, **kwargs: Any) -> None:
    """Gives a new connection to SQLite what PostgreSQL has as an operator."""
    if connection.vendor == "sqlite":
        add = partial(connection.connection.create_function, deterministic=True)
        add("contacts_merged", 2, merged_metadata)
        add("contacts_holds", -1, holds)
        add("contacts_updated_after", 2, text_updated_after)


def trust_busy_connections(**kwargs: Any) -> None:
    """Has a request ask its connection whether it still lives once a second, not each time; one
    that has been idle for longer is always asked."""
    now = time.monotonic()
    for each in cast("list[Any]", connections.all(initialized_only=True)):
        if now - getattr(each, "asked_at", -1) < 1:
            each.health_check_done = True
        else:
            each.asked_at = now


def merged_metadata(stored: str, given: str) -> str:
    return spelled(json.loads(stored) | json.loads(given))


def text_updated_after(stored: str, now: str) -> str:
    """`updated_after` for timestamps as SQLite stores them: UTC without an offset, which compare
    as text."""
    if now > stored:
        return now
    return (datetime.fromisoformat(stored) + MICROSECOND).isoformat(" ")


def holds(stored: str, key: str, *values: str) -> bool:
    held = json.loads(stored)
    return key in held and (not values or spelled(held[key]) in values)


class Holds(Func):
    """Whether metadata has a key at its top level, with one of the values that follow, each as
    `spelled`; without values, whatever the key holds."""

    function = "contacts_holds"
    output_field = BooleanField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        metadata, key, *values = (compiler.compile(part) for part in self.source_expressions)
        spellings = [value for _, told in values for value in told]
        if not spellings:
            sql = f"jsonb_exists({metadata[0]}, {key[0]}::text)"
            return sql, [*metadata[1], *key[1]]
        wanted = ", ".join(["%s::jsonb"] * len(spellings))
        sql = f"{metadata[0]} -> {key[0]}::text IN ({wanted})"
        params = [*metadata[1], *key[1], *spellings]
        texts = [text_in_json(value) for value in spellings]
        if None in texts:
            return sql, params
        # Hardly any has the same text, and to compare that takes half of the time; and 1 is not
        # 1.0, as on SQLite. ANY, because PostgreSQL looks at what equals one value last.
        same = f"{metadata[0]} ->> {key[0]}::text = ANY(%s)"
        return f"({same} AND {sql})", [*metadata[1], *key[1], texts, *params]


def text_in_json(spelling: str) -> str | None:
    """What PostgreSQL's `->>` shows of a value: a number without an exponent. None where that is a
    matter of spaces, or nothing."""
    value = json.loads(spelling)
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return spelling
    return f"{Decimal(spelling):f}" if isinstance(value, int | float) else None


class UpdatedAfter(Func):
    """`updated_after` of the column `stored`, computed by the database."""

    output_field = DateTimeField()

    def __init__(self, stored: str) -> None:
        super().__init__(stored, Value(timezone.now(), DateTimeField()))

    def in_dialect(self, compiler: Any, connection: Any, **context: Any) -> Any:
        (stored, _), (now, params) = (compiler.compile(part) for part in self.source_expressions)
        return DIALECTS[connection.vendor].updated_after(stored, now), params

    as_sqlite = as_postgresql = in_dialect


class IsOneOf(Func):
    """Whether a key is one of those that a query finds, which are few: PostgreSQL finds them, then
    looks for each, however many it thinks they are."""

    template, arg_joiner = "%(expressions)s", " IN "
    output_field = BooleanField()

    def __init__(self, name: str, keys: QuerySet[Any]) -> None:
        super().__init__(name, Subquery(keys))

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        is_any = {"template": "%(expressions)s)", "arg_joiner": " = ANY(ARRAY"}
        return self.as_sql(compiler, connection, **is_any | context)


class IsAnyOf(Func):
    """Whether a key is one of `ids`, hexadecimal digits, which may be thousands: one parameter for
    all of them, through which neither Django nor psycopg goes."""

    output_field = BooleanField()

    def __init__(self, name: str, ids: Iterable[str]) -> None:
        super().__init__(name)
        self.ids = [*ids]

    def as_sqlite(self, compiler: Any, connection: Any, **context: Any) -> Any:
        is_any = "%(expressions)s IN (SELECT value FROM json_each(%%s))"
        sql, params = self.as_sql(compiler, connection, template=is_any)
        return sql, [*params, SQLite.words(self.ids)]

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        is_any = "%(expressions)s = ANY(%%s::uuid[])"
        sql, params = self.as_sql(compiler, connection, template=is_any)
        return sql, [*params, PostgreSQL.words(self.ids)]


class ByCodePoint(Func):
    """A text in the order of its code points, as Python and SQLite sort; PostgreSQL's own order
    depends on the collation of the database."""

    template = "%(expressions)s"
    output_field = TextField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        return self.as_sql(compiler, connection, template='%(expressions)s COLLATE "C"')


class PackedIds(Aggregate):
    """The bits of all keys, one behind the other, in the order of the columns that follow."""

    output_field = BinaryField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        key, *order = (compiler.compile(part)[0] for part in self.source_expressions)
        return f"string_agg(uuid_send({key}), '' ORDER BY {', '.join(order)})", []


def packed_ids(rows: QuerySet[Any], *order: str) -> bytes:
    """The ids of `rows` as they are now, 16 bytes each, in this order.

    From PostgreSQL as one value: a million rows of its answer take 200 MB, and 4 s to go through.
    """
    if connections[rows.db].vendor == "postgresql":
        return bytes(rows.order_by().aggregate(ids=PackedIds("pk", *order))["ids"] or b"")
    ids = rows.order_by(*order).values_list(Cast("pk", UUIDField()), flat=True)
    return b"".join(pk.bytes for pk in ids.iterator())


def hold_tenant(tenant_id: str) -> None:
    """Lets nobody erase a person of the tenant until the transaction ends; others pass.

    SQLite has one writer at a time anyway.
    """
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1 FROM tenants_tenant WHERE id = %s FOR SHARE", [key(tenant_id)])


def key(ulid: str) -> str:
    """An id as both databases read it: 32 hexadecimal digits."""
    return f"{bits_of(ulid):032x}"


def json_value(value: Any, moment: Callable[[datetime], str]) -> Any:
    """`value` as the JSON of a row has it."""
    if isinstance(value, datetime):
        return moment(value)
    return ",".join(value) if isinstance(value, list) else value


def row_in_json(row_id: str, fields: dict[str, Any], moment: Callable[[datetime], str]) -> str:
    """A contact as an upsert takes it: its id as hexadecimal digits, and `fields` as rules give
    them, those that are looked up without case folded as well."""
    row = {name: json_value(value, moment) for name, value in fields.items()}
    row |= {f"{name}_folded": folded(row[name]) for name in ("name", "email") if name in row}
    return spelled(row | {"id": row_id})


class SQLite:
    """One writer at a time. Lists are passed as JSON, ids are 32 hexadecimal digits."""

    ID_DIGITS = "id"
    METADATA_BYTES = "length(CAST(metadata AS BLOB))"
    CONSENT = "json_array(opted_in_at, opted_out_at)"
    MERGED_METADATA = "contacts_merged(contacts_contact.metadata, EXCLUDED.metadata)"

    @staticmethod
    def words(items: Iterable[str]) -> str:
        return json.dumps([*items])

    @staticmethod
    def given(name: str) -> str:
        return f"value {'->' if name == 'metadata' else '->>'} '{name}'"

    @staticmethod
    def array(names: Iterable[str]) -> str:
        shown = (f"json({name})" if name == "metadata" else name for name in names)
        return f"json_array({', '.join(shown)})"

    ROWS = "FROM json_each(%(rows)s) WHERE true"
    ROWS_TO_UPDATE = ROWS

    @staticmethod
    def unindexed(column: str) -> str:
        """The column, for a condition that SQLite must not find rows by: in a join it would go
        through all rows of the tenant, and through the list for each of them."""
        return f"+{column}"

    @classmethod
    def upsert(
        cls, values: dict[str, str], conflict: str, told: tuple[str, ...], returned: tuple[str, ...]
    ) -> tuple[str, str]:
        was = cls.array(told)
        before = (
            f"SELECT phone, {was} FROM contacts_contact WHERE tenant_id = %(tenant)s"  # noqa: S608
            " AND phone IN (SELECT value FROM json_each(%(phones)s))"
        )
        shown = ", ".join([*returned, "NULL AS was", f"{was} AS now", "NULL AS seen"])
        return before, f"{inserting(values)} {cls.ROWS} {conflict} RETURNING {shown}"

    @staticmethod
    def written(write: str) -> str:
        return write

    alone = written

    @staticmethod
    def moment(value: datetime) -> str:
        return value.astimezone(UTC).replace(tzinfo=None).isoformat(" ")

    @staticmethod
    def updated_after(stored: str, now: str) -> str:
        return f"contacts_updated_after({stored}, {now})"

    OPT_OUTS = """
SELECT digest, CAST(opted_out_at AS text) FROM contacts_optout
WHERE tenant_id = %(tenant)s AND digest IN (SELECT value FROM json_each(%(digests)s))
"""
    OLDEST_RUNNING = NEXT = ""  # one writer at a time: ids are in the order of commits
    LOG = """
INSERT INTO contacts_change
    (xid, tenant_id, contact_id, kind, fields, "into", actor, request_id, change_set, at)
SELECT 0, %(tenant)s, contact_id, kind, fields, "into",
    %(actor)s, %(request_id)s, %(change_set)s, coalesce(ended_at, %(at)s)
FROM (
    SELECT value AS contact_id, 'created' AS kind, '{}' AS fields, NULL AS "into", NULL AS ended_at
    FROM json_each(%(created)s)
    UNION ALL
    SELECT value ->> 0, value ->> 1, value -> 2, value ->> 3, value ->> 4
    FROM json_each(%(rows)s)
)
"""
    MAKE_TAGS = """
INSERT INTO contacts_tag (id, tenant_id, name, created_at)
SELECT value ->> 0, %(tenant)s, value ->> 1, %(now)s FROM json_each(%(tags)s) WHERE true
ON CONFLICT DO NOTHING
"""
    # CROSS JOIN keeps the order of the two: else SQLite may go through the pairs for each tag.
    LINK = """
INSERT INTO contacts_contacttag (tenant_id, contact_id, tag_id)
SELECT %(tenant)s, pair.value ->> 0, tag.id
FROM json_each(%(pairs)s) AS pair
CROSS JOIN contacts_tag AS tag ON tag.tenant_id = %(tenant)s AND tag.name = pair.value ->> 1
WHERE true
ON CONFLICT DO NOTHING
"""
    UNLINK = """
DELETE FROM contacts_contacttag
WHERE contact_id IN (SELECT value FROM json_each(%(had_links)s))
AND (contact_id, tag_id) NOT IN (
    SELECT pair.value ->> 0, tag.id
    FROM json_each(%(pairs)s) AS pair
    CROSS JOIN contacts_tag AS tag ON tag.tenant_id = %(tenant)s AND tag.name = pair.value ->> 1
)
"""

    @classmethod
    def of_tags(cls, tenant_id: str, names: Iterable[str]) -> dict[str, Any]:
        """The parameters that make the tags of these `names`, where they are unknown."""
        return {
            "tenant": key(tenant_id),
            "now": cls.moment(timezone.now()),
            "tags": json.dumps([(key(new_ulid()), name) for name in names]),
        }

    @classmethod
    def of_links(cls, tags: dict[str, str], had_links: list[str]) -> dict[str, Any]:
        """The parameters that link them: the `tags` of each contact, and which contacts
        `had_links`. Ids are hexadecimal digits."""
        pairs = [(carrier, name) for carrier, names in tags.items() for name in names.split(",")]
        return {"pairs": json.dumps(pairs), "had_links": cls.words(had_links)}

    @classmethod
    def link(cls, cursor: Any, values: dict[str, Any], tags: int) -> None:
        cursor.execute(cls.MAKE_TAGS, values)
        cursor.execute(cls.LINK, values)


class PostgreSQL:
    """Many writers at a time. Lists are passed as arrays, rows as JSON."""

    ID_DIGITS = "replace(id::text, '-', '')"
    METADATA_BYTES = "octet_length(metadata::text)"
    CONSENT = "json_build_array(opted_in_at, opted_out_at)::text"
    MERGED_METADATA = "contacts_contact.metadata || EXCLUDED.metadata"

    @staticmethod
    def words(items: Iterable[str]) -> str:
        """An array as PostgreSQL writes it: of ids, phones and the like, which need no quotes."""
        return f"{{{','.join(items)}}}"

    ROWS = "FROM json_populate_recordset(NULL::contacts_contact, %(rows)s::json) AS given"
    ROWS_TO_UPDATE = f"{ROWS} WHERE true"

    @staticmethod
    def unindexed(column: str) -> str:
        return column

    @staticmethod
    def given(name: str) -> str:
        return f"given.{name}"

    @staticmethod
    def array(names: Iterable[str]) -> str:
        return f"json_build_array({', '.join(names)})"

    @staticmethod
    def written(write: str) -> str:
        return f"written AS ({write})"

    @staticmethod
    def alone(ctes: str) -> str:
        return f"WITH {ctes} SELECT * FROM written"  # noqa: S608 - our own

    # The function is volatile: it reads what is committed when it is called, not when the statement
    # began. The statement may have waited for somebody who was deleting a contact with the same
    # phone, and must not miss the opt-out that was stored with that. So it is called after the
    # row is written.
    HAS_OPTED_OUT = "contacts_has_opted_out(%(tenant)s::uuid, %(digest)s::text)"

    @classmethod
    def whole(cls, insert: str) -> str:
        """With all that belongs to a new contact, or an error."""
        is_complete = f"{cls.ARE_LINKED} AND NOT {cls.HAS_OPTED_OUT}"
        done = f"SELECT 1 / ({is_complete})::int FROM written"  # noqa: S608 - our own
        return f"WITH written AS ({insert}), {cls.COMPLETING} {done}"

    @classmethod
    def upsert(
        cls, values: dict[str, str], conflict: str, told: tuple[str, ...], returned: tuple[str, ...]
    ) -> tuple[str, str]:
        """What rows were is read, and locked, before the first of them is written.

        A row that another writer has created in between is locked, and neither changed nor
        returned: its `was` is not known. `seen` is the number of rows that are: where it and the
        new ones are fewer than those given, the statement has to be run again for the rest,
        which it then sees. The first row may have nothing but `seen`.
        """
        was = cls.array(told)
        # An uncorrelated subquery is evaluated once, and this one needs all of `old`.
        after = f"CASE WHEN (SELECT count(*) FROM old) >= 0 THEN {values['phone']} END"  # noqa: S608
        # No look-up for each phone: while the planner takes the table for a small one, each of
        # them may go through all contacts of the tenant.
        write = f"""
old AS MATERIALIZED (
    SELECT phone, {was}::text AS was FROM contacts_contact
    WHERE tenant_id = %(tenant)s::uuid AND phone = ANY(%(phones)s::text[])
    ORDER BY phone FOR UPDATE
), stored AS (
    {inserting(values | {"phone": after})} {cls.ROWS}
    {conflict} AND contacts_contact.phone IN (SELECT phone FROM old)
    RETURNING *
), written AS (
    SELECT {", ".join(returned)}, was, CASE WHEN was IS NOT NULL THEN {was}::text END AS now, seen
    FROM (SELECT count(*) AS seen FROM old) AS counted
    LEFT JOIN (stored LEFT JOIN old USING (phone)) ON true
)"""  # noqa: S608 - our own
        return "", write

    @staticmethod
    def moment(value: datetime) -> str:
        return value.isoformat()

    @staticmethod
    def updated_after(stored: str, now: str) -> str:
        return f"GREATEST({now}, {stored} + interval '1 microsecond')"

    OPT_OUTS = """
SELECT digest, CAST(opted_out_at AS text) FROM contacts_optout
WHERE tenant_id = %(tenant)s::uuid AND digest = ANY(%(digests)s::text[])
"""
    OLDEST_RUNNING = "pg_snapshot_xmin(pg_current_snapshot())::text::bigint"
    NEXT = "pg_snapshot_xmax(pg_current_snapshot())::text::bigint"
    LOG_OF = """INSERT INTO contacts_change
    (xid, tenant_id, contact_id, kind, fields, "into", actor, request_id, change_set, at)
SELECT pg_current_xact_id()::text::bigint, %(tenant)s::uuid, contact_id, kind, fields, "into",
    %(actor)s, %(request_id)s, %(change_set)s::uuid, coalesce(ended_at, %(at)s::timestamptz)
FROM"""
    CREATED = """'created' AS kind, '{}'::jsonb AS fields, NULL::uuid AS "into",
    NULL::timestamptz AS ended_at"""
    LOG = f"""{LOG_OF} (
    SELECT unnest(%(created)s::uuid[]) AS contact_id, {CREATED}
    UNION ALL
    SELECT (entry ->> 0)::uuid, entry ->> 1, (entry -> 2)::jsonb, (entry ->> 3)::uuid,
        (entry ->> 4)::timestamptz
    FROM json_array_elements(%(rows)s::json) AS entry
) AS entries
"""  # noqa: S608 - our own

    # Of a `pair` of a contact and a tag's name each. FOR KEY SHARE, a foreign key's lock: nobody
    # renames or deletes the tags meanwhile. Sorted, so that the contacts of the same statement are
    # written before.
    LINKING = """known AS (
    SELECT id, name FROM contacts_tag
    WHERE tenant_id = %(tenant)s::uuid AND name = ANY(string_to_array(%(names)s, ','))
        AND name IN (SELECT name FROM pair)
    ORDER BY name FOR KEY SHARE OF contacts_tag
), made AS (
    INSERT INTO contacts_tag (id, tenant_id, name, created_at)
    SELECT id, %(tenant)s::uuid, name, %(now)s::timestamptz
    FROM unnest(%(ids)s::uuid[], string_to_array(%(names)s, ',')) AS given (id, name)
    WHERE name IN (SELECT name FROM pair) ORDER BY name
    ON CONFLICT DO NOTHING RETURNING id, name
), tags AS (
    SELECT id, name FROM known UNION ALL SELECT id, name FROM made
), linked AS (
    INSERT INTO contacts_contacttag (tenant_id, contact_id, tag_id)
    SELECT %(tenant)s::uuid, contact_id, tags.id FROM pair JOIN tags USING (name)
    ON CONFLICT DO NOTHING
)"""
    COMPLETING = f"""
pair AS (
    SELECT id AS contact_id, tag AS name FROM written, unnest(string_to_array(tags, ',')) AS tag
), {LINKING}, logged AS (
    {LOG_OF} (SELECT id AS contact_id, {CREATED} FROM written) AS created
)
"""  # noqa: S608 - our own
    ARE_LINKED = "(SELECT count(DISTINCT name) FROM pair) = (SELECT count(*) FROM tags)"

    PAIRS = """
SELECT contact_id, name
FROM unnest(%(carriers)s::uuid[], string_to_array(%(carried)s, ',,')) AS given (contact_id, names),
    unnest(string_to_array(names, ',')) AS name
"""
    LINK = f"WITH pair AS ({PAIRS}), {LINKING} SELECT count(*) FROM tags"  # noqa: S608 - our own
    UNLINK = f"""
DELETE FROM contacts_contacttag
WHERE contact_id = ANY(%(had_links)s::uuid[])
AND (contact_id, tag_id) NOT IN (
    SELECT contact_id, tag.id
    FROM ({PAIRS}) AS pair
    JOIN contacts_tag AS tag ON tag.tenant_id = %(tenant)s::uuid AND tag.name = pair.name
)
"""  # noqa: S608 - our own

    @classmethod
    def of_tags(cls, tenant_id: str, names: Iterable[str]) -> dict[str, Any]:
        """The parameters that make the tags of these `names`, where they are unknown."""
        names = [*names]
        return {
            "tenant": key(tenant_id),
            "now": timezone.now(),
            "ids": cls.words(key(new_ulid()) for _ in names),
            "names": ",".join(names),
        }

    @classmethod
    def of_links(cls, tags: dict[str, str], had_links: list[str]) -> dict[str, Any]:
        """The parameters that link them: the `tags` of each contact, and which contacts
        `had_links`. Ids are hexadecimal digits.

        Long lists are one text each, which psycopg need not go through: arrays of ids as
        PostgreSQL writes them; tags parted by two commas, because none is empty or has one.
        """
        return {
            "carriers": cls.words(tags),
            "carried": ",,".join(tags.values()),
            "had_links": cls.words(had_links),
        }

    @classmethod
    def link(cls, cursor: Any, values: dict[str, Any], tags: int) -> None:
        """Also locks the tags against being renamed or deleted until the transaction ends.

        A tag that somebody else creates or renames at this very moment escapes the statement
        once; the next finds it.
        """
        linked = 0
        while linked < tags:
            cursor.execute(cls.LINK, values)
            [linked] = cursor.fetchone()


class PostgreSQL18(PostgreSQL):
    """Which tells by itself what a row was before an upsert."""

    VERSION = 18_00_00

    @classmethod
    def upsert(
        cls, values: dict[str, str], conflict: str, told: tuple[str, ...], returned: tuple[str, ...]
    ) -> tuple[str, str]:
        was = cls.array(f"old.{name}" for name in told)
        now = cls.array(f"new.{name}" for name in told)
        shown = [
            *returned,
            f"CASE WHEN old.id IS NOT NULL THEN {was}::text END AS was",
            f"CASE WHEN old.id IS NOT NULL THEN {now}::text END AS now",
            "NULL AS seen",
        ]
        insert = f"{inserting(values)} {cls.ROWS} {conflict} RETURNING {', '.join(shown)}"
        return "", cls.written(insert)


DIALECTS: dict[str, type[SQLite] | type[PostgreSQL]] = {
    "sqlite": SQLite,
    "postgresql": PostgreSQL,
    "postgresql18": PostgreSQL18,
}
