"""Tenants, their users, and the API tokens of the users.

One module, because the migrations refer to its functions and the three models refer to each other.
"""

import hashlib
import re
import secrets
import string
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from graphlib import TopologicalSorter
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractUser, BaseUserManager, Group
from django.core.exceptions import ValidationError
from django.db import InternalError, OperationalError, models, transaction
from django.db.models.functions import Lower
from django.dispatch import Signal
from django.utils import timezone
from django.utils.functional import cached_property
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy
from phonenumbers import SUPPORTED_REGIONS

from .fields import ULIDField, new_ulid
from .keys import lasting_hmac
from .languages import validate_language
from .time_zones import validate_time_zone
from .two_factor import Authenticator
from .verbose_names import set_verbose_names


def validate_region(value: str) -> None:
    if value not in SUPPORTED_REGIONS:
        raise ValidationError(_("Use a two-letter country code of ISO 3166-1, such as US or FR."))


UNKNOWN_ADDRESS = "::"  # the address of a login whose caller has none
DELETE_BATCH = 20_000  # rows per DELETE statement
# Sent for each tenant that is deleted, in the transaction, before the rows of the tenants are
# locked. Argument: `tenant_id`.
deletion = Signal()


class TenantQuerySet(models.QuerySet["Tenant"]):
    @transaction.atomic
    def delete(self) -> tuple[int, dict[str, int]]:
        """Deletes the tenants with all their rows, table by table. Raises `ProtectedError` if a
        tenant still has users. Returns the number of rows, in total and per model.

        Django's own cascade would load a model instance for each row: gigabytes of memory for a
        million contacts.
        """
        for tenant_id in self.order_by("pk").values_list("pk", flat=True):
            deletion.send(Tenant, tenant_id=tenant_id)
        tenants = list(self.select_for_update().order_by("pk"))
        users: set[models.Model] = {*User.objects.filter(tenant__in=tenants)}
        if users:
            raise models.ProtectedError("These tenants still have users.", users)
        counts = Counter[str]()
        for model in models_of_tenants():
            for tenant in tenants:
                theirs = model._base_manager.using(self.db).filter(tenant=tenant)
                counts[model._meta.label] += delete_rows(theirs)
        same = Tenant.objects.using(self.db).filter(pk__in=[tenant.pk for tenant in tenants])
        _, own = super(TenantQuerySet, same).delete()
        counts += Counter(own)  # adding also removes the models with a count of zero
        return counts.total(), dict(counts)

    delete.alters_data = True  # type: ignore[attr-defined]
    delete.queryset_only = True  # type: ignore[attr-defined]


class Tenant(models.Model):
    """A workspace. A request can read and change only the rows of its caller's tenant."""

    id = ULIDField(primary_key=True, default=new_ulid, editable=False)
    name = models.CharField(max_length=255)
    slug = models.SlugField(
        unique=True, help_text=gettext_lazy("The name of the tenant in commands.")
    )
    default_region = models.CharField(
        max_length=2,
        blank=True,
        validators=[validate_region],
        help_text=gettext_lazy(
            "Country (US, FR, …) of phone numbers without +. Empty: such numbers are refused."
        ),
    )
    created_at = models.DateTimeField(auto_now_add=True)

    objects = TenantQuerySet.as_manager()

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name

    def delete(self, *args: Any, **kwargs: Any) -> tuple[int, dict[str, int]]:
        """See `TenantQuerySet.delete`."""
        return Tenant.objects.filter(pk=self.pk).delete()

    @transaction.atomic
    def save_with_user(self, user: "User | None" = None, groups: Sequence[Group] = ()) -> None:
        """Saves this new tenant and its first user, if there is one. Saves both or neither.

        `user`: not saved yet. `groups`: the groups of the user.
        """
        self.save()
        if user:
            user.tenant = self
            user.save()
            user.groups.set(groups)


