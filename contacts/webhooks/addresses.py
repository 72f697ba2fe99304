"""Which addresses a webhook may have: public ones only."""

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any
from urllib.parse import unquote, urlsplit

from django.conf import settings

from contacts.models.webhook import MAX_URL
from contacts.values import rules

# Where to


class Forbidden(OSError):
    """An address inside: of this machine, its network, or what a cloud tells its machines."""


# Networks that are not public, though some Python from 3.11 to 3.14 takes them for public ones.
# Each Python knows IANA's registries of special-purpose addresses of the time of its release.
INSIDE = [
    ip_network(network)
    for network in (
        "168.63.129.16",  # Azure's own (learn.microsoft.com, What is IP address 168.63.129.16?)
        "192.0.0.0/24",  # for protocols, and Oracle's metadata
        "192.88.99.0/24",  # relays of 6to4, withdrawn (RFC 7526)
        "2001::/23",  # for protocols (RFC 2928), Teredo aside: see `embedded`
        "2001:db8::/32",  # documentation (RFC 3849)
        "3fff::/20",  # documentation (RFC 9637)
    )
]
OUTSIDE = ip_network("2000::/3")  # all that is given out of IPv6 (IANA, IPv6 Address Space)
NAT64 = ip_network("64:ff9b::/96")  # RFC 6052
# What looks like a number to one of those who look names up (WHATWG, URL, "ends in a number").
NUMBER = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)\.?", re.IGNORECASE)


def check_address(text: str) -> None:
    """Raises `Forbidden` for an IP address that is not a public one, written in any way that
    leads there (OWASP, Server Side Request Forgery Prevention), nor in
    `settings.WEBHOOK_ALLOWED_NETWORKS`; `ValueError` for what is none."""
    address = ip_address(text.partition("%")[0])
    for meant in [address, *embedded(address)]:
        allowed = any(meant in network for network in settings.WEBHOOK_ALLOWED_NETWORKS)
        if is_inside(meant) and not allowed and not embedded(meant):
            raise Forbidden(f"{text} is not a public address.")


def is_inside(address: IPv4Address | IPv6Address) -> bool:
    special = any(address in network for network in INSIDE)
    given_out = address.version == 4 or address in OUTSIDE
    return not address.is_global or address.is_multicast or special or not given_out


def embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 one leads to."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [ipv4 for ipv4 in found if ipv4]


def check_host(host: str) -> None:
    """`check_address` for a host that may be a name, which is not looked at.

    The host is read as HTTP clients read it: `127。0。0。1`, full-width digits and `%31` lead to an
    address, too (UTS #46, and WHATWG, URL, "host parsing").
    """
    meant = unicodedata.normalize("NFKC", unquote(host)).replace("。", ".")
    try:
        check_address(meant)
    except ValueError:
        if NUMBER.fullmatch(meant):
            raise Forbidden(f"{host} is not a public address.") from None


def endpoint(raw: Any) -> str:
    """An address to send to: HTTPS, unless DEBUG; raises `ValueError`.

    Names are looked at when something is sent, for they may lead elsewhere by then.
    """
    url = rules.limited("url", raw, MAX_URL)
    try:
        parts = urlsplit(url)
        host, _ = parts.hostname, parts.port  # which is looked at when it is asked for
    except ValueError:
        host = None
    if not host or not url.isprintable() or not url.isascii() or " " in url:
        raise ValueError("The url must be an address such as https://shop.example.com/hooks.")
    if parts.scheme not in ("https", *["http"] * settings.DEBUG):
        raise ValueError("The url must begin with https://.")
    if "@" in parts.netloc:
        raise ValueError("The url cannot hold a user or a password; check the signature instead.")
    try:
        check_host(host)
    except Forbidden as error:
        raise ValueError(f"The url leads inside: {error}") from error
    return url
