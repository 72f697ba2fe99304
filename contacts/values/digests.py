"""Digests of phones: they recognise a phone without storing the phone in readable form.

A person who was erased, or who opted out, must be recognised when a later import brings the same
phone again. The digest makes this possible, and the table of digests shows no phone.
"""

import hmac
from functools import lru_cache

from django.conf import settings

from tenants.keys import lasting_hmac


def phone_digest(phone: str) -> str:
    """The digest of a phone: HMAC-SHA256 with a key from `DATA_KEY`, as 64 hexadecimal digits.

    `phone`: in E.164.

    Without the key, nobody can find the phone by trying all phones. If `DATA_KEY` changes, the
    stored digests recognise no phone any more.
    """
    digest = keyed_hash(settings.DATA_KEY).copy()
    digest.update(phone.encode())
    return digest.hexdigest()


@lru_cache
def keyed_hash(data_key: str) -> hmac.HMAC:
    """The hash with its key and without data; callers must copy the hash before they add data.

    The hash is cached, because imports make millions of digests, and deriving the key takes longer
    than the digest itself.
    """
    return lasting_hmac("contacts.Erasure", "", "sha256")
