"""Names of models and of their fields, in the language of the person who reads them."""

from typing import TYPE_CHECKING

from django.core.exceptions import FieldDoesNotExist
from django.db import models

if TYPE_CHECKING:
    from django.utils.functional import _StrPromise


def set_verbose_names(
    model: type[models.Model],
    *,
    one: "_StrPromise | None" = None,
    many: "_StrPromise | None" = None,
    **fields: "_StrPromise",
) -> None:
    """Gives fields of `model` names from `gettext_lazy`, and the model itself, too: `one` of its
    rows and `many`. Raises `FieldDoesNotExist` for a name that is no field of the model.

    Without it, Django makes these names from the code ("created at") and does not translate them.
    They are set after the class is made: a `verbose_name` in the class belongs to the migrations,
    so each of these fields and models would need a migration. Migrations read
    `Field._verbose_name` and `Options.original_attrs`, which stay as they are.

    Call it at the end of the module of the model, because forms copy the names when their class is
    made. The English name of a field is the name that Django makes ("created at" of `created_at`);
    any other one would appear as a title in the OpenAPI document.
    """
    for name, verbose_name in fields.items():
        field = model._meta.get_field(name)
        if not isinstance(field, models.Field):
            raise FieldDoesNotExist(f"{name} is a relation of another model to {model.__name__}.")
        field.verbose_name = verbose_name
    if one is not None:
        model._meta.verbose_name = one
    if many is not None:
        model._meta.verbose_name_plural = many
