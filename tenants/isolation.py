"""Whose rows PostgreSQL shows: row-level security, under the filter that each query has anyway.

Every table with a tenant has a policy that compares it with the setting `qyvo.tenant` of the
transaction; where nothing was told, there are no rows. It holds for a role that neither owns the
tables nor bypasses it (see `manage.py check_isolation`). SQLite has none.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, NamedTuple

import psycopg
from django.apps.registry import Apps
from django.db import connection, migrations
from psycopg import generators
from psycopg.pq import ExecStatus, TransactionStatus

from .fields import bits_of

SETTING = "qyvo.tenant"
NOBODY, EVERYBODY = "", "all"
POLICY = "tenant_isolation"

# Where nothing was told the setting is NULL, or empty after a transaction that was: no rows.
RULE = f"""
CASE current_setting('{SETTING}', true)
    WHEN '{EVERYBODY}' THEN true
    WHEN '{NOBODY}' THEN false
    ELSE tenant_id = current_setting('{SETTING}', true)::uuid
END"""


# Whose rows this code may see

_outside_requests = NOBODY
_seen: ContextVar[str | None] = ContextVar("whose rows are seen", default=None)


def whose() -> str:
    """The tenant, in hexadecimal digits; or `NOBODY`, or `EVERYBODY`."""
    seen = _seen.get()
    return _outside_requests if seen is None else seen


def see_everybody_outside_requests() -> None:
    """For a process of the operator, such as a command or a worker; in all of its threads."""
    global _outside_requests
    _outside_requests = EVERYBODY


def see(tenant_id: str | None) -> None:
    """Has the rest of the request see the rows of this tenant only; of nobody, where it is None."""
    _seen.set(digits(tenant_id))


def see_as(user: Any) -> None:
    """Has the rest of the request see what its `user` may: all tenants, or the own one."""
    if user.is_superuser:
        _seen.set(EVERYBODY)
    else:
        see(user.tenant_id)


@contextmanager
def seeing(tenant_id: str | None) -> Iterator[None]:
    """`see`, for the block."""
    token = _seen.set(digits(tenant_id))
    try:
        yield
    finally:
        _seen.reset(token)


@contextmanager
def seeing_everybody() -> Iterator[None]:
    """For what is counted over all tenants, such as metrics."""
    token = _seen.set(EVERYBODY)
    try:
        yield
    finally:
        _seen.reset(token)


def digits(tenant_id: str | None) -> str:
    return f"{bits_of(tenant_id):032x}" if tenant_id else NOBODY


def begin_request(**kwargs: Any) -> None:
    """It sees nothing until it is known who asks; also in a process of the operator."""
    _seen.set(NOBODY)


def end_request(**kwargs: Any) -> None:
    """After the last byte: some answers are read while they are sent."""
    _seen.set(None)


# How PostgreSQL is told

OF_ROWS = re.compile(r"\W*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)


# Of a table that every installation has; before there is one, only its owner-to-be connects.
IS_HELD = """
SELECT NOT (rolsuper OR rolbypassrls) AND NOT (
    SELECT pg_has_role(relowner, 'USAGE') AND NOT relforcerowsecurity
    FROM pg_class WHERE oid = to_regclass('contacts_contact')
)
FROM pg_roles WHERE rolname = current_user
"""


def tell_connection(connection: Any, **kwargs: Any) -> None:
    """Has each statement of a new connection to PostgreSQL tell whose rows it may see, where its
    role is held to that: the others would spend a tenth of a create-contact on it in vain."""
    if connection.vendor == "postgresql":
        with connection.wrap_database_errors:
            row = connection.connection.execute(IS_HELD).fetchone()
        always_tell(connection, is_held=bool(row and row[0]))


def always_tell(connection: Any, *, is_held: bool = True) -> None:
    """Sends settings with each transaction of `connection`: the tenant, where row-level security
    holds for its role (`is_held`), and `lock_timeout`, where the connection has one."""
    connection.is_held = is_held
    connection.shows = None
    wrappers = connection.execute_wrappers
    is_needed = is_held or lock_timeout(connection)
    if is_needed and telling not in wrappers:
        wrappers.append(telling)
    elif not is_needed and telling in wrappers:
        wrappers.remove(telling)  # it was opened by another role


def lock_timeout(connection: Any) -> str:
    """How long a statement of `connection` may wait for a lock, as PostgreSQL writes it, such as
    `1s`; empty where the server's own setting holds. Connections of requests have a limit, those
    of commands and workers have none."""
    return getattr(connection, "lock_timeout", "")


def telling(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Runs a statement, and sends the settings of its transaction: once a transaction, on the way
    to its BEGIN or to the statement, so that it costs no round trip. Nothing outlives the
    transaction, as poolers want it."""
    connection = context["connection"]
    seen = whose() if connection.is_held else NOBODY
    is_of_rows = isinstance(sql, str) and OF_ROWS.match(sql)
    if connection.get_autocommit():
        if is_of_rows:
            return tell_and_execute(seen, execute, sql, params, many, context)
        return execute(sql, params, many, context)
    raw = connection.connection
    if raw.pgconn.transaction_status == TransactionStatus.IDLE:
        begin(connection, seen)
    elif connection.is_held and is_of_rows and connection.shows != seen:
        send_settings(connection, seen)
    if isinstance(sql, str) and sql.startswith("ROLLBACK TO"):
        connection.shows = None  # what was told since the savepoint is forgotten
    return execute(sql, params, many, context)


