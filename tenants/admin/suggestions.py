"""The suggestions of the admin's autocomplete fields."""

from typing import Any

from django.contrib.admin.views.autocomplete import AutocompleteJsonView
from django.db.models import QuerySet

from .scoped import label_for, user_of


class Suggestions(AutocompleteJsonView):
    def get_queryset(self) -> QuerySet:
        """No suggestions for a term with U+0000: PostgreSQL raises an error for it."""
        model = self.model_admin.model
        if "\0" in self.term:
            return model._default_manager.none()
        found = super().get_queryset()
        return found.select_related("tenant") if hasattr(model, "tenant") else found

    def serialize_result(self, obj: Any, to_field_name: str) -> dict[str, str]:
        result = super().serialize_result(obj, to_field_name)
        return result | {"text": label_for(user_of(self.request), obj)}