@cache
def models_of_tenants() -> "list[type[models.Model]]":
    """The models whose rows are deleted with their tenant, in the order in which they can be
    deleted: a model comes before the models that it refers to."""
    found = [
        relation.related_model
        for relation in Tenant._meta.get_fields(include_hidden=True)
        if isinstance(relation, models.ManyToOneRel) and relation.on_delete is models.CASCADE
    ]
    referring = {
        model: [other for other in found if other is not model and refers(other, model)]
        for model in found
    }
    return [*TopologicalSorter(referring).static_order()]


def refers(model: type[models.Model], other: type[models.Model]) -> bool:
    """Whether a column of `model` refers to rows of `other`."""
    return any(field.related_model is other for field in model._meta.concrete_fields)


def delete_rows(rows: models.QuerySet) -> int:
    """Deletes `rows` of one table, and returns their number. No other row may refer to them.

    Deletes in batches, in the order of the primary key: one statement for all rows would take
    longer than the time limit of a request's statements.
    """
    number, ordered = 0, rows.order_by("pk")
    while True:
        edge = ordered.values_list("pk", flat=True)[DELETE_BATCH - 1 : DELETE_BATCH].first()
        some = rows if edge is None else rows.filter(pk__lte=edge)
        number += some.order_by()._raw_delete(rows.db)
        if edge is None:
            return number
        rows, ordered = rows.filter(pk__gt=edge), ordered.filter(pk__gt=edge)


