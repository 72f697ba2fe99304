"""A field of a contact is declared once; everything that handles fields reads the declaration."""

from collections import Counter
from typing import Any

import pytest
from django.db import models

from contacts import schema
from contacts.api.examples import DETAIL
from contacts.db.fields import FoldedField, TagNamesField
from contacts.importing.columns import ALIASES, squeezed
from contacts.models import Contact
from contacts.schema import FIELDS, Kind, Shape

COLUMN_OF_KIND = {
    Kind.TEXT: models.CharField,
    Kind.NUMBER: models.IntegerField,
    Kind.MOMENT: models.DateTimeField,
    Kind.TAGS: TagNamesField,
    Kind.METADATA: models.JSONField,
}


def test_every_column_of_a_contact_is_declared_or_technical() -> None:
    declared = [field.name for field in FIELDS]
    folded = [f"{field.name}_folded" for field in FIELDS if field.fold]
    columns = [column.name for column in Contact._meta.concrete_fields]
    assert sorted(columns) == sorted([*declared, *folded, *schema.TECHNICAL])


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_a_column_is_what_its_declaration_says(field: schema.Field) -> None:
    column: Any = Contact._meta.get_field(field.name)
    kind: Any = COLUMN_OF_KIND[field.kind]
    assert isinstance(column, kind)
    if field.max_length:
        assert column.max_length == field.max_length
    if not field.is_required:
        stored = column.value_from_object(Contact())
        assert (",".join(stored) if field.kind is Kind.TAGS else stored) == field.empty
    if field.fold:
        folded = Contact._meta.get_field(f"{field.name}_folded")
        assert isinstance(folded, FoldedField)
        assert folded.of == field.name


@pytest.mark.parametrize("field", FIELDS, ids=lambda field: field.name)
def test_what_callers_send_has_a_rule(field: schema.Field) -> None:
    is_sent = field.shapes & Shape.BODIES or field.is_edited or field.aliases is not None
    assert bool(is_sent) == bool(field.rule)
    if field.is_exported:
        assert field.name in ALIASES, "an import takes an export back"


def test_each_name_of_a_column_means_one_field() -> None:
    names = [name for aliases in ALIASES.values() for name in aliases]
    assert [name for name, number in Counter(names).items() if number > 1] == []
    assert [name for name in names if squeezed(name) != name] == [], "they would never match"


def test_the_example_of_a_contact_has_every_field_that_is_answered() -> None:
    answered = [field.name for field in FIELDS if Shape.DETAIL in field.shapes]
    assert sorted(DETAIL) == sorted(["id", *answered])


def test_fields_come_in_the_order_asked_for() -> None:
    names = [field.name for field in FIELDS]
    assert [field.name for field in schema.fields()] == names
    assert [field.name for field in schema.fields("tags", "phone")] == [
        "tags", "phone", *(name for name in names if name not in ("tags", "phone")),
    ]  # fmt: skip
    with pytest.raises(KeyError):
        schema.fields("nothing")


# One more field
