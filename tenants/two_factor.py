"""The second factor of a login: a code of an authenticator app (TOTP, RFC 6238) or a recovery code.

django-otp checks the codes, accepts each code once, and makes the wait longer after each wrong
code. A copy of the database is not enough to make a code: the key of an app is derived from a
stored salt and DATA_KEY, and only keyed digests of recovery codes are stored.
"""

from base64 import b32encode
from typing import Any

import segno
from django.contrib.auth.base_user import AbstractBaseUser
from django.db import transaction
from django.http import HttpRequest
from django.utils.translation import gettext_lazy
from django_otp import DEVICE_ID_SESSION_KEY, verify_token
from django_otp.plugins.otp_static.models import StaticDevice, StaticToken
from django_otp.plugins.otp_totp.models import TOTPDevice

from tenants.keys import lasting_hmac
from tenants.verbose_names import set_verbose_names

RECOVERY_CODES = 10


class Authenticator(TOTPDevice):
    """The authenticator app of a user. The column `key` holds the salt of the key."""

    class Meta:
        proxy = True
        default_permissions = ()

    @property
    def bin_key(self) -> bytes:
        """The key: 20 bytes, as RFC 4226 (4, R6) recommends."""
        return lasting_hmac("tenants.Authenticator", f"{self.user_id} {self.key}").digest()

    @property
    def secret(self) -> str:
        """The key in base 32, to be typed into the app."""
        return b32encode(self.bin_key).decode()

    @property
    def qr_code(self) -> str:
        """The key as a QR code, an image in a `data:` URL."""
        return segno.make_qr(self.config_url).svg_data_uri(scale=5, light="white")


# The page that deletes a user names their devices.
set_verbose_names(
    TOTPDevice,
    one=gettext_lazy("TOTP device"),
    many=gettext_lazy("TOTP devices"),
)
set_verbose_names(
    Authenticator,
    one=gettext_lazy("authenticator"),
    many=gettext_lazy("authenticators"),
)
set_verbose_names(
    StaticDevice,
    one=gettext_lazy("static device"),
    many=gettext_lazy("static devices"),
)
set_verbose_names(
    StaticToken,
    one=gettext_lazy("static token"),
    many=gettext_lazy("static tokens"),
)


def is_verified(request: HttpRequest) -> bool:
    """Whether this session may use the admin: two-factor login of its user is off, or this session
    has entered a code since it was turned on."""
    app: Authenticator | None = request.user.authenticator  # type: ignore[union-attr]
    return app is None or request.session.get(DEVICE_ID_SESSION_KEY) == app.persistent_id


def normalized(code: str) -> str:
    """`code` without the spaces, dashes and capitals of people."""
    return "".join(code.split()).replace("-", "").lower()


def digest(code: str) -> str:
    """The stored digest of a recovery code: 16 characters, the length of the column."""
    return lasting_hmac("tenants.recovery_code", code).hexdigest()[:16]


def use_code(user: Any, code: str) -> bool:
    """Whether `code`, as typed, is a valid code of the user's app or a valid recovery code.

    A valid code is used up. After a wrong code, all codes are refused for one second; this time
    doubles with each further wrong code.
    """
    code = normalized(code)
    is_of_app = len(code) == 6 and code.isdecimal()
    device = user.authenticator if is_of_app else StaticDevice.objects.filter(user=user).first()
    if not code or device is None:
        return False
    token = code if is_of_app else digest(code)
    return verify_token(user, device.persistent_id, token) is not None


def start(user: AbstractBaseUser) -> Authenticator:
    """Saves a new app of the user, which does not count before `confirm`, and returns it."""
    Authenticator.objects.filter(user=user, confirmed=False).delete()
    return Authenticator.objects.create(user=user, name="App", confirmed=False)


def pending_app(user: AbstractBaseUser) -> Authenticator:
    """The latest app that is not confirmed yet; a new one if there is none."""
    return Authenticator.objects.filter(user=user, confirmed=False).last() or start(user)


@transaction.atomic
def confirm(user: AbstractBaseUser, code: str) -> Authenticator | None:
    """Turns two-factor login on if `code` is a code of the latest unconfirmed app. Returns the app,
    or None for a wrong code."""
    app: Authenticator | None = verify_token(
        user, pending_app(user).persistent_id, normalized(code)
    )
    if app:
        app.confirmed = True
        app.save(update_fields=["confirmed"])
        Authenticator.objects.filter(user=user).exclude(pk=app.pk).delete()
    return app


@transaction.atomic
def turn_off(user: AbstractBaseUser) -> bool:
    """Turns two-factor login off, also its recovery codes. Returns whether it was on."""
    StaticDevice.objects.filter(user=user).delete()
    deleted, _ = Authenticator.objects.filter(user=user, confirmed=True).delete()
    return bool(deleted)


@transaction.atomic
def new_recovery_codes(user: AbstractBaseUser) -> list[str]:
    """Ten new recovery codes, which replace the earlier ones. They cannot be read again later."""
    StaticDevice.objects.filter(user=user).delete()
    device = StaticDevice.objects.create(user=user, name="Recovery codes")
    codes = [StaticToken.random_token() for _ in range(RECOVERY_CODES)]
    StaticToken.objects.bulk_create(StaticToken(device=device, token=digest(c)) for c in codes)
    return [f"{code[:4]}-{code[4:]}" for code in codes]