def settings_sql(connection: Any, seen: str) -> str:
    """Statements that set, until the transaction ends, which rows `connection` sees and how long
    it waits for a lock."""
    settings = {SETTING: seen} if connection.is_held else {}
    if limit := lock_timeout(connection):
        settings["lock_timeout"] = limit
    return "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in settings.items())


def begin(connection: Any, seen: str) -> None:
    """Sends the settings with the BEGIN that psycopg would else send before the first statement."""
    connection.shows = NOBODY
    raw = connection.connection
    if raw.isolation_level is not None:  # which psycopg's own BEGIN has to name
        send_settings(connection, seen)
        return
    with connection.wrap_database_errors, raw.lock:
        raw.pgconn.send_query(f"BEGIN; {settings_sql(connection, seen)}".encode())
        *_, result = raw.wait(generators.execute(raw.pgconn))  # as long as other statements may
        if result.status != ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)
    connection.shows = seen


def send_settings(connection: Any, seen: str) -> None:
    with connection.wrap_database_errors:
        raw, sql = connection.connection, settings_sql(connection, seen)
        raw.execute(sql.encode())
    connection.shows = seen


def tell_and_execute(
    seen: str,
    execute: Callable[..., Any],
    sql: str,
    params: Any,
    many: bool,
    context: dict[str, Any],
) -> Any:
    """Runs a statement that is a transaction by itself, with its settings in front."""
    cursor, connection = context["cursor"], context["connection"]
    is_text = isinstance(cursor.cursor, psycopg.ClientCursor) and not many
    if is_text and (seen or lock_timeout(connection)):
        result = execute(f"{settings_sql(connection, seen)}; {sql}", params, many, context)
        while cursor.nextset():
            pass  # to the results of the last statement
        return result
    if not seen or is_text:
        return execute(sql, params, many, context)
    # A prepared statement cannot be two. Where it may wait for a lock it sets `lock_timeout`
    # itself: see `contacts.db.statements.insert_sql`.
    with connection.wrap_database_errors, connection.connection.pipeline():
        connection.connection.execute("SELECT set_config(%s, %s, true)", [SETTING, seen])
        return execute(sql, params, many, context)


# The policies


def protect(*models: str) -> migrations.RunPython:
    """The operation that gives the tables of these models, such as `contacts.Tag`, their policy."""
    return migrations.RunPython(partial(add_policies, models), partial(drop_policies, models))


