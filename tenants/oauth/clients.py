"""OAuth clients: what a client may say about itself, and how long unused clients are kept.

A client belongs to no tenant: anybody may register one, and it can do nothing before a person of a
tenant connects it.
"""

import re
from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

from django.core.exceptions import ValidationError
from django.db.models import Exists, OuterRef, QuerySet
from django.urls import reverse
from django.utils import timezone
from oauth2_provider.cimd import CIMDError, SafeMetadataFetcher
from oauth2_provider.models import Application, Grant, clear_expired

from ..models import ApiToken

LOOPBACK = {"localhost", "127.0.0.1", "::1"}
MAX_URIS, MAX_URI_LENGTH, MAX_NAME_LENGTH = 10, 500, 100
MAX_UNUSED = 1000  # registered clients that nobody has connected
KEPT_UNUSED = timedelta(days=1)
CODE_CHALLENGE = re.compile(r"\A[A-Za-z0-9_-]{43}\Z")  # of S256 (RFC 7636, 4.2)


def is_safe_redirect(uri: str) -> bool:
    """Whether codes may be sent to `uri`: by https, or to a program on the person's own computer
    (RFC 8252, 7.3). Others on the way could read a code that is sent by http. A fragment is not
    allowed (RFC 6749, 3.1.2)."""
    try:
        parts = urlsplit(uri)
    except ValueError:  # such as a broken IPv6 address
        return False
    if "#" in uri:
        return False
    if parts.scheme == "https":
        return bool(parts.hostname)
    return parts.scheme == "http" and parts.hostname in LOOPBACK


def checked_name(name: Any) -> str:
    """The name of a client, for people. Raises `ValidationError`.

    Without control characters and marks of writing direction: the database does not store some of
    them, and others would let a name imitate the sentence around it.
    """
    if not isinstance(name, str) or len(name) > MAX_NAME_LENGTH or not name.isprintable():
        raise ValidationError(
            f"client_name must be a text of at most {MAX_NAME_LENGTH} visible characters."
        )
    return name.strip()


def checked_uris(uris: Any) -> list[str]:
    """The addresses that codes may be sent to. Raises `ValidationError`."""
    if not isinstance(uris, list) or not 1 <= len(uris) <= MAX_URIS:
        raise ValidationError(f"redirect_uris must be a list of 1 to {MAX_URIS} addresses.")
    for uri in uris:
        is_text = isinstance(uri, str) and uri.isascii() and uri.isprintable() and " " not in uri
        if not is_text or len(uri) > MAX_URI_LENGTH or not is_safe_redirect(uri):
            raise ValidationError(
                "Each of redirect_uris must begin with https://, http://localhost,"
                " http://127.0.0.1 or http://[::1], and must not contain #."
            )
    return uris


def unused() -> QuerySet[Application]:
    """The clients that registered themselves and that nobody has connected or is connecting."""
    itself = {"application": OuterRef("pk")}
    return (
        Application.objects.exclude(registration_source=Application.RegistrationSource.MANUAL)
        .exclude(Exists(ApiToken.objects.filter(**itself)))
        .exclude(Exists(Grant.objects.filter(**itself)))
    )


def delete_expired() -> None:
    """Deletes codes and tokens that nobody can use any more, and clients that nobody has connected
    within a day. For a job that runs every hour."""
    clear_expired()
    unused().filter(created__lt=timezone.now() - KEPT_UNUSED).delete()


# Client ID Metadata Documents: clients whose id is the address of a document about them


class FromConsentPage:
    """Only a person who is logged in makes the server fetch the document of a client."""

    def has_permission(self, request: Any, client_id: str) -> bool:
        return bool(request.uri.startswith(reverse("oauth2_provider:authorize")))


class MetadataFetcher(SafeMetadataFetcher):
    """The toolkit's fetcher, which reaches public addresses only. Checks the document like a
    registration."""

    def fetch(self, client_id: str) -> tuple[dict[str, Any], int]:
        document, max_age = super().fetch(client_id)
        try:
            checked_name(document.get("client_name", ""))
            checked_uris(document.get("redirect_uris"))
        except ValidationError as error:
            raise CIMDError(error.message) from error
        return document, max_age
