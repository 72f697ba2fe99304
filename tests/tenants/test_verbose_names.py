"""The names of models and fields are translated, without migrations."""

from typing import Any

import pytest
from django.apps import apps
from django.core.exceptions import FieldDoesNotExist
from django.db import models
from django.db.migrations.state import ModelState
from django.test.utils import isolate_apps
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy

from tenants.verbose_names import set_verbose_names


@pytest.fixture
def book() -> Any:
    with isolate_apps("tenants"):

        class Book(models.Model):  # noqa: DJ008 - never shown
            bought_at = models.DateTimeField()
            tenant = models.ForeignKey("tenants.Tenant", models.CASCADE, related_name="books")

            class Meta:
                app_label = "tenants"

        yield Book


def test_names_are_set_and_migrations_do_not_see_them(book: Any) -> None:
    before = ModelState.from_model(book)
    set_verbose_names(
        book,
        one=gettext_lazy("volume"),
        many=gettext_lazy("volumes"),
        bought_at=gettext_lazy("day of purchase"),
    )
    assert (book._meta.verbose_name, book._meta.verbose_name_plural) == ("volume", "volumes")
    assert book._meta.get_field("bought_at").verbose_name == "day of purchase"
    assert book._meta.get_field("tenant").verbose_name == "tenant"
    after = ModelState.from_model(book)
    assert after.options == before.options
    for name, field in after.fields.items():
        assert field.deconstruct() == before.fields[name].deconstruct()


@pytest.mark.parametrize("name", ["bougth_at", "objects"])
def test_a_name_that_is_no_field_is_an_error(book: Any, name: str) -> None:
    with pytest.raises(FieldDoesNotExist):
        set_verbose_names(book, **{name: gettext_lazy("day of purchase")})


def test_all_models_and_fields_have_translated_names() -> None:
    for model in apps.get_app_config("tenants").get_models():
        names = [model._meta.verbose_name, model._meta.verbose_name_plural]
        assert all(isinstance(name, Promise) for name in names), model
        for field in model._meta.local_fields:
            name = field.verbose_name
            is_given = field._verbose_name is not None  # type: ignore[attr-defined]
            assert isinstance(name, Promise) or (is_given and field.auto_created), field
            if not is_given:
                assert name == field.name.replace("_", " "), "no title in the OpenAPI document"
