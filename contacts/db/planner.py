"""Keeps the query planners of the databases from choosing slow plans.

Without statistics, SQLite assumes that a tenant has ten rows of each table. With statistics from an
early moment, SQLite assumes the few rows of that moment. In both cases a bulk action would read all
contacts of the tenant for each batch, or its whole list for each contact. Therefore SQLite gets
fixed statistics, as of a large tenant, so that plans depend neither on the stored rows nor on
the time of an ANALYZE. For a small tenant, a look-up in an index that was not necessary costs
almost nothing. Source: https://www.sqlite.org/lang_analyze.html, "Fixed results of ANALYZE".

On PostgreSQL, autovacuum keeps the statistics up to date.
"""

from typing import Any

from django.db import connection, connections
from django.db.models import BooleanField, Func

# Rows of each table, all tenants together.
ROWS = {
    "contacts_contact": 1_000_000,
    "contacts_contacttag": 4_000_000,
    "contacts_change": 10_000_000,
    "contacts_tag": 1_000,
    "contacts_nearkey": 1_000_000,
    "contacts_duplicate": 100_000,
}
# The number of different values in a column. A column that is not named here has a different value
# in each row.
DIFFERENT = {
    "tenant_id": 1, "xid": 1, "tag_id": 1_000, "contact_id": 1_000_000, "change_set": 100_000,
    "last_message_at": 1_000, "state": 1, "likelihood": 10,
}  # fmt: skip


class IsRare(Func):
    """Tells SQLite's planner that few rows meet a condition.

    SQLite assumes that every range contains a quarter of all rows. Without this hint it would read
    all phones of a country, and not only the next rows of a list.
    """

    template = "likelihood(%(expressions)s, 0.0001)"
    output_field = BooleanField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """Only the condition: PostgreSQL knows from its statistics how many rows meet it."""
        return self.as_sql(compiler, connection, **context | {"template": "%(expressions)s"})


def analyze() -> None:
    """Has PostgreSQL collect the statistics of contacts now, and not at some later time.

    An import can fill an empty table before autovacuum runs. Until then PostgreSQL plans for an
    empty table, in which every index seems equally good, and may choose a wrong index.
    """
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE contacts_contact")


def fix_statistics(using: str, **kwargs: Any) -> None:
    """Writes the fixed statistics on SQLite, if they are missing or different.

    A receiver of Django's signal `post_migrate`: a migration that creates a table again loses the
    statistics of the table.
    """
    connection: Any = connections[using]
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sqlite_schema")  # creates sqlite_stat1, analyzes no table
        wanted = {row for table, rows in ROWS.items() for row in statistics(cursor, table, rows)}
        tables = ", ".join(["%s"] * len(ROWS))
        cursor.execute(f"SELECT * FROM sqlite_stat1 WHERE tbl IN ({tables})", [*ROWS])  # noqa: S608
        if {*cursor.fetchall()} != wanted:
            cursor.execute(f"DELETE FROM sqlite_stat1 WHERE tbl IN ({tables})", [*ROWS])  # noqa: S608
            cursor.executemany("INSERT INTO sqlite_stat1 VALUES (%s, %s, %s)", sorted(wanted))
            cursor.execute("ANALYZE sqlite_schema")  # loads them into this connection


def statistics(cursor: Any, table: str, rows: int) -> list[tuple[str, str, str]]:
    """The rows of `sqlite_stat1` for the indexes of `table`: (table, index, numbers).

    `rows`: the number of rows in the table. The numbers are this number, then how many rows have
    the same value in the first column of the index, in the first two columns, and so on.
    """
    cursor.execute(
        "SELECT list.name, info.name FROM pragma_index_list(%s) AS list,"
        " pragma_index_info(list.name) AS info ORDER BY list.name, info.seqno",
        [table],
    )
    columns: dict[str, list[str | None]] = {}
    for index, column in cursor.fetchall():
        columns.setdefault(index, []).append(column)
    found = []
    for index, names in columns.items():
        different, numbers = 1, [rows]
        for name in names:
            different = min(rows, different * DIFFERENT.get(name or "", rows))
            numbers.append(rows // different)
        found.append((table, index, " ".join(map(str, numbers))))
    return found
