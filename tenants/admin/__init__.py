"""Tenants, users and tokens for the staff; and what keeps staff inside their tenant."""

from . import tenants, tokens, two_factor, users
from .conflicts import MINE, THEIRS, UNDECIDED, UNKNOWN
from .scoped import (
    SafeChangelistAdmin,
    TenantForm,
    TenantOwnedAdmin,
    TenantOwnedRetryAdmin,
    TenantScopedAdmin,
    named_for,
    save_changed,
    superusers_only,
    user_of,
)

__all__ = [
    "MINE",
    "THEIRS",
    "UNDECIDED",
    "UNKNOWN",
    "SafeChangelistAdmin",
    "TenantForm",
    "TenantOwnedAdmin",
    "TenantOwnedRetryAdmin",
    "TenantScopedAdmin",
    "named_for",
    "save_changed",
    "superusers_only",
    "tenants",
    "tokens",
    "two_factor",
    "user_of",
    "users",
]
