"""How PostgreSQL receives the current tenant: as the setting `qyvo.tenant` of each transaction.

The settings last until the transaction ends, so they also work behind a pooler that gives each
transaction another connection. They travel with the transaction's BEGIN or with the statement
itself: no additional round trip. A statement that contains `SETS_TENANT` sets them itself.
"""

import re
from collections.abc import Callable
from typing import Any

import psycopg
from psycopg import generators
from psycopg.pq import ExecStatus, TransactionStatus

from .context import NO_TENANT, current_tenant
from .sharding import adapt, is_sharded

SETTING = "qyvo.tenant"
# True, as a condition of the part of a statement that is executed first; for prepared statements.
# In a subquery, because PostgreSQL evaluates it once, and before that part reads its first row. If
# it did so later, the policies would show no rows.
SETS_TENANT = f"(SELECT set_config('{SETTING}', %(current_tenant)s, true)) IS NOT NULL"

# Statements that read or write rows. Others, such as VACUUM, must run alone.
ROW_STATEMENT = re.compile(r"\W*(SELECT|INSERT|UPDATE|DELETE|WITH)\b", re.IGNORECASE)

# Whether row-level security applies to the connected role. One table stands for all; before the
# first migration there is no table, and only the future owner connects. And whether the database is
# one of a Citus cluster.
WHERE_AM_I = """
SELECT NOT (rolsuper OR rolbypassrls) AND NOT (
    SELECT pg_has_role(relowner, 'USAGE') AND NOT relforcerowsecurity
    FROM pg_class WHERE oid = to_regclass('contacts_contact')
), EXISTS (SELECT FROM pg_extension WHERE extname = 'citus')
FROM pg_roles WHERE rolname = current_user
"""


def configure_connection(connection: Any, **kwargs: Any) -> None:
    """Receiver of `connection_created`. Installs the wrapper only if row-level security applies to
    the connected role: for other roles the setting has no effect, and sending it would take a tenth
    of the time of create-contact."""
    if connection.vendor == "postgresql":
        raw = connection.connection
        with connection.wrap_database_errors:
            is_restricted, raw.is_sharded = raw.execute(WHERE_AM_I).fetchone() or (False, False)
        install_wrapper(connection, is_restricted=bool(is_restricted))


def install_wrapper(connection: Any, *, is_restricted: bool = True) -> None:
    """Makes `connection` (Django's) send settings with each transaction: the tenant, if row-level
    security applies to its role (`is_restricted`), and `lock_timeout`, if the connection has one.
    Removes the wrapper again if the connection was reopened by a role that needs neither."""
    connection.is_restricted = is_restricted
    connection.sent_tenant = None
    adapt(connection)
    wrappers = connection.execute_wrappers
    is_needed = is_restricted or lock_timeout(connection)
    if is_needed and rls_wrapper not in wrappers:
        wrappers.append(rls_wrapper)
    elif not is_needed and rls_wrapper in wrappers:
        wrappers.remove(rls_wrapper)


def lock_timeout(connection: Any) -> str:
    """How long a statement of `connection` may wait for a lock, as PostgreSQL writes it, such as
    `1s`; empty if the server's own setting applies. Connections of requests have a limit, those of
    commands and workers have none."""
    return getattr(connection, "lock_timeout", "")


def rls_wrapper(
    execute: Callable[..., Any], sql: Any, params: Any, many: bool, context: dict[str, Any]
) -> Any:
    """Django's execute wrapper: runs a statement, and before it sends the settings if this
    transaction does not have them yet."""
    connection = context["connection"]
    tenant = current_tenant() if connection.is_restricted else NO_TENANT
    is_row_statement = isinstance(sql, str) and ROW_STATEMENT.match(sql)
    if connection.get_autocommit():
        if is_row_statement:
            return execute_with_settings(tenant, execute, sql, params, many, context)
        return execute(sql, params, many, context)
    raw = connection.connection
    if raw.pgconn.transaction_status == TransactionStatus.IDLE:
        begin_with_settings(connection, tenant)
    elif connection.is_restricted and is_row_statement and connection.sent_tenant != tenant:
        send_settings(connection, tenant)
    if isinstance(sql, str) and sql.startswith("ROLLBACK TO"):
        connection.sent_tenant = None  # PostgreSQL undoes a SET LOCAL that came after the savepoint
    return execute(sql, params, many, context)


