"""Links with which people set their password. Their tokens are Django's: a token works once, for
PASSWORD_RESET_TIMEOUT seconds, and ends with the next login or change of the password."""

from django.contrib.auth.tokens import default_token_generator
from django.urls import reverse
from django.utils.encoding import force_bytes
from django.utils.http import urlsafe_base64_encode

from .models import User


def link_path(user: User) -> str:
    """The path of a new link for `user`. Whoever has the link can set the password."""
    uid = urlsafe_base64_encode(force_bytes(user.pk))
    return reverse("admin:set_password", args=[uid, default_token_generator.make_token(user)])
