"""Whether the policies are in place and apply to the role that is connected."""

from typing import NamedTuple

from django.db import connection

from .context import tenant_context
from .policies import POLICY

# Has no policy: authentication reads a user before the tenant is known.
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
"""  # noqa: S608 - built from our own constants
ROLE = "SELECT rolname, rolsuper, rolbypassrls FROM pg_roles WHERE rolname = current_user"


class Table(NamedTuple):
    """A table with a tenant.

    `is_enabled`: the table has row-level security. `is_active`: it applies to the connected role.
    `has_policy`: our policy exists, with the right properties. `others`: the names of other
    permissive policies, which show additional rows.
    """

    name: str
    is_enabled: bool
    is_active: bool
    has_policy: bool
    others: list[str]

    @property
    def problem(self) -> str:
        """Why this table does not keep tenants apart; empty if it does."""
        if not self.is_enabled:
            return "has no row-level security"
        if not self.has_policy:
            return f"has no policy {POLICY}, or another policy has this name"
        if self.others:
            return f"shows additional rows because of other policies: {', '.join(self.others)}"
        if self.is_active and self.shows_rows_without_tenant:
            return "shows rows although no tenant is set"
        return ""

    @property
    def shows_rows_without_tenant(self) -> bool:
        with tenant_context(None), connection.cursor() as cursor:
            name = connection.ops.quote_name(self.name)
            cursor.execute(f"SELECT 1 FROM {name} LIMIT 1")  # noqa: S608 - from pg_class
            return cursor.fetchone() is not None


def problems() -> list[str]:
    """Sentences that say why the database would show one tenant's rows to another tenant; empty if
    it would not."""
    if connection.vendor != "postgresql":
        return [f"{connection.display_name} has no row-level security."]
    with connection.cursor() as cursor:
        cursor.execute(TABLES, [UNPROTECTED])
        found = [Table(*row) for row in cursor.fetchall()]
    sentences = [f"{table.name} {problem}." for table in found if (problem := table.problem)]
    bypass = bypass_of_role(found)
    return [*sentences, bypass] if bypass else sentences


def bypass_of_role(found: list[Table]) -> str:
    """Why row-level security does not apply to the connected role; empty if it does."""
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