def settings_sql(connection: Any, tenant: str) -> str:
    """`SET LOCAL` statements for the tenant and the lock timeout; empty if neither is needed."""
    settings = {SETTING: tenant} if connection.is_restricted else {}
    if limit := lock_timeout(connection):
        settings["lock_timeout"] = limit
    return "; ".join(f"SET LOCAL {name} = '{value}'" for name, value in settings.items())


def begin_with_settings(connection: Any, tenant: str) -> None:
    """Sends BEGIN and the settings in one message, instead of the BEGIN that psycopg would send
    before the first statement. Raises Django's database errors."""
    connection.sent_tenant = NO_TENANT
    raw = connection.connection
    # Only psycopg's own BEGIN names the isolation level, and psycopg sends none in autocommit mode.
    if raw.isolation_level is not None and not raw.autocommit:
        send_settings(connection, tenant)
        return
    with connection.wrap_database_errors, raw.lock:
        raw.pgconn.send_query(f"BEGIN; {settings_sql(connection, tenant)}".encode())
        # `raw.wait` has the same time limit as every other statement of a request.
        *_, result = raw.wait(generators.execute(raw.pgconn))
        if result.status != ExecStatus.COMMAND_OK:
            raise psycopg.errors.error_from_result(result)
    connection.sent_tenant = tenant


def send_settings(connection: Any, tenant: str) -> None:
    with connection.wrap_database_errors:
        raw, sql = connection.connection, settings_sql(connection, tenant)
        raw.execute(sql.encode())
    connection.sent_tenant = tenant


def execute_with_settings(
    tenant: str,
    execute: Callable[..., Any],
    sql: str,
    params: Any,
    many: bool,
    context: dict[str, Any],
) -> Any:
    """Runs a statement in autocommit mode, with the settings in the same implicit transaction."""
    cursor, connection = context["cursor"], context["connection"]
    is_text = isinstance(cursor.cursor, psycopg.ClientCursor) and not many
    if is_sharded(connection) and (tenant or lock_timeout(connection)):
        return execute_in_block(tenant, execute, sql, params, many, context)
    if is_text and (tenant or lock_timeout(connection)):
        result = execute(f"{settings_sql(connection, tenant)}; {sql}", params, many, context)
        while cursor.nextset():
            pass  # skip the results of SET LOCAL: the caller reads those of its own statement
        return result
    if not tenant or is_text or SETS_TENANT in sql:
        return execute(sql, params, many, context)
    # A prepared statement is one statement only, so the setting goes before it in a pipeline: one
    # trip and one transaction. Only for statements that read, because psycopg loses the error of a
    # deferred foreign key, and they wait for no lock.
    with connection.wrap_database_errors, connection.connection.pipeline():
        connection.connection.execute(f"SELECT set_config('{SETTING}', %s, true)", [tenant])
        return execute(sql, params, many, context)


def execute_in_block(
    tenant: str,
    execute: Callable[..., Any],
    sql: str,
    params: Any,
    many: bool,
    context: dict[str, Any],
) -> Any:
    """`execute_with_settings` on a Citus cluster, which sends a SET LOCAL to its workers only
    inside BEGIN and COMMIT, and sends all statements of its message with it."""
    connection = context["connection"]
    begin_with_settings(connection, tenant)
    try:
        result = execute(sql, params, many, context)
    except BaseException:
        connection.connection.rollback()
        raise
    with connection.wrap_database_errors:
        connection.connection.commit()
    return result
