"""Row-level security: PostgreSQL itself returns only the rows of the current tenant.

Every query filters by tenant as well. Row-level security is the second barrier: a query that
forgets its filter still returns no row of another tenant. Each table with a tenant has a policy
that looks for `tenant_id` in the setting `qyvo.tenant` of the transaction. The setting has the id
of one tenant, or the ids of several tenants if one statement writes contacts of all of them. If the
setting is missing or empty, queries return no rows.

Policies apply only to a role that neither owns the tables nor bypasses row-level security;
`manage.py check_isolation` finds out. SQLite has no row-level security.

- `context`: which tenant is current, in a request, a command or a worker
- `connection`: how PostgreSQL receives the current tenant
- `policies`: the operations for migrations
- `sharding`: what differs on a Citus cluster
- `audit`: whether the policies are in place and apply
"""

from .audit import problems
from .connection import (
    ROW_STATEMENT,
    SETS_TENANT,
    configure_connection,
    install_wrapper,
    lock_timeout,
    rls_wrapper,
)
from .context import (
    ALL_TENANTS,
    NO_TENANT,
    all_tenants_context,
    allow_all_tenants_outside_requests,
    begin_request,
    current_tenant,
    end_request,
    set_tenant,
    set_tenant_for,
    tenant_context,
    tenants_context,
)
from .policies import protect, renew
from .sharding import is_sharded

__all__ = [
    "ALL_TENANTS",
    "NO_TENANT",
    "ROW_STATEMENT",
    "SETS_TENANT",
    "all_tenants_context",
    "allow_all_tenants_outside_requests",
    "begin_request",
    "configure_connection",
    "current_tenant",
    "end_request",
    "install_wrapper",
    "is_sharded",
    "lock_timeout",
    "problems",
    "protect",
    "renew",
    "rls_wrapper",
    "set_tenant",
    "set_tenant_for",
    "tenant_context",
    "tenants_context",
]
