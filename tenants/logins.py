"""Logging in to the admin: the form, and who is trying. `login_limits` says how often."""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django import forms
from django.conf import settings
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
        """A wrong code counts as a wrong password does, because each login counts as a failure
        until it has succeeded. A right code lets the session in."""
        super().confirm_login_allowed(user)
        if user.authenticator is None:
            return
        if not two_factor.accept(user, self.cleaned_data.get("otp_token", "")):
            raise self.get_invalid_login_error()
        user.otp_device = user.authenticator

    def get_invalid_login_error(self) -> ValidationError:
        if wait := getattr(self.request, "login_wait", 0):
            return ValidationError(f"Too many failed logins. Try again in {in_words(wait)}.")
        return super().get_invalid_login_error()


def in_words(seconds: int) -> str:
    """Minutes are rounded up: who waits as long as the sentence says gets in."""
    if seconds == 1:
        return "1 second"
    return f"{seconds} seconds" if seconds <= 120 else f"{-(-seconds // 60)} minutes"


def too_many_tries(request: Any, answer: HttpResponse, credentials: Any) -> HttpResponse:
    """The form with that sentence, as status 429 (RFC 6585, 4)."""
    answer.status_code = 429
    answer["Retry-After"] = str(request.login_wait)
    return answer


def name_typed(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """As accounts are found, so that other capitals are no other account to guess at; and no
    longer than is kept."""
    typed = (credentials or request.POST).get("username")
    return User.objects.normalize_email(typed)[:255]


def address_of(request: HttpRequest) -> str:
    """The address of the caller that failed logins are counted for: of the peer, or behind a proxy
    the last address in `X-Forwarded-For`, which the proxy adds; callers can make up the others.
    `::` if the address is unknown."""
    peer = request.META.get("REMOTE_ADDR", "")
    added = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    addresses = [added, peer] if settings.BEHIND_HTTPS_PROXY else [peer]
    return counted_as(next(filter(is_address, addresses), "::"))


def counted_as(address: str) -> str:
    """An IPv6 address as the first address of its /64: each customer of a provider has at least
    such a network (RFC 6177), and could send each guess from another address of it.

    An IPv4 address written as IPv6 (RFC 4291, 2.5.5.2) as IPv4: these addresses share one /64.
    """
    parsed = ip_address(address)
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, 64), strict=False).network_address)


def is_address(text: str) -> bool:
    try:
        return "%" not in text and bool(ip_address(text))  # no interface of ours: databases differ
    except ValueError:
        return False
