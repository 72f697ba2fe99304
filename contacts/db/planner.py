"""What the databases' query planners know of the tables.

SQLite without statistics assumes that a tenant has ten rows of each table, and with statistics that
were taken early it assumes that there are as few as then. Either way a bulk action would look
through all contacts of the tenant for each batch, or through its list for each contact. So SQLite
gets fixed statistics, those of a large tenant: plans depend neither on the moment at which
somebody ran ANALYZE, nor on what is stored. An index look-up costs a small tenant nothing.
https://www.sqlite.org/lang_analyze.html, "Fixed results of ANALYZE". On PostgreSQL, autovacuum
keeps statistics fresh.
"""

from typing import Any

from django.db import connection, connections
from django.db.models import BooleanField, Func

ROWS = {
    "contacts_contact": 1_000_000,
    "contacts_contacttag": 4_000_000,
    "contacts_change": 10_000_000,
    "contacts_tag": 1_000,
}
# How many different values a column has. All other columns of an index differ in each row.
DIFFERENT = {
    "tenant_id": 1, "xid": 1, "tag_id": 1_000, "contact_id": 1_000_000, "change_set": 100_000,
    "last_message_at": 1_000,
}  # fmt: skip


class IsRare(Func):
    """A condition that few rows meet. SQLite guesses that each range has a quarter of all rows, and
    would rather go through all phones of a country than through the next rows of a list."""

    template = "likelihood(%(expressions)s, 0.0001)"
    output_field = BooleanField()

    def as_postgresql(self, compiler: Any, connection: Any, **context: Any) -> Any:
        """It knows from its statistics."""
        return self.as_sql(compiler, connection, **context | {"template": "%(expressions)s"})


def analyze() -> None:
    """Tells PostgreSQL's planner of the contacts that there are: for a table that it knows to be
    empty any index is as good as the right one, and many writers may be filling it."""
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE contacts_contact")


def fix_statistics(using: str, **kwargs: Any) -> None:
    """After `migrate`, which loses the statistics of the tables that it makes anew."""
    connection: Any = connections[using]
    if connection.vendor != "sqlite":
        return
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE sqlite_schema")  # makes their table, and analyzes no other
        wanted = {row for table, rows in ROWS.items() for row in statistics(cursor, table, rows)}
        tables = ", ".join(["%s"] * len(ROWS))
        cursor.execute(f"SELECT * FROM sqlite_stat1 WHERE tbl IN ({tables})", [*ROWS])  # noqa: S608
        if {*cursor.fetchall()} != wanted:
            cursor.execute(f"DELETE FROM sqlite_stat1 WHERE tbl IN ({tables})", [*ROWS])  # noqa: S608
            cursor.executemany("INSERT INTO sqlite_stat1 VALUES (%s, %s, %s)", sorted(wanted))
            cursor.execute("ANALYZE sqlite_schema")  # has this connection read them


def statistics(cursor: Any, table: str, rows: int) -> list[tuple[str, str, str]]:
    """The rows of `sqlite_stat1` about the indexes of `table`: how many rows it has, then how many
    of them have the same values in the first column, in the first two, and so on."""
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
