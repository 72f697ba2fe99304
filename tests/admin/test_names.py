"""The names of the models and fields of contacts are translated."""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from typing import Any

import pytest
from django.apps import apps
from django.contrib import admin
from django.contrib.admin.utils import flatten_fieldsets
from django.core.exceptions import FieldDoesNotExist
from django.db.models import Field, Model
from django.utils.functional import Promise
from django.utils.text import camel_case_to_spaces

from contacts.models import Import, SavedView
from tenants.admin.tenants import is_detail

OWN = [*apps.get_app_config("contacts").get_models()]
SHOWN = [model for model in OWN if admin.site.is_registered(model)]
# Not as Django makes it from the code.
NAMED: dict[Any, str] = {
    SavedView._meta.get_field("is_shared"): "shared",
    Import._meta.get_field("superseded"): "repeated",
}
RENAMED = {"metadata field": "field", "duplicate": "possible duplicate", "opt out": "opt-out"}
PLURALS = {"delivery": "deliveries"}


def fields_among(model: type[Model], names: Iterable[Any]) -> Iterator[Field]:
    """`names` may have methods, filters and columns of foreign keys, too."""
    for name in names:
        with suppress(FieldDoesNotExist, TypeError):
            field = model._meta.get_field(name)
            if isinstance(field, Field) and field.name == name:
                yield field


@pytest.mark.parametrize("model", SHOWN)
def test_fields_that_the_admin_shows_have_translated_names(model: type[Model]) -> None:
    page: Any = admin.site.get_model_admin(model)
    of_form = getattr(page.form, "_meta", None)
    edited = {*((of_form and of_form.fields) or ())}
    edited |= {*flatten_fieldsets(page.fieldsets or ()), *(page.fields or ())}
    listed = {"tenant", *page.list_display, *page.list_filter}
    for field in fields_among(model, edited | listed):
        assert isinstance(field.verbose_name, Promise), field
    for field in fields_among(model, edited - {*page.readonly_fields}):
        assert not field.help_text or isinstance(field.help_text, Promise), field


@pytest.mark.parametrize("model", OWN)
def test_models_that_people_see_have_translated_names(model: type[Model]) -> None:
    is_counted = any(field.name == "tenant" for field in model._meta.fields) and not is_detail(
        model
    )
    for name in (model._meta.verbose_name, model._meta.verbose_name_plural):
        assert isinstance(name, Promise) or not (is_counted or model in SHOWN)


@pytest.mark.parametrize("model", OWN)
def test_the_english_names_are_as_in_the_code(model: type[Model]) -> None:
    for field in model._meta.concrete_fields:
        assert field.verbose_name == NAMED.get(field, field.name.replace("_", " "))
    name = camel_case_to_spaces(model.__name__)
    name = RENAMED.get(name, name)
    assert model._meta.verbose_name == name
    assert model._meta.verbose_name_plural == PLURALS.get(name, f"{name}s")


def test_choices_that_the_admin_shows_are_translated() -> None:
    names = {"API", "Shopify", "WooCommerce", "Zapier"}  # of programs
    for model in SHOWN:
        for field in model._meta.concrete_fields:
            for _, label in field.choices or ():
                assert isinstance(label, Promise) or label in names, (field, label)
