"""The key of every public record: a ULID, as the API writes it."""

import uuid
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.backends.base.base import BaseDatabaseWrapper
from ulid import ULID


def new_ulid() -> str:
    """A new id, greater than all that this process made before (github.com/ulid/spec)."""
    return str(ULID())


def parse_ulid(value: Any) -> str:
    """`value` as 26 upper-case characters of Crockford's base 32.

    Takes a ULID in either case, and the same 128 bits as a UUID (object or text, with or
    without dashes). Raises `ValueError` for anything else.
    """
    if isinstance(value, uuid.UUID):
        return str(ULID.from_uuid(value))
    if not isinstance(value, str):
        raise ValueError("Not a ULID.")  # noqa: TRY004 - one error for all that is not an id
    if len(value) == 26:
        return str(ULID.from_str(value))
    return str(ULID.from_uuid(uuid.UUID(value)))


class ULIDField(models.UUIDField):
    """A ULID in Python, the database's own 128-bit type (or hexadecimal on SQLite) below.

    Both order as the ULIDs do, that is by time of creation.
    """

    description = "ULID"

    # What type checkers see (django-stubs).
    _pyi_private_set_type: str
    _pyi_private_get_type: str  # type: ignore[assignment]
    default_error_messages = {"invalid": "“%(value)s” is not an id."}

    def to_python(self, value: Any) -> str | None:
        if value is None:
            return None
        try:
            return parse_ulid(value)
        except ValueError as error:
            raise ValidationError(
                self.error_messages["invalid"], code="invalid", params={"value": value}
            ) from error

    def from_db_value(self, value: uuid.UUID | None, *args: Any) -> str | None:
        return None if value is None else parse_ulid(value)

    def get_prep_value(self, value: Any) -> str | None:
        """Raises `ValueError` for what is no id, as other fields do in look-ups."""
        return None if value is None else parse_ulid(value)

    def get_db_prep_value(
        self, value: Any, connection: BaseDatabaseWrapper, prepared: bool = False
    ) -> Any:
        ulid = value if prepared else self.get_prep_value(value)
        bits = None if ulid is None else ULID.from_str(ulid).to_uuid()
        return super().get_db_prep_value(bits, connection, prepared=True)
