"""Which IP addresses a webhook may be sent to: public ones, and those that the operator allows
(OWASP, Server Side Request Forgery Prevention)."""

import re
import unicodedata
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from urllib.parse import unquote

from django.conf import settings
from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

NOT_PUBLIC = gettext_noop("%(address)s is not a public address.")


class Forbidden(OSError):
    """An address that deliveries may not reach: a private address, which is one of this machine, of
    its network or of a cloud's metadata service; or, without encryption, a public address."""


# Networks that are not public, but that `is_global` of some Python from 3.11 to 3.14 takes for
# public: each Python knows IANA's registries of special-purpose addresses as of its release.
PRIVATE = [
    ip_network(network)
    for network in (
        "168.63.129.16",  # Azure's own (learn.microsoft.com, What is IP address 168.63.129.16?)
        "192.0.0.0/24",  # for protocols, and Oracle's metadata
        "192.88.99.0/24",  # relays of 6to4, withdrawn (RFC 7526)
        "2001::/23",  # for protocols (RFC 2928); Teredo is in here too, see `embedded`
        "2001:db8::/32",  # documentation (RFC 3849)
        "3fff::/20",  # documentation (RFC 9637)
    )
]
ALLOCATED_IPV6 = ip_network("2000::/3")  # all public IPv6 so far (IANA, IPv6 Address Space)
NAT64 = ip_network("64:ff9b::/96")  # RFC 6052
# A host that some resolver reads as an IP address (WHATWG, URL, "ends in a number").
NUMBER = re.compile(r"(.*\.)?(\d+|0x[0-9a-f]*)\.?", re.IGNORECASE)


def is_plain(scheme: str) -> bool:
    """Whether a URL with this scheme sends people's data unencrypted. Such a URL may only lead into
    `settings.WEBHOOK_ALLOWED_NETWORKS`. With `settings.DEBUG`, http is treated like https."""
    return scheme == "http" and not settings.DEBUG


def check_address(text: str, *, plain: bool = False) -> None:
    """Raises `Forbidden` if the IP address is neither public nor in
    `settings.WEBHOOK_ALLOWED_NETWORKS`, and `ValueError` if `text` is no IP address.

    An IPv6 address that carries IPv4 addresses is judged by these. `plain`: without encryption, the
    address must be in the allowed networks.
    """
    address = ip_address(text.partition("%")[0])  # fe80::1%eth0 names an interface (RFC 4007)
    for target in [address, *embedded(address)]:
        if embedded(target) or is_allowed(target):
            continue
        if is_private(target):
            raise Forbidden(_(NOT_PUBLIC) % {"address": text})
        if plain:
            raise Forbidden(
                _("%(address)s is not in WEBHOOK_ALLOWED_NETWORKS; use https.") % {"address": text}
            )


def is_allowed(address: IPv4Address | IPv6Address) -> bool:
    return any(address in network for network in settings.WEBHOOK_ALLOWED_NETWORKS)


def is_private(address: IPv4Address | IPv6Address) -> bool:
    special = any(address in network for network in PRIVATE)
    allocated = address.version == 4 or address in ALLOCATED_IPV6
    return not address.is_global or address.is_multicast or special or not allocated


def embedded(address: IPv4Address | IPv6Address) -> list[IPv4Address]:
    """The IPv4 addresses that an IPv6 address leads to: IPv4-mapped, 6to4, Teredo and NAT64."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    if address in NAT64:
        found.append(IPv4Address(int(address) & 0xFFFFFFFF))
    return [ipv4 for ipv4 in found if ipv4]


def check_host(host: str, *, plain: bool = False) -> None:
    """`check_address` for a host that may also be a name. A name is not looked up.

    The host is read as HTTP clients read it: `127。0。0。1`, full-width digits and `%31` also lead
    to an address (UTS #46, and WHATWG, URL, "host parsing").
    """
    normal = unicodedata.normalize("NFKC", unquote(host)).replace("。", ".")
    try:
        check_address(normal, plain=plain)
    except ValueError:
        if NUMBER.fullmatch(normal):
            raise Forbidden(_(NOT_PUBLIC) % {"address": host}) from None
