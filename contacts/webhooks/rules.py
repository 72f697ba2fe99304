"""Rules for what a caller enters for a webhook, shared by the API, the admin and commands."""

from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.utils.translation import gettext as _

from contacts.models import EVENTS, MAX_URL
from contacts.values import rules
from tenants.fields import parse_ulid

from .addresses import Forbidden, check_host, is_plain


def endpoint(raw: Any) -> str:
    """A URL to send deliveries to: with https, or with http into the networks that the operator
    allows.

    A host that is a name is not looked up here: by the time of a delivery, the name may point to
    another address, so `sender` checks the address that it connects to. Raises `ValueError`.
    """
    url = rules.limited("url", raw, MAX_URL)
    try:
        parts = urlsplit(url)
        host, _port = parts.hostname, parts.port  # reading a bad port raises ValueError
    except ValueError:
        host = None
    if not host or not url.isprintable() or not url.isascii() or " " in url:
        raise ValueError(_("The url must be an address such as https://shop.example.com/hooks."))
    plain = is_plain(parts.scheme)
    if parts.scheme not in ("https", "http") or (plain and not settings.WEBHOOK_ALLOWED_NETWORKS):
        raise ValueError(_("The url must begin with https://."))
    if "@" in parts.netloc:
        raise ValueError(
            _("The url cannot hold a user or a password; check the signature instead.")
        )
    try:
        check_host(host, plain=plain)
    except Forbidden as error:
        raise ValueError(
            _("The url points to an address that is not allowed: %(problem)s") % {"problem": error}
        ) from error
    return url


def delivery_id(raw: Any) -> str:
    """The id of a delivery, from a ULID in any case or from a UUID; empty if there is none. Raises
    `ValueError`."""
    text = rules.string("delivery_id", raw)
    try:
        return parse_ulid(text) if text else ""
    except ValueError as error:
        raise ValueError(_("The delivery_id must be a ULID or a UUID.")) from error


def events(raw: Any) -> list[str]:
    """Names of events, without repetitions and in the order of `EVENTS`; all events if none is
    named. Raises `ValueError`."""
    if raw in (None, "", []):
        return EVENTS
    if not isinstance(raw, list) or not all(isinstance(name, str) for name in raw):
        raise ValueError(_("The events must be a list of strings."))
    if unknown := [name for name in raw if name not in EVENTS]:
        known = ", ".join(EVENTS)
        raise ValueError(
            _("There is no event “%(event)s”; choose from %(known)s.")
            % {"event": unknown[0][:100], "known": known}
        )
    return [name for name in EVENTS if name in raw]