class UserManager(BaseUserManager["User"]):
    """Finds users by e-mail address, without regard to case."""

    use_in_migrations = True

    @classmethod
    def normalize_email(cls, email: str | None) -> str:
        """The whole address in lower case, so that two accounts never differ only in case.

        Django's own method changes the domain only.
        """
        return (email or "").strip().lower()

    def get_by_natural_key(self, username: str | None) -> "User":
        return self.get(email=self.normalize_email(username))

    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Saves a new user. Without a password, the user can have API tokens but cannot log in."""
        user = self.model(email=self.normalize_email(email), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user

    def create_superuser(self, email: str, password: str | None = None, **fields: Any) -> "User":
        return self.create_user(email, password, is_staff=True, is_superuser=True, **fields)


class User(AbstractUser):
    """A person or a program that works for a tenant. People log in with their e-mail address."""

    username = None  # type: ignore[assignment]
    first_name = None  # type: ignore[assignment]
    last_name = None  # type: ignore[assignment]
    email = models.EmailField(unique=True)
    name = models.CharField(max_length=255, blank=True)
    tenant = models.ForeignKey(Tenant, models.PROTECT, related_name="users", null=True, blank=True)
    time_zone = models.CharField(
        max_length=64,
        blank=True,
        default="",
        db_default="",
        validators=[validate_time_zone],
        help_text=gettext_lazy("Days and times of the admin are in this zone."),
    )
    language = models.CharField(
        max_length=16,
        blank=True,
        default="",
        db_default="",
        validators=[validate_language],
        help_text=gettext_lazy("The admin and e-mails are in this language."),
    )

    USERNAME_FIELD = "email"
    REQUIRED_FIELDS = []

    objects = UserManager()  # type: ignore[misc,assignment]

    class Meta:
        ordering = ["email"]
        constraints = [
            models.CheckConstraint(
                condition=models.Q(email=Lower("email")), name="user_email_lower"
            ),
        ]

    def __str__(self) -> str:
        return self.email

    def get_full_name(self) -> str:
        return self.name or self.email

    def get_short_name(self) -> str:
        return self.get_full_name()

    @cached_property
    def authenticator(self) -> Authenticator | None:
        """The app whose codes the login asks for; None if two-factor login is off."""
        return Authenticator.objects.filter(user=self, confirmed=True).first()


class KnownAddressQuerySet(models.QuerySet["KnownAddress"]):
    KEPT = 20  # addresses per user

    def of_name(self, name: str) -> set[str]:
        """The digests of the addresses from which the user `name` has logged in; empty if there is
        no such user."""
        return {*self.filter(user__email=name).values_list("digest", flat=True)}

    def remember(self, user: User, address: str) -> None:
        """Records that `user` has logged in from `address`, and forgets all but the latest `KEPT`
        addresses of this user. An unknown address is not recorded: anybody may have it."""
        if address == UNKNOWN_ADDRESS:
            return
        digest = self.model.digest_of(address)
        self.update_or_create(user=user, digest=digest, defaults={"last_login_at": timezone.now()})
        latest = self.filter(user=user).order_by("-last_login_at").values_list("pk", flat=True)
        self.filter(user=user).exclude(pk__in=[*latest[: self.KEPT]]).delete()


class KnownAddress(models.Model):
    """An address from which a user has logged in to the admin. Failed logins from other addresses
    never keep the user out at this address (`tenants.login_limits`).

    Only a keyed digest (HMAC with DATA_KEY) is stored, so that a copy of the database does not
    show where people live and work.
    """

    user = models.ForeignKey(User, models.CASCADE, related_name="known_addresses")
    digest = models.CharField(max_length=64, editable=False)
    last_login_at = models.DateTimeField(editable=False)

    objects = KnownAddressQuerySet.as_manager()

    class Meta:
        default_permissions = ()
        verbose_name_plural = "known addresses"
        constraints = [
            models.UniqueConstraint(fields=["user", "digest"], name="known_address_unique"),
        ]

    def __str__(self) -> str:
        return _("last login %(date)s") % {"date": f"{self.last_login_at:%Y-%m-%d}"}

    @staticmethod
    def digest_of(address: str) -> str:
        return lasting_hmac("tenants.KnownAddress", address, "sha256").hexdigest()


def all_scopes() -> list[str]:
    return list(ApiToken.Scope.values)


# Earlier and later dates are typing errors. Within these, every time zone and database can show the
# date: Python's own limits overflow when a time zone is applied.
FIRST_DAY, LAST_DAY = date(1900, 1, 1), date(2999, 12, 31)
LATEST = datetime.combine(LAST_DAY, time.max, UTC)


class ApiTokenQuerySet(models.QuerySet["ApiToken"]):
    def issue(self, user: User, name: str, **fields: Any) -> "ApiToken":
        """Saves a new token. Only the returned object has its `plaintext`; it is stored nowhere.

        `fields`: `expires_at` (default: never), `rate_limit` (requests per minute; default: the
        limit of the installation) and `scopes` (default: all).
        """
        token = ApiToken(user=user, name=name, **fields)
        token.make_secret()
        token.save(using=self.db)
        return token

    def alive(self) -> "ApiTokenQuerySet":
        """Tokens that are not revoked, and whose user is not disabled. The token of a connected app
        also needs its access token, a user who is still staff, and an installation where OAuth is
        on."""
        alive = models.Q(application=None)
        if settings.OAUTH:
            alive |= models.Q(access_token__isnull=False, user__is_staff=True)
        return self.filter(alive, revoked_at=None, user__is_active=True)

    def usable(self) -> "ApiTokenQuerySet":
        """Tokens that are alive and not expired."""
        return self.alive().filter(
            models.Q(expires_at=None) | models.Q(expires_at__gt=timezone.now())
        )

    def connections_of(self, user: User) -> "ApiTokenQuerySet":
        """The apps that `user` has connected by OAuth and that can still renew their token."""
        return self.alive().filter(user=user, application__isnull=False)

    def for_digests(self, digests: Iterable[str]) -> "ApiTokenQuerySet":
        """The usable tokens with these digests, with their users and tenants, in one statement."""
        return self.usable().select_related("user__tenant").filter(digest__in=digests).order_by()


class ApiToken(models.Model):
    """A secret with which a program acts as a user. Only its SHA-256 digest is stored.

    The access token of an app that a person has connected by OAuth is such a token too: one row for
    each connection, in which each refresh replaces the secret. So scopes, rate limit, revocation,
    last use and the author in the change log are the same for all tokens.

    A token has 43 random characters from an alphabet of 62, which is 256 bits. Nobody can guess
    that, so a fast hash without salt is enough; OWASP's Password Storage Cheat Sheet asks for slow
    hashes because people choose weak passwords. The time that a look-up of the digest in the index
    takes does not help an attacker: it says nothing about the token.
    """

    PREFIX = "qyvo_"  # so that secret scanners find leaked tokens
    VISIBLE = len(PREFIX) + 6
    LENGTH = len(PREFIX) + 43
    ALPHABET = string.ascii_letters + string.digits
    SHAPE = re.compile(rf"{PREFIX}[A-Za-z0-9]{{{LENGTH - len(PREFIX)}}}")
    LAST_USED_PRECISION = timedelta(minutes=1)

    class Scope(models.TextChoices):
        """What a token may do. The API shows these names (RFC 6749, 3.3)."""

        READ = "contacts:read", gettext_lazy("Read contacts, tags and changes")
        WRITE = "contacts:write", gettext_lazy("Create and change contacts")
        DELETE = "contacts:delete", gettext_lazy("Delete contacts")
        IMPORTS = "imports", gettext_lazy("Import files")

    user = models.ForeignKey(User, models.CASCADE, related_name="tokens")
    name = models.CharField(
        max_length=100,
        help_text=gettext_lazy("The program that uses the token: “n8n”, “shop”, …"),
    )
    prefix = models.CharField(max_length=VISIBLE, editable=False)
    digest = models.CharField(max_length=64, unique=True, editable=False)
    created_at = models.DateTimeField(auto_now_add=True)
    last_used_at = models.DateTimeField(null=True, editable=False)
    expires_at = models.DateTimeField(null=True, blank=True)
    rate_limit = models.PositiveIntegerField(
        null=True,
        blank=True,
        help_text=gettext_lazy(
            "Requests per minute. Empty: the default of this installation. 0: no limit."
        ),
    )
    # `db_default`: during an upgrade the previous version still inserts tokens without this column.
    scopes = models.JSONField(
        default=all_scopes,
        db_default=models.Value(Scope.values, models.JSONField()),
    )
    revoked_at = models.DateTimeField(null=True, editable=False)
    replaces = models.OneToOneField(
        "self", models.SET_NULL, null=True, editable=False, related_name="replaced_by"
    )

    # Of a connected app: the client, and the toolkit's row of the access token. The toolkit deletes
    # this row when the app revokes it or a refresh token is used twice; then this token ends too.
    application = models.ForeignKey(
        "oauth2_provider.Application",
        models.CASCADE,
        null=True,
        editable=False,
        related_name="+",
    )
    access_token = models.OneToOneField(
        "oauth2_provider.AccessToken",
        models.SET_NULL,
        null=True,
        editable=False,
        related_name="+",
    )

    plaintext: str  # set by `make_secret`, never stored

    objects = ApiTokenQuerySet.as_manager()

    class Meta:
        ordering = ["-created_at"]
        verbose_name = "API token"

    def __str__(self) -> str:
        return f"{self.name} ({self.prefix}…)"

    @property
    def actor(self) -> str:
        """The name of this token as the author of a change, in the change log."""
        return f"token:{self.prefix}"

    def lacking(self, scopes: Iterable[str]) -> list[str]:
        """The scopes of `scopes` that this token does not have."""
        return [scope for scope in scopes if scope not in self.scopes]

    @staticmethod
    def digest_of(plaintext: str) -> str:
        return hashlib.sha256(plaintext.encode()).hexdigest()

    def make_secret(self) -> None:
        """Sets a new random `plaintext`, with its `prefix` and `digest`. Does not save.

        The new secret of a connected app begins with the same `prefix`, by which the change log
        names the app; 37 of the 43 characters, 220 bits, are new.
        """
        beginning = self.prefix or self.PREFIX
        missing = self.LENGTH - len(beginning)
        self.plaintext = beginning + "".join(secrets.choice(self.ALPHABET) for _ in range(missing))
        self.prefix = self.plaintext[: self.VISIBLE]
        self.digest = self.digest_of(self.plaintext)

    def touch(self) -> None:
        """Updates `last_used_at`, at most once a minute: otherwise each read request would write.

        Ignores the error if the database is read-only or the row is locked: otherwise requests that
        only read would fail with 503.
        """
        now = timezone.now()
        if self.last_used_at is None or self.last_used_at <= now - self.LAST_USED_PRECISION:
            self.last_used_at = now  # the object is shared by requests
            with suppress(InternalError, OperationalError):
                ApiToken.objects.filter(pk=self.pk).update(last_used_at=now)

    @property
    def is_usable(self) -> bool:
        is_expired = self.expires_at is not None and self.expires_at <= timezone.now()
        return self.revoked_at is None and not is_expired

    @transaction.atomic
    def rotate(self, overlap: timedelta) -> "ApiToken":
        """Issues a new token that replaces this one, and returns it with its `plaintext`.

        This token works for `overlap` longer and then expires; with an overlap of zero it is
        revoked at once. The new token has the same scopes, rate limit and lifetime. Raises
        `ValueError` with a message for people if this token is revoked, expired, already replaced,
        or belongs to a connected app.
        """
        old = ApiToken.objects.select_for_update().get(pk=self.pk)
        if old.application_id:
            raise ValueError(_("A connected app renews its token itself."))
        if not old.is_usable:
            raise ValueError(_("This token is revoked or expired. Issue a new token."))
        if ApiToken.objects.filter(replaces=old).exists():
            raise ValueError(_("This token is already replaced. Rotate the new token."))
        now = timezone.now()
        lifetime = old.expires_at and old.expires_at - old.created_at
        fields = {
            "rate_limit": old.rate_limit,
            "scopes": old.scopes,
            "expires_at": lifetime and min(now + lifetime, LATEST),
        }
        new = ApiToken.objects.issue(old.user, old.name, replaces=old, **fields)
        end = min(filter(None, [old.expires_at, now + overlap]))
        ApiToken.objects.filter(pk=old.pk).update(expires_at=end)
        if not overlap:
            old.revoke()
        return new

    def revoke(self) -> None:
        """Ends the token: each process refuses it within one second (`authentication.Tokens`).
        Idempotent; `revoked_at` keeps the first time."""
        ApiToken.objects.filter(pk=self.pk, revoked_at=None).update(revoked_at=timezone.now())
        self.refresh_from_db(fields=["revoked_at"])


set_verbose_names(
    Tenant,
    one=gettext_lazy("tenant"),
    many=gettext_lazy("tenants"),
    id=gettext_lazy("id"),
    name=gettext_lazy("name"),
    slug=gettext_lazy("slug"),
    default_region=gettext_lazy("default region"),
    created_at=gettext_lazy("created at"),
)
set_verbose_names(
    User,
    one=gettext_lazy("user"),
    many=gettext_lazy("users"),
    email=gettext_lazy("email"),
    name=gettext_lazy("name"),
    tenant=gettext_lazy("tenant"),
    time_zone=gettext_lazy("time zone"),
    language=gettext_lazy("language"),
)
set_verbose_names(
    KnownAddress,
    one=gettext_lazy("known address"),
    many=gettext_lazy("known addresses"),
    user=gettext_lazy("user"),
    digest=gettext_lazy("digest"),
    last_login_at=gettext_lazy("last login at"),
)
set_verbose_names(
    ApiToken,
    one=gettext_lazy("API token"),
    many=gettext_lazy("API tokens"),
    user=gettext_lazy("user"),
    name=gettext_lazy("name"),
    prefix=gettext_lazy("prefix"),
    digest=gettext_lazy("digest"),
    created_at=gettext_lazy("created at"),
    last_used_at=gettext_lazy("last used at"),
    expires_at=gettext_lazy("expires at"),
    rate_limit=gettext_lazy("rate limit"),
    scopes=gettext_lazy("scopes"),
    revoked_at=gettext_lazy("revoked at"),
    replaces=gettext_lazy("replaces"),
    application=gettext_lazy("application"),
    access_token=gettext_lazy("access token"),
)
