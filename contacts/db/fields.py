"""Fields of models that Django does not have."""

from collections.abc import Sequence
from typing import Any

from django.db import models

from contacts import schema


class TagNamesField(models.TextField):
    """A list of tag names in Python, one comma-separated text in the database.

    No tag contains a comma (`rules.tag`), so the conversion loses nothing in either direction. The
    tags are a value of the row: one statement reads, compares and writes the contact and its tags,
    without a join, and no other writer can come between the contact and the tags.
    """

    description = "Tag names"

    # The types that django-stubs shows to type checkers.
    _pyi_private_set_type: list[str]  # type: ignore[assignment]
    _pyi_private_get_type: list[str]  # type: ignore[assignment]

    def to_python(self, value: Sequence[str] | str | None) -> list[str]:
        if isinstance(value, str):
            return value.split(",") if value else []
        return list(value or ())

    def from_db_value(self, value: str | None, *args: Any) -> list[str]:
        return self.to_python(value)

    def get_prep_value(self, value: Any) -> str:
        return value if isinstance(value, str) else ",".join(value or ())

    def value_to_string(self, obj: models.Model) -> str:
        return self.get_prep_value(self.value_from_object(obj))


class FoldedField(models.TextField):
    """A copy of the field `of`, folded as `schema.FOLDS` says, for searches.

    The folded text has its own column, because each database folds by its own rules and its locale.
    """

    def __init__(self, of: str, **options: Any) -> None:
        self.of = of
        super().__init__(**options | {"editable": False, "default": ""})

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        del options["editable"], options["default"]
        return name, path, args, options | {"of": self.of}

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        text = schema.FOLDS[self.of](getattr(model_instance, self.of))
        setattr(model_instance, self.attname, text)
        return text
