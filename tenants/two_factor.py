"""A second factor for people: a code of their app (TOTP, RFC 6238), or one to recover with.

django-otp checks them, each once, and has who guesses wait ever longer. None of them can be read
in the database: an app's key is made of a salt and SECRET_KEY, and of the codes to recover with
there are digests.
"""

from base64 import b32encode
from typing import Any

import segno
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.http import HttpRequest
from django.utils.crypto import salted_hmac
from django_otp import DEVICE_ID_SESSION_KEY, verify_token
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

RECOVERY_CODES = 10


class Authenticator(TOTPDevice):
    """Somebody's app. What its table has as the key is the salt."""

    class Meta:
        proxy = True
        default_permissions = ()

    @property
    def bin_key(self) -> bytes:
        """20 bytes, as RFC 4226 (4, R6) recommends."""
        return salted_hmac("tenants.Authenticator", f"{self.user_id} {self.key}").digest()

    @property
    def secret(self) -> str:
        """The key as apps take it when it is typed: base 32."""
        return b32encode(self.bin_key).decode()

    @property
    def qr_code(self) -> str:
        """The key as apps photograph it, as a `data:` URL."""
        return segno.make_qr(self.config_url).svg_data_uri(scale=5, light="white")


def is_passed(request: HttpRequest) -> bool:
    """Whether this session may go on: its user has two-factor login off, or gave it a code since
    it is on."""
    app: Authenticator | None = request.user.authenticator  # type: ignore[union-attr]
    return app is None or request.session.get(DEVICE_ID_SESSION_KEY) == app.persistent_id


def plain(code: str) -> str:
    """Without what helps to read it."""
    return "".join(code.split()).replace("-", "").lower()


def digest(code: str) -> str:
    """What is stored of one to recover with; the column has room for 16 characters."""
    return salted_hmac("tenants.recovery_code", code).hexdigest()[:16]


def accept(user: Any, code: str) -> bool:
    """Whether `code`, as it was typed, is one of the user's app or to recover with, for the first
    time: it is used up then. After a wrong one none is right for a second, and twice as long each
    time."""
    code = plain(code)
    is_of_app = len(code) == 6 and code.isdecimal()
    device = user.authenticator if is_of_app else StaticDevice.objects.filter(user=user).first()
    if not code or device is None:
        return False
    token = code if is_of_app else digest(code)
    return verify_token(user, device.persistent_id, token) is not None


def begin(user: AbstractBaseUser) -> Authenticator:
    """A new app of the user, which `confirm` waits for."""
    Authenticator.objects.filter(user=user, confirmed=False).delete()
    return Authenticator.objects.create(user=user, name="App", confirmed=False)


def begun(user: AbstractBaseUser) -> Authenticator:
    """The one that was begun last."""
    return Authenticator.objects.filter(user=user, confirmed=False).last() or begin(user)


@transaction.atomic
def confirm(user: AbstractBaseUser, code: str) -> Authenticator | None:
    """Turns two-factor login on, if `code` is of the app that was begun. Returns it, or None."""
    app: Authenticator | None = verify_token(user, begun(user).persistent_id, plain(code))
    if app:
        app.confirmed = True
        app.save(update_fields=["confirmed"])
        Authenticator.objects.filter(user=user).exclude(pk=app.pk).delete()
    return app


@transaction.atomic
def turn_off(user: AbstractBaseUser) -> bool:
    """Whether it was on."""
    StaticDevice.objects.filter(user=user).delete()
    deleted, _ = Authenticator.objects.filter(user=user, confirmed=True).delete()
    return bool(deleted)


@transaction.atomic
def new_recovery_codes(user: AbstractBaseUser) -> list[str]:
    """Ten, instead of those before. They are nowhere afterwards."""
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="Codes to recover with")
    codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=digest(c)) for c in codes)
    return [f"{code[:4]}-{code[4:]}" for code in codes]
