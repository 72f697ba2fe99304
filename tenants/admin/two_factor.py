"""The page on which staff turn their own two-factor login on and off."""

from collections.abc import Callable
from functools import partial
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.contrib.admin.models import CHANGE, LogEntry
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from django_otp import login
from django_otp.plugins.otp_static.admin import StaticDevice
from django_otp.plugins.otp_totp.admin import TOTPDevice

from .. import two_factor
from ..logins import CodeInput
from ..models import User
from . import history
from .scoped import user_of

# Nobody may see the devices of another user, not even superusers.
admin.site.unregister([StaticDevice, TOTPDevice])


class CodeForm(forms.Form):
    """A form for one code. `check` is called with the code; a true result means that the code is
    valid, and the form keeps it as `passed`."""

    code = forms.CharField(label=gettext_lazy("Code"), max_length=32, widget=CodeInput)

    def __init__(self, check: Callable[[str], Any], request: HttpRequest) -> None:
        super().__init__(request.POST if request.method == "POST" else None)
        self.check = check

    def clean_code(self) -> str:
        self.passed = self.check(self.cleaned_data["code"])
        if not self.passed:
            raise forms.ValidationError(
                _(
                    "This code is wrong, already used, or was entered too soon after a wrong code. "
                    "Wait for the next code and try again."
                )
            )
        return self.cleaned_data["code"]


def page(request: HttpRequest) -> HttpResponse:
    user = user_of(request)
    return change(request, user) if user.authenticator else turn_on(request, user)


def turn_on(request: HttpRequest, user: User) -> HttpResponse:
    form = CodeForm(partial(two_factor.confirm, user), request)
    if form.is_valid():
        request.session.cycle_key()
        login(request, form.passed)
        return show_codes(request, user, history.TURNED_ON)
    app = two_factor.pending_app(user) if form.is_bound else two_factor.start(user)
    return show(request, "set_up", form=form, app=app, is_required=settings.REQUIRE_TWO_FACTOR)


def change(request: HttpRequest, user: User) -> HttpResponse:
    form = CodeForm(partial(two_factor.use_code, user), request)
    if not form.is_valid():
        return show(request, "change", form=form)
    if "off" not in request.POST:
        return show_codes(request, user, history.NEW_CODES)
    two_factor.turn_off(user)
    note(user, history.TURNED_OFF)
    messages.success(request, _("Two-factor login is off."))
    return redirect("admin:index")


def show_codes(request: HttpRequest, user: User, done: str) -> HttpResponse:
    """Shows new recovery codes in this response. They are not stored: no later page can show
    them."""
    note(user, done)
    return show(request, "codes", codes=two_factor.new_recovery_codes(user), done=_(done))


def show(request: HttpRequest, name: str, **context: Any) -> HttpResponse:
    context |= admin.site.each_context(request) | {"title": _("Two-factor login")}
    return TemplateResponse(request, f"admin/tenants/two_factor/{name}.html", context)


def note(user: User, sentence: str, **values: Any) -> None:
    """Adds an entry to the user's history in the admin. `sentence`: one of `history`."""
    message = sentence % values
    LogEntry.objects.log_actions(user.pk, [user], CHANGE, message, single_object=True)
