"""Form fields of roles, groups and permissions. Their stored names are English."""

from typing import Any

from django import forms
from django.contrib.auth.models import Permission
from django.utils.safestring import SafeString, mark_safe
from django.utils.translation import gettext_lazy

from .. import roles


class RoleField(forms.ModelChoiceField):
    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, label=gettext_lazy("Role"), **options)

    def label_from_instance(self, obj: Any) -> str:
        return roles.title_of(obj.name)


class GroupsField(forms.ModelMultipleChoiceField):
    def label_from_instance(self, obj: Any) -> str:
        return roles.title_of(obj.name)


class PermissionsField(forms.ModelMultipleChoiceField):
    def label_from_instance(self, obj: Permission) -> str:
        return roles.label_of(obj)


def titles_of_groups(names: str) -> SafeString:
    """The groups of a user on a page that cannot change them. `names`: HTML, from the theme."""
    titles = [roles.title_of(name) for name in names.split(", ")]
    return mark_safe(", ".join(titles))  # noqa: S308 - only names of roles are replaced
