"""The admin of API tokens."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django import forms
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db import models
from django.db.models import Q
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.formats import date_format
from django.utils.functional import cached_property
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext
from unfold.widgets import (
    UnfoldAdminCheckboxSelectMultipleWidget,
    UnfoldAdminRadioSelectWidget,
    UnfoldAdminSelectWidget,
)

from .. import roles
from ..fields import number_of
from ..models import LAST_DAY, LATEST, ApiToken, User, all_scopes
from . import history
from .conflicts import ConflictForm
from .scoped import RetryOnConflictAdmin, TypedSearchAdmin, save_changed, user_of

EXPIRES_SOON = timedelta(days=14)
OVERLAPS = {  # hours
    "0": gettext_lazy("At once"),
    "1": gettext_lazy("In an hour"),
    "24": gettext_lazy("In 24 hours"),
    "168": gettext_lazy("In 7 days"),
}
LIFETIMES = {  # days
    "30": gettext_lazy("In 30 days"),
    "90": gettext_lazy("In 90 days"),
    "365": gettext_lazy("In a year"),
}


class TokenForm(ConflictForm):
    """`expires_in`: a lifetime to choose, instead of a date in `expires_at`."""

    expires_in = forms.ChoiceField(
        required=False,
        label=gettext_lazy("Expires"),
        choices=[("", gettext_lazy("Never, or on the date below")), *LIFETIMES.items()],
        widget=UnfoldAdminSelectWidget,
    )
    scopes = forms.MultipleChoiceField(
        label=gettext_lazy("Permissions"),
        choices=ApiToken.Scope.choices,
        initial=all_scopes,
        widget=UnfoldAdminCheckboxSelectMultipleWidget,
    )

    class Meta:
        model = ApiToken
        fields = ["name", "user", "scopes", "expires_at", "rate_limit"]

    @cached_property
    def changed_data(self) -> list[str]:
        """The changed fields of the token. A change of `expires_in` is a change of `expires_at`."""
        changed = dict.fromkeys(super().changed_data)
        if "expires_in" in changed and "expires_at" in self.fields:
            changed["expires_at"] = None
        return [name for name in changed if name != "expires_in"]

    def clean_expires_at(self) -> datetime | None:
        at = self.cleaned_data["expires_at"]
        if at and at > LATEST:
            sentence = _("The latest possible date is %(date)s.")
            raise forms.ValidationError(sentence % {"date": LAST_DAY})
        return at

    def has_typed_date(self) -> bool:
        field: Any = self["expires_at"]
        return field._has_changed()

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        days = given.get("expires_in")
        # A lifetime is chosen from the start; who types a date wants the date.
        if days and not self.has_typed_date():
            given["expires_at"] = timezone.now() + timedelta(days=int(days))
        at = given.get("expires_at")
        if at and at <= timezone.now() and "expires_at" in self.changed_data:
            problem = _("This time is in the past. To end a token now, revoke it.")
            self.add_error("expires_at", problem)
        return given


class RotateForm(forms.Form):
    overlap = forms.ChoiceField(
        label=gettext_lazy("The old token expires"),
        choices=list(OVERLAPS.items()),
        initial="24",
        widget=UnfoldAdminRadioSelectWidget,
    )


class StateFilter(admin.SimpleListFilter):
    title = gettext_lazy("state")
    parameter_name = "state"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [
            ("active", pgettext("token", "Active")),
            ("expiring", pgettext("token", "Expiring")),
            ("expired", pgettext("token", "Expired")),
            ("revoked", pgettext("token", "Revoked")),
        ]

    def queryset(self, request: HttpRequest, tokens: models.QuerySet) -> models.QuerySet:
        if self.value() not in STATES:
            return tokens
        return tokens.filter(STATES[str(self.value())]())


def ends_before(moment: Any) -> Q:
    """Active tokens that expire before `moment`."""
    return Q(
        application=None, revoked_at=None, expires_at__gt=timezone.now(), expires_at__lte=moment
    )


def unexpired() -> Q:
    """Tokens that have not expired. A connected app renews its token as long as it has one."""
    own = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return (Q(application=None) & own) | Q(access_token__isnull=False)


STATES = {
    "active": lambda: Q(revoked_at=None) & unexpired(),
    "expiring": lambda: ends_before(timezone.now() + EXPIRES_SOON),
    "expired": lambda: Q(revoked_at=None) & ~unexpired(),
    "revoked": lambda: Q(revoked_at__isnull=False),
}


@admin.register(ApiToken)
class ApiTokenAdmin(TypedSearchAdmin, RetryOnConflictAdmin):
    """Issues, rotates and revokes tokens.

    A new token is shown in the response to the POST request and nowhere else: it is not in a
    session or a message, browsers do not cache it (the admin's pages are `no-store`), and no later
    page can show it.
    """

    tenant_lookup = "user__tenant"
    form = TokenForm
    list_display = [
        "name",
        "prefix",
        "user",
        "may",
        "state",
        "last_used",
        "rate_limit",
        "created_at",
    ]
    list_filter = [StateFilter]
    list_select_related = ["user", "replaced_by"]
    search_fields = ["name", "prefix", "user__email"]
    given = ["name", "user", "scopes", "expires_in", "expires_at", "rate_limit"]
    shown = ["state", "prefix", "created_at", "last_used_at", "revoked_at", "replaces"]
    actions = ["revoke", "rotate_selected"]

    def get_queryset(self, request: HttpRequest) -> models.QuerySet:
        tokens = super().get_queryset(request)
        return tokens if request.user.is_superuser else tokens.filter(user__is_superuser=False)

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[Any]:
        if obj and obj.application_id:
            return [*(name for name in self.given if name != "expires_in"), *self.shown]
        return [*self.given, *self.shown] if obj else self.given

    def get_readonly_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        """Only superusers set a rate limit, because the limit protects the installation. A token
        that was replaced keeps its expiry: extending it would undo the rotation. The person who
        connected an app decides on its scopes."""
        limit = [] if request.user.is_superuser else ["rate_limit"]
        ends = ["expires_at"] if obj and hasattr(obj, "replaced_by") else []
        if obj and obj.application_id:
            ends = ["scopes", "expires_at"]
        return ["user", *self.shown, *limit, *ends] if obj else limit

    def get_changeform_initial_data(self, request: HttpRequest) -> dict[str, Any]:
        """A new token may read, for 90 days: a program that needs more is given more on purpose.
        Takes only the name from the query string: the widget of times does not accept text."""
        name = request.GET.get("name", "")
        return {"name": name, "scopes": [ApiToken.Scope.READ], "expires_in": "90"}

    def formfield_for_foreignkey(
        self, db_field: models.ForeignKey, request: HttpRequest, **options: Any
    ) -> Any:
        """Offers only users without more permissions than the user of the request: otherwise staff
        could issue themselves the token of somebody with more permissions."""
        if db_field.name == "user" and not request.user.is_superuser:
            options["queryset"] = roles.users_without_more_permissions(user_of(request))
        return super().formfield_for_foreignkey(db_field, request, **options)

    def save_model(self, request: HttpRequest, obj: ApiToken, form: Any, change: bool) -> None:
        if change:
            save_changed(obj, form)
        else:
            obj.make_secret()
            obj.save()

    def response_add(
        self, request: HttpRequest, obj: ApiToken, post_url_continue: str | None = None
    ) -> HttpResponse:
        return self.show_secret(request, obj)

    def show_secret(self, request: HttpRequest, token: ApiToken) -> HttpResponse:
        context = self.admin_site.each_context(request) | {
            "title": _("Token issued"),
            "token": token,
            "secret": token.plaintext,
            "opts": self.opts,
        }
        return TemplateResponse(request, "admin/tenants/apitoken/issued.html", context)

    @admin.display(description=gettext_lazy("scopes"))
    def may(self, token: ApiToken) -> str:
        has_all = not token.lacking(ApiToken.Scope)
        return pgettext("scopes", "all") if has_all else ", ".join(token.scopes)

    @admin.display(description=gettext_lazy("state"))
    def state(self, token: ApiToken) -> str:
        kind, text = state_of(token)
        return format_html('<span class="chip {}">{}</span>', kind, text)

    @admin.display(description=gettext_lazy("last used"), ordering="last_used_at")
    def last_used(self, token: ApiToken) -> datetime | str:
        return token.last_used_at or _("never")

    @admin.display(description=gettext_lazy("revoke"))
    def end(self, token: ApiToken) -> str:
        if token.revoked_at:
            return ""
        page = revoke_page([token.pk])
        label = _("Revoke %(token)s") % {"token": token.name}
        return format_html('<a href="{}" aria-label="{}">{}</a>', page, label, _("Revoke"))

    def get_list_display(self, request: HttpRequest) -> list[Any]:
        may_revoke = self.has_change_permission(request)
        return [*self.list_display, "end"] if may_revoke else [*self.list_display]

    def get_urls(self) -> list[Any]:
        view = self.admin_site.admin_view
        return [
            path("revoke/", view(self.revoke_view), name="tenants_apitoken_revoke"),
            path("<str:pk>/rotate/", view(self.rotate_view), name="tenants_apitoken_rotate"),
            *super().get_urls(),
        ]

    # Rotation

    def rotate_view(self, request: HttpRequest, pk: str) -> HttpResponse:
        token = self.get_object(request, pk)
        if not self.has_change_permission(request, token):
            raise PermissionDenied
        if token is None:
            return self._get_obj_does_not_exist_redirect(request, self.opts, pk)
        if not self.may_issue_for(request, token.user):
            raise PermissionDenied
        form = RotateForm(request.POST if "overlap" in request.POST else None)
        if not form.is_valid():
            context = self.admin_site.each_context(request) | {
                "title": _("Rotate %(token)s") % {"token": token},
                "token": token,
                "form": form,
                "opts": self.opts,
            }
            return TemplateResponse(request, "admin/tenants/apitoken/rotate.html", context)
        try:
            new = token.rotate(timedelta(hours=int(form.cleaned_data["overlap"])))
        except ValueError as error:
            self.message_user(request, str(error), messages.ERROR)
            return HttpResponseRedirect(reverse("admin:tenants_apitoken_changelist"))
        self.log_change(request, token, history.ROTATED % {"token": new.prefix})
        return self.show_secret(request, new)

    def may_issue_for(self, request: HttpRequest, user: User) -> bool:
        """Whether the user of the request may see a new token of `user`."""
        me = user_of(request)
        return (
            me.is_superuser or roles.users_without_more_permissions(me).filter(pk=user.pk).exists()
        )

    @admin.action(description=gettext_lazy("Rotate the selected token…"), permissions=["change"])
    def rotate_selected(self, request: HttpRequest, tokens: models.QuerySet) -> HttpResponse | None:
        if len(tokens) != 1:
            self.message_user(request, _("Select exactly one token."), messages.ERROR)
            return None
        page = reverse("admin:tenants_apitoken_rotate", args=[tokens[0].pk])
        return HttpResponseRedirect(page)

    # Revoking

    @admin.action(description=gettext_lazy("Revoke selected tokens…"), permissions=["change"])
    def revoke(self, request: HttpRequest, tokens: models.QuerySet) -> HttpResponse:
        return HttpResponseRedirect(revoke_page(token.pk for token in tokens))

    def revoke_view(self, request: HttpRequest) -> HttpResponse:
        """Asks, and revokes the tokens with the ids in the query string."""
        if not self.has_change_permission(request):
            raise PermissionDenied
        ids = {number_of(text) for text in request.GET.get("ids", "").split(",")} - {None}
        tokens = [*self.get_queryset(request).filter(pk__in=ids, revoked_at=None)]
        if tokens and request.method != "POST":
            context = self.admin_site.each_context(request) | {
                "title": _("Revoke tokens"), "tokens": tokens, "opts": self.opts,
            }  # fmt: skip
            return TemplateResponse(request, "admin/tenants/apitoken/revoke.html", context)
        for token in tokens:
            token.revoke()
            self.log_change(request, token, history.REVOKED)
        names = ", ".join(token.name for token in tokens)
        done = _("Revoked: %(names)s.") % {"names": names} if names else _("Nothing to revoke.")
        self.message_user(request, done)
        return HttpResponseRedirect(reverse("admin:tenants_apitoken_changelist"))


def revoke_page(ids: Iterable[Any]) -> str:
    return f"{reverse('admin:tenants_apitoken_revoke')}?ids={','.join(map(str, ids))}"


def state_of(token: ApiToken) -> tuple[str, str]:
    """The state of a token for people: the CSS class and the text of its label."""
    now, at = timezone.now(), token.expires_at
    if token.revoked_at:
        return "bad", pgettext("token", "Revoked")
    if token.application_id:
        is_connected = token.access_token_id is not None
        return ("good", _("Connected app")) if is_connected else ("bad", _("Disconnected"))
    if at and at <= now:
        return "bad", pgettext("token", "Expired")
    if at and at <= now + EXPIRES_SOON:
        time = date_format(timezone.localtime(at))
        if not hasattr(token, "replaced_by"):
            return "", _("Expires %(time)s") % {"time": time}
        values = {"time": time, "token": token.replaced_by.prefix}
        return "", _("Expires %(time)s, replaced by %(token)s") % values
    return "good", pgettext("token", "Active")
