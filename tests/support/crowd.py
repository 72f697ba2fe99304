"""Many contacts of a tenant within seconds, on both databases, in statements of whole sets."""

from functools import partial
from typing import Any

from contacts.db.dialects import DIALECTS
from tenants.fields import hex_id
from tenants.models import Tenant

# Each eighth carries `vip`, and each one of the fifty tags `t0` to `t49`. Ids are made of numbers.
# No statement reads a table: the planner may know of the table what was true long ago.
IDS = {
    "sqlite": "printf('%%s%%012x', %(prefix)s, NUMBER)",
    "postgresql": "(%(prefix)s || lpad(to_hex(NUMBER), 12, '0'))::uuid",
}
NUMBERS = {
    "sqlite": (
        "(WITH RECURSIVE counted (i) AS"
        " (SELECT 0 UNION ALL SELECT i + 1 FROM counted WHERE i + 1 < %(number)s)"
        " SELECT i, printf('+1415%%07d', i) AS phone FROM counted)"
    ),
    "postgresql": (
        "(SELECT i, '+1415' || lpad(i::text, 7, '0') AS phone"
        " FROM generate_series(0, %(number)s - 1) AS i)"
    ),
}
VIP = 50  # the number of the tag
TAGS = """
INSERT INTO contacts_tag (id, tenant_id, name, created_at)
SELECT {id}, {tenant}, CASE WHEN i = {vip} THEN 'vip' ELSE 't' || i END, {now} FROM {numbers} AS n
"""
CONTACTS = """
INSERT INTO contacts_contact (id, tenant_id, phone, name, email, tags, metadata, source, locale,
    total_messages, created_at, updated_at, name_folded, email_folded)
SELECT {id}, {tenant}, phone, 'Ann', 'ann' || i || '@example.com',
    CASE WHEN i %% 8 = 0 THEN 'vip,' ELSE '' END || 't' || (i %% 50), '{{}}', 'api', '', 0, {now},
    {now}, 'ann', 'ann' || i || '@example.com'
FROM {numbers} AS n
"""
LINKS = """
INSERT INTO contacts_contacttag (tenant_id, contact_id, tag_id)
SELECT {tenant}, {id}, {id_of_tag} FROM {numbers} AS n
UNION ALL SELECT {tenant}, {id}, {id_of_vip} FROM {numbers} AS n WHERE i %% 8 = 0
"""
CHANGES = """
INSERT INTO contacts_change (xid, tenant_id, contact_id, kind, fields, actor, request_id, at)
SELECT 0, {tenant}, {id}, 'created', '{{}}', 'crowd', '', {now} FROM {numbers} AS n
"""


def fill(connection: Any, tenant: Tenant, number: int) -> None:
    """Gives the tenant `number` contacts, with tags, links and the log of their creation."""
    dialect = DIALECTS[connection.vendor]
    is_sqlite = connection.vendor == "sqlite"
    id_of = partial(IDS[connection.vendor].replace, "NUMBER")
    names = {
        "tenant": "%(tenant)s" if is_sqlite else "%(tenant)s::uuid",
        "now": "%(now)s" if is_sqlite else "%(now)s::timestamptz",
        "numbers": NUMBERS[connection.vendor],
        "vip": VIP,
        "id": id_of("i"),
        "id_of_tag": id_of("i %% 50"),
        "id_of_vip": id_of(str(VIP)),
    }
    values = {
        "tenant": hex_id(tenant.pk),
        "now": dialect.moment(tenant.created_at),
        # Two ids of the same millisecond differ at their ends only.
        "prefix": hex_id(tenant.pk)[:12] + hex_id(tenant.pk)[-8:],
    }
    with connection.cursor() as cursor:
        for statement in (TAGS, CONTACTS, LINKS, CHANGES):
            rows = VIP + 1 if statement == TAGS else number
            cursor.execute(statement.format(**names), values | {"number": rows})
