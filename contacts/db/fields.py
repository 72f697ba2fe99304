from collections.abc import Sequence
from typing import Any

from django.db import models

from contacts.values.rules import folded


class TagNamesField(models.TextField):
    """A list of tag names in Python, one comma-separated text in the database.

    Exact both ways, because a tag cannot hold a comma (`rules.tag`). As one plain value it is
    compared, written and read with its row: no join, and no race between the two.
    """

    description = "Tag names"

    # What type checkers see (django-stubs).
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
    """What the field `of` holds, folded by `rules.folded`: for looking it up without case.

    A column of its own, because databases fold differently, each depending on its locale.
    """

    def __init__(self, of: str, **options: Any) -> None:
        self.of = of
        super().__init__(**options | {"editable": False, "default": ""})

    def deconstruct(self) -> Any:
        name, path, args, options = super().deconstruct()
        del options["editable"], options["default"]
        return name, path, args, options | {"of": self.of}

    def pre_save(self, model_instance: models.Model, add: bool) -> str:
        text = folded(getattr(model_instance, self.of))
        setattr(model_instance, self.attname, text)
        return text
