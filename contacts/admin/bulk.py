"""Bulk actions on the list of contacts, and the page with the progress of each.

Every action first shows the number of contacts; see `confirm`.
"""

from collections.abc import Callable
from typing import Any

from django import forms
from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.utils.text import format_lazy
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, gettext_noop
from unfold.views import ChangeList
from unfold.widgets import UnfoldAdminTextInputWidget

from contacts.models import BulkAction, ContactQuerySet
from contacts.values import rules
from tenants.admin import user_of

from . import describe
from .confirm import ConfirmForm, Question
from .exports import ExportActionAdmin
from .forms import RuleFormField
from .history import CONSENT_STAYS
from .progress import ProgressAdmin

Kind = BulkAction.Kind


class TagForm(ConfirmForm):
    value = RuleFormField(
        rules.tag,
        label=gettext_lazy("Tag"),
        widget=UnfoldAdminTextInputWidget({"list": "known-tags"}),
    )

    def clean_value(self) -> str:
        if not (tag := self.cleaned_data["value"]):
            raise forms.ValidationError(_("Enter a tag."))
        return tag


class LocaleForm(ConfirmForm):
    value = RuleFormField(
        rules.locale,
        label=gettext_lazy("Locale"),
        help_text=gettext_lazy("E.g. fr-FR. Leave empty to remove the locale."),
    )


QUESTIONS = {
    Kind.ADD_TAG: Question(gettext_noop("Add a tag"), gettext_noop("Add the tag"), TagForm),
    Kind.REMOVE_TAG: Question(
        gettext_noop("Remove a tag"), gettext_noop("Remove the tag"), TagForm
    ),
    Kind.SET_LOCALE: Question(
        gettext_noop("Set the locale"), gettext_noop("Set the locale"), LocaleForm
    ),
    Kind.OPT_OUT: Question(
        gettext_noop("Opt out"),
        gettext_noop("Opt out"),
        warning=gettext_noop(
            "Nobody may contact these people any more. Earlier opt-outs keep their date."
        ),
        is_dangerous=True,
    ),
    Kind.DELETE: Question(
        gettext_noop("Delete"),
        gettext_noop("Delete contacts"),
        warning=gettext_noop("You can undo this while the history is kept. Notes come back, too."),
        is_dangerous=True,
    ),
}


def question(kind: Kind) -> Question:
    """The question in the language of the user."""
    asked = QUESTIONS[kind].translated()
    if kind == Kind.OPT_OUT:
        asked = asked._replace(warning=f"{asked.warning} {_(CONSENT_STAYS)}")
    return asked


def change(kind: Kind, permission: str = "change") -> Callable[..., HttpResponseBase | None]:
    """A list action that asks to confirm, and then starts the bulk action `kind`."""
    title = format_lazy("{}…", gettext_lazy(QUESTIONS[kind].title))

    @admin.action(description=title, permissions=[permission])
    def act(
        self: "BulkAdmin", request: HttpRequest, contacts: ContactQuerySet
    ) -> HttpResponseBase | None:
        return self.ask_to_change(request, contacts, kind)

    return act


class BulkAdmin(ExportActionAdmin):
    """The bulk actions of the list of contacts."""

    actions = ["add_tag", "remove_tag", "set_locale", "opt_out", "export", "delete_selected"]
    add_tag = change(Kind.ADD_TAG)
    remove_tag = change(Kind.REMOVE_TAG)
    set_locale = change(Kind.SET_LOCALE)
    opt_out = change(Kind.OPT_OUT)
    delete_selected = change(Kind.DELETE, "delete")

    def ask_to_change(
        self, request: HttpRequest, contacts: ContactQuerySet, kind: Kind
    ) -> HttpResponseBase | None:
        if (tenant := self.tenant_of(request, contacts)) is None:
            return None
        return self.ask_to_start(request, contacts, question(kind), tenant, kind)


# The list and the page of bulk actions


class ActionList(ChangeList):
    def get_results(self, request: HttpRequest) -> None:
        """Adds the name of the user to each action. Looks up all names of the page at once."""
        super().get_results(request)
        tenants = {action.tenant_id for action in self.result_list}
        actors = describe.Actors((action.actor for action in self.result_list), [*tenants])
        for action in self.result_list:
            action.who = actors.who(action.actor)


@admin.register(BulkAction)
class BulkActionAdmin(ProgressAdmin):
    """Bulk actions with their progress. Nobody adds or edits one here."""

    list_display = ["what", "total", "changed", "refused", "progress", "by", "started_at"]
    list_filter = ["kind"]
    ordering = ["-pk"]
    show_full_result_count = False
    change_form_template = "admin/contacts/bulkaction/progress.html"
    fields = ["tenant"]

    def change_view(
        self, request: HttpRequest, object_id: str, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        context = {"consent_stays": _(CONSENT_STAYS)} | (extra_context or {})
        return super().change_view(request, object_id, form_url, context)

    def get_changelist(self, request: HttpRequest, **options: Any) -> type[ActionList]:
        return ActionList

    @admin.display(description=gettext_lazy("actor"), ordering="actor")
    def by(self, action: Any) -> str:
        return action.who.text

    @admin.display(description=gettext_lazy("action"))
    def what(self, action: BulkAction) -> str:
        return str(action)

    @admin.display(description=gettext_lazy("Progress"))
    def progress(self, action: BulkAction) -> str:
        return _("done") if action.is_over else f"{action.percent} %"

    def has_view_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Also for users who may start a bulk action: they must see its progress."""
        user = user_of(request)
        may_start = user.has_perm("contacts.change_contact") or user.has_perm("contacts.change_tag")
        return may_start or super().has_view_permission(request, obj)

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        """Not while the action runs. Django asks this also when somebody deletes a whole tenant."""
        is_over = not isinstance(obj, BulkAction) or obj.is_over
        return is_over and super().has_delete_permission(request, obj)
