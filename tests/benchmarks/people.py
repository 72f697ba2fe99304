"""Many contacts of a tenant on PostgreSQL in minutes, for what is measured with many.

A fifth of them came in one file long ago, so that filters and the order of lists have nothing to
do with each other. Names are common, domains of e-mail addresses are rare.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

PEOPLE = """
INSERT INTO contacts_contact (id, tenant_id, phone, name, email, tags, metadata, source, locale,
    opted_in_at, opted_out_at, last_message_at, total_messages, created_at, updated_at,
    name_folded, email_folded)
SELECT
    (lpad(to_hex((extract(epoch FROM at) * 1000)::bigint), 12, '0')
        || substr(md5(%(tenant)s || i::text), 1, 20))::uuid,
    %(tenant)s::uuid,
    CASE WHEN i < %(number)s / 5 THEN '+49151' WHEN i %% 10 = 0 THEN '+1415' ELSE '+336' END
        || lpad((i::bigint * 48271 %% 100000000)::text, 8, '0'),
    name, email,
    array_to_string(array_remove(ARRAY[
        CASE WHEN i %% 2 = 0 THEN 'newsletter' END, CASE WHEN i %% 100 = 0 THEN 'vip' END,
        CASE WHEN i < %(number)s / 5 THEN 'old' END, CASE WHEN i %% 10000 = 1 THEN 'rare' END
    ], NULL), ','),
    jsonb_build_object('city', (ARRAY['Paris', 'Lyon', 'Lille', 'Nice'])[1 + i %% 4], 'order', i),
    CASE WHEN i < %(number)s / 5 THEN 'csv_import' WHEN i %% 7 = 0 THEN 'shopify' ELSE 'api' END,
    'fr', CASE WHEN i %% 3 = 0 THEN at END, CASE WHEN i %% 30 = 1 THEN at END,
    CASE WHEN i %% 2 = 0 THEN at + interval '1 day' END, i %% 5, at,
    at + (i %% 1000) * interval '1 minute', lower(name), email
FROM (
    SELECT i, at, name, CASE WHEN i %% 5 = 0 THEN '' ELSE
        lower(replace(name, ' ', '.')) || i || '@'
        || translate(substr(md5((i / 20)::text), 1, 8), '0123456789', 'ghijklmnop') || '.example'
        END AS email
    FROM (
        SELECT i, now() - (%(number)s - i) * interval '31 seconds' AS at,
            (ARRAY['Anna', 'Bernard', 'Chloe', 'David', 'Emma', 'Fabrice', 'Gael', 'Hugo'])
                [1 + (hashint4(i) & 7)] || ' '
            || (ARRAY['Martin', 'Durand', 'Petit', 'Leroy', 'Moreau', 'Simon', 'Roux'])
                [1 + (hashint4(-i) & 65535) %% 7] AS name
        FROM generate_series(%(first)s::int, %(number)s::int) AS i
    ) AS people
) AS contacts
"""
TAG = """
INSERT INTO contacts_tag (id, tenant_id, name, created_at)
SELECT gen_random_uuid(), %(tenant)s::uuid, name, now()
FROM unnest(ARRAY['newsletter', 'vip', 'old', 'rare', 'unused']) AS name
"""
LINK = """
INSERT INTO contacts_contacttag (tenant_id, tag_id, contact_id)
SELECT contact.tenant_id, tag.id, contact.id
FROM contacts_contact AS contact
CROSS JOIN LATERAL unnest(string_to_array(contact.tags, ',')) AS carried (name)
JOIN contacts_tag AS tag ON tag.tenant_id = contact.tenant_id AND tag.name = carried.name
WHERE contact.tenant_id = %(tenant)s::uuid
"""
INDEXES = """
SELECT indexrelid::regclass::text,
    CASE WHEN conname IS NULL THEN format('DROP INDEX %%s', indexrelid::regclass)
        ELSE format('ALTER TABLE %%s DROP CONSTRAINT %%I', indrelid::regclass, conname) END,
    CASE WHEN conname IS NULL THEN pg_get_indexdef(indexrelid)
        ELSE format('ALTER TABLE %%s ADD CONSTRAINT %%I %%s', indrelid::regclass, conname,
            pg_get_constraintdef(pg_constraint.oid)) END
FROM pg_index LEFT JOIN pg_constraint ON conindid = indexrelid
WHERE indrelid = ANY(%(tables)s::regclass[])
ORDER BY indexrelid
"""


def fill(cursor: Any, numbers: Mapping[str, int]) -> None:
    """Gives each tenant, by its id as hexadecimal digits, this number of contacts and some tags,
    of which half of them have the commonest. Not in a transaction.
    """
    with indexed_afterwards(cursor):
        for tenant, number in numbers.items():
            values = {"tenant": tenant, "first": 1, "number": number}
            for statement in (PEOPLE, TAG, LINK):
                cursor.execute(statement, values)
    cursor.execute("VACUUM ANALYZE")


@contextmanager
def indexed_afterwards(cursor: Any) -> Iterator[None]:
    """Takes the indexes of contacts and their links away, and builds them again, as migrations
    have defined them, when the block ends: much faster than row by row."""
    indexes = indexes_of(cursor, "contacts_contact", "contacts_contacttag")
    for index in indexes:
        cursor.execute(index.drop)
    yield
    cursor.execute("SET maintenance_work_mem = '1GB'")
    for index in indexes:
        cursor.execute(index.create)
    cursor.execute("RESET maintenance_work_mem")


class Index(NamedTuple):
    """The statements that `drop` and `create` it, or the constraint that it belongs to."""

    name: str
    drop: str
    create: str


def indexes_of(cursor: Any, *tables: str) -> list[Index]:
    cursor.execute(INDEXES, {"tables": [*tables]})
    return [Index(*row) for row in cursor.fetchall()]


def phone_of(number: int) -> str:
    """Of the contact with this number, unless it is of the first fifth, or a multiple of ten."""
    return f"+336{number * 48271 % 100_000_000:08}"
