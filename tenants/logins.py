"""Logging in to the admin, and who has tried too often; django-axes counts."""

from ipaddress import ip_address
from typing import Any

from django import forms
from django.conf import settings
from django.contrib.auth.signals import user_login_failed
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from . import two_factor
from .models import User


class CodeInput(UnfoldAdminTextInputWidget):
    """Empty when it is shown again: each code is good once."""

    def __init__(self) -> None:
        super().__init__({"autocomplete": "one-time-code"})

    def format_value(self, value: Any) -> None:
        return None


class LoginForm(AuthenticationForm):
    """Asks whoever has turned that on for a code too. Says that somebody has to wait, or that
    something is wrong, whether the password was right or not."""

    otp_token = forms.CharField(
        label="Code (only if you turned on two-factor login)",
        required=False,
        max_length=32,
        widget=CodeInput,
    )
    error_messages = AuthenticationForm.error_messages | {
        "invalid_login": "Please enter the correct %(username)s and password of a staff account, "
        "and a new code if you turned on two-factor login. Capitals count."
    }

    def confirm_login_allowed(self, user: Any) -> None:
        """A wrong code counts as a wrong password does. A right one lets the session in."""
        super().confirm_login_allowed(user)
        if user.authenticator is None:
            return
        if not two_factor.accept(user, self.cleaned_data.get("otp_token", "")):
            tried = {"username": self.cleaned_data["username"]}
            user_login_failed.send(__name__, credentials=tried, request=self.request)
            raise self.get_invalid_login_error()
        user.otp_device = user.authenticator

    def get_invalid_login_error(self) -> ValidationError:
        if getattr(self.request, "axes_locked_out", False):
            minutes = settings.AXES_COOLOFF_TIME.seconds // 60
            return ValidationError(f"Too many failed logins. Try again in {minutes} minutes.")
        return super().get_invalid_login_error()


def too_many_tries(request: HttpRequest, answer: HttpResponse, credentials: Any) -> HttpResponse:
    """The form with that sentence, as RFC 6585 asks for it."""
    answer.status_code = 429
    answer["Retry-After"] = str(settings.AXES_COOLOFF_TIME.seconds)
    return answer


def name_typed(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """As accounts are found, so that other capitals are no other account to guess at; and no
    longer than is kept."""
    typed = (credentials or request.POST).get("username")
    return User.objects.normalize_email(typed)[:255]


def address_of(request: HttpRequest) -> str:
    """Whom the server talks to; behind a proxy, whom that says it talks to: the last entry of
    `X-Forwarded-For`, for callers can make up those before it. `::` where that is unknown."""
    peer = request.META.get("REMOTE_ADDR", "")
    told = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    addresses = [told, peer] if settings.BEHIND_HTTPS_PROXY else [peer]
    return next(filter(is_address, addresses), "::")


def is_address(text: str) -> bool:
    try:
        return "%" not in text and bool(ip_address(text))  # no interface of ours: databases differ
    except ValueError:
        return False
