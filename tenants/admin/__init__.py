"""The admin of tenants, users and tokens, and the base classes that limit staff to their tenant."""

from . import oauth, preferences, tenants, tokens, two_factor, users
from .conflicts import MINE, THEIRS, UNDECIDED, UNKNOWN
from .scoped import (
    SafeChangelistAdmin,
    TenantForm,
    TenantOwnedAdmin,
    TenantOwnedRetryAdmin,
    TenantScopedAdmin,
    label_for,
    save_changed,
    superusers_only,
    user_of,
)
from .selects import LongSelect

__all__ = [
    "MINE",
    "THEIRS",
    "UNDECIDED",
    "UNKNOWN",
    "LongSelect",
    "SafeChangelistAdmin",
    "TenantForm",
    "TenantOwnedAdmin",
    "TenantOwnedRetryAdmin",
    "TenantScopedAdmin",
    "label_for",
    "oauth",
    "preferences",
    "save_changed",
    "superusers_only",
    "tenants",
    "tokens",
    "two_factor",
    "user_of",
    "users",
]
