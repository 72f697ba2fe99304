"""Which tenant is current: in a request, a command or a worker.

The context belongs to the running code (a `ContextVar`), not to a database connection. `connection`
sends it with each transaction.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from ..fields import hex_id

NO_TENANT, ALL_TENANTS = "", "all"  # no tenant: no rows; all tenants: no restriction

_outside_requests = NO_TENANT
_tenant: ContextVar[str | None] = ContextVar("current tenant", default=None)


def current_tenant() -> str:
    """The current tenant as 32 hexadecimal digits, or `NO_TENANT`, or `ALL_TENANTS`; several
    tenants are separated by commas."""
    tenant = _tenant.get()
    return _outside_requests if tenant is None else tenant


def allow_all_tenants_outside_requests() -> None:
    """Gives this process access to all tenants outside requests, in all of its threads. For
    processes that the operator starts: commands and workers."""
    global _outside_requests
    _outside_requests = ALL_TENANTS


def set_tenant(tenant_id: str | None) -> None:
    """Sets the tenant (a ULID) for the rest of the request. With None, queries return no rows."""
    _tenant.set(_encoded(tenant_id))


def set_tenant_for(user: Any) -> None:
    """Sets the context for the rest of the request: all tenants for a superuser, otherwise the
    tenant of `user`."""
    if user.is_superuser:
        _tenant.set(ALL_TENANTS)
    else:
        set_tenant(user.tenant_id)


@contextmanager
def tenant_context(tenant_id: str | None) -> Iterator[None]:
    """Sets the tenant (a ULID) inside the block. With None, queries return no rows."""
    token = _tenant.set(_encoded(tenant_id))
    try:
        yield
    finally:
        _tenant.reset(token)


@contextmanager
def tenants_context(tenant_ids: Iterable[str]) -> Iterator[None]:
    """Gives access to these tenants (ULIDs) inside the block: for a statement that does the work of
    several requests, each of which has access to one of them."""
    token = _tenant.set(",".join(map(hex_id, tenant_ids)))
    try:
        yield
    finally:
        _tenant.reset(token)


@contextmanager
def all_tenants_context() -> Iterator[None]:
    """Gives access to all tenants inside the block. For numbers over all tenants: metrics."""
    token = _tenant.set(ALL_TENANTS)
    try:
        yield
    finally:
        _tenant.reset(token)


def _encoded(tenant_id: str | None) -> str:
    return hex_id(tenant_id) if tenant_id else NO_TENANT


def begin_request(**kwargs: Any) -> None:
    """Receiver of `request_started`. Before authentication, queries return no rows; also in a
    process with access to all tenants."""
    _tenant.set(NO_TENANT)


def end_request(**kwargs: Any) -> None:
    """Receiver of `request_finished`, which Django sends after the last byte of the response:
    streamed responses still query the database while they are sent."""
    _tenant.set(None)
