"""Logging in to the admin: the form, and the name and address that failures are counted for.

`login_limits` has the limits.
"""

from ipaddress import IPv6Address, ip_address, ip_network
from typing import Any

from django import forms
from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext
from unfold.forms import AuthenticationForm
from unfold.widgets import UnfoldAdminTextInputWidget

from . import two_factor
from .models import UNKNOWN_ADDRESS, User


class CodeInput(UnfoldAdminTextInputWidget):
    """The input for a code. Empty when the form is shown again: a code can be used only once."""

    def __init__(self) -> None:
        super().__init__({"autocomplete": "one-time-code"})

    def format_value(self, value: Any) -> None:
        return None


class LoginForm(AuthenticationForm):
    """Asks for e-mail and password, and for a code if the user has turned on two-factor login.

    The error message does not say whether the password was right: a guesser of passwords could use
    that.
    """

    otp_token = forms.CharField(
        label=gettext_lazy("Code (only if you turned on two-factor login)"),
        required=False,
        max_length=32,
        widget=CodeInput,
    )

    @property
    def has_email(self) -> bool:
        """Whether people who forgot their password can get an e-mail."""
        return bool(settings.HAS_EMAIL)

    error_messages = AuthenticationForm.error_messages | {
        "invalid_login": gettext_lazy(
            "Please enter the correct %(username)s and password of a staff account, and a new code "
            "if you turned on two-factor login. The password is case-sensitive."
        )
    }

    def confirm_login_allowed(self, user: Any) -> None:
        """Checks the code. A wrong code counts like a wrong password, because each login counts as
        a failure until it has succeeded."""
        super().confirm_login_allowed(user)
        if user.authenticator is None:
            return
        if not two_factor.use_code(user, self.cleaned_data.get("otp_token", "")):
            raise self.get_invalid_login_error()
        user.otp_device = user.authenticator

    def get_invalid_login_error(self) -> ValidationError:
        if wait := getattr(self.request, "login_wait", 0):
            sentence = _("Too many failed logins. Try again in %(time)s.")
            return ValidationError(sentence % {"time": in_words(wait)})
        return super().get_invalid_login_error()


def in_words(seconds: int) -> str:
    """A duration for people. Minutes are rounded up, so that waiting this long is enough."""
    if seconds <= 120:
        return ngettext("%(count)s second", "%(count)s seconds", seconds) % {"count": seconds}
    minutes = -(-seconds // 60)
    return ngettext("%(count)s minute", "%(count)s minutes", minutes) % {"count": minutes}


def too_many_tries(request: Any, answer: HttpResponse, credentials: Any) -> HttpResponse:
    """The login form that says how long to wait, with status 429 (RFC 6585, 4)."""
    answer.status_code = 429
    answer["Retry-After"] = str(request.login_wait)
    return answer


def name_typed(request: HttpRequest, credentials: dict[str, Any] | None) -> str:
    """The name of a login, normalized like the names of accounts: `Ann@…` and `ann@…` are one
    account with one limit. At most 255 characters, the length of the column."""
    typed = (credentials or request.POST).get("username")
    return User.objects.normalize_email(typed)[:255]


def address_of(request: HttpRequest) -> str:
    """The address of the caller, for which failed logins are counted; `UNKNOWN_ADDRESS` if it is
    unknown.

    Behind a proxy (BEHIND_HTTPS_PROXY), the last address in `X-Forwarded-For`, because the proxy
    adds the last one; callers can invent the others. Otherwise the address of the connection.
    """
    peer = request.META.get("REMOTE_ADDR", "")
    added = request.headers.get("X-Forwarded-For", "").rpartition(",")[2].strip()
    addresses = [added, peer] if settings.BEHIND_HTTPS_PROXY else [peer]
    return network_of(next(filter(is_address, addresses), UNKNOWN_ADDRESS))


def network_of(address: str) -> str:
    """The address that failures of `address` are counted for.

    For IPv6, the first address of its /64 network: each customer of a provider has at least such a
    network (RFC 6177), and could send each guess from another address of it. For an IPv4 address
    written as IPv6 (RFC 4291, 2.5.5.2), the IPv4 address: all of these share one /64 network.
    """
    parsed = ip_address(address)
    if not isinstance(parsed, IPv6Address):
        return address
    if parsed.ipv4_mapped:
        return str(parsed.ipv4_mapped)
    return str(ip_network((parsed, 64), strict=False).network_address)


def is_address(text: str) -> bool:
    try:
        # An address with a zone, such as fe80::1%eth0, is not valid in every database.
        return "%" not in text and bool(ip_address(text))
    except ValueError:
        return False