def add_policies(models: Iterable[str], apps: Apps, schema_editor: Any) -> None:
    for table in tables(models, apps, schema_editor):
        schema_editor.execute(f"CREATE POLICY {POLICY} ON {table} USING ({RULE})", params=None)
        schema_editor.execute(f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY")


def drop_policies(models: Iterable[str], apps: Apps, schema_editor: Any) -> None:
    for table in tables(models, apps, schema_editor):
        schema_editor.execute(f"ALTER TABLE {table} DISABLE ROW LEVEL SECURITY")
        schema_editor.execute(f"DROP POLICY {POLICY} ON {table}")


def tables(models: Iterable[str], apps: Apps, schema_editor: Any) -> list[str]:
    if schema_editor.connection.vendor != "postgresql":
        return []
    return [schema_editor.quote_name(apps.get_model(name)._meta.db_table) for name in models]


# Whether they hold

# Who somebody is has to be found before it is known whose rows may be seen.
UNPROTECTED = ["tenants_user"]

TABLES = f"""
SELECT relname, relrowsecurity, row_security_active(pg_class.oid), EXISTS (
    SELECT FROM pg_policy WHERE polrelid = pg_class.oid AND polname = '{POLICY}'
        AND polpermissive AND polcmd = '*' AND polroles = '{{0}}' AND polwithcheck IS NULL
), ARRAY (
    SELECT polname FROM pg_policy WHERE polrelid = pg_class.oid
        AND polname <> '{POLICY}' AND polpermissive ORDER BY polname
)
FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid
WHERE attname = 'tenant_id' AND NOT attisdropped AND relkind IN ('r', 'p')
    AND pg_table_is_visible(pg_class.oid) AND NOT relname = ANY(%s)
ORDER BY relname
"""  # noqa: S608 - our own
ROLE = "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"


class Table(NamedTuple):
    """A table with a tenant. `is_active`: its policies hold for the role that asks. `others`: those
    that show rows beside ours."""

    name: str
    is_enabled: bool
    is_active: bool
    has_policy: bool
    others: list[str]

    @property
    def problem(self) -> str:
        if not self.is_enabled:
            return "has no row-level security"
        if not self.has_policy:
            return f"has no policy {POLICY}, or another one by that name"
        if self.others:
            return f"shows more rows by other policies: {', '.join(self.others)}"
        if self.is_active and self.shows_anything:
            return "shows rows before it is told whose"
        return ""

    @property
    def shows_anything(self) -> bool:
        with seeing(None), connection.cursor() as cursor:
            name = connection.ops.quote_name(self.name)
            cursor.execute(f"SELECT EXISTS (SELECT FROM {name})")  # noqa: S608 - of the catalogue
            return cursor.fetchone()[0]


def problems() -> list[str]:
    """Why the database would show a tenant's rows to another, if it were asked to: sentences."""
    if connection.vendor != "postgresql":
        return [f"{connection.display_name} has no row-level security."]
    with connection.cursor() as cursor:
        cursor.execute(TABLES, [UNPROTECTED])
        found = [Table(*row) for row in cursor.fetchall()]
    told = [f"{table.name} {problem}." for table in found if (problem := table.problem)]
    bypass = bypass_of_role(found)
    return [*told, bypass] if bypass else told


def bypass_of_role(found: list[Table]) -> str:
    """Why row-level security does not hold for whoever is connected; empty, where it does."""
    with connection.cursor() as cursor:
        cursor.execute(ROLE)
        role, is_superuser, may_bypass = cursor.fetchone()
    if is_superuser:
        return f"The role {role} bypasses row-level security: it is a superuser."
    if may_bypass:
        return f"The role {role} bypasses row-level security: it has BYPASSRLS."
    if owned := [table.name for table in found if table.is_enabled and not table.is_active]:
        return f"The role {role} bypasses row-level security: it owns {', '.join(owned)}."
    return ""
