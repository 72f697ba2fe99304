"""Logging in to the admin, and who has tried too often; django-axes counts."""

from ipaddress import ip_address
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from unfold.forms import AuthenticationForm

from .models import User


class LoginForm(AuthenticationForm):
    """Says that somebody has to wait, whether the password was right or not."""

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
