"""API keys as text: `sk-fb-<id>-<secret>-<checksum>`; keys of operators begin with `sk-fbop-`.

The checksum distinguishes a typo from a wrong key without a query (GitHub's idea). The database
stores only HMAC-SHA256(pepper, key), so a stolen dump contains no usable key.
"""

import hmac
import re
import secrets
import string
import zlib
from dataclasses import dataclass, field
from hashlib import sha256

from django.conf import settings

PREFIX, OPERATOR_PREFIX = "sk-fb-", "sk-fbop-"  # neither begins with the other
_ALPHABET = string.ascii_letters + string.digits
_ANY = re.compile(r"sk-[A-Za-z0-9_-]{16,}")
_ID, _SECRET, _CHECKSUM = 12, 43, 6  # 43 characters of 62: 256 bits


@dataclass(frozen=True, slots=True)
class SecretKey:
    public_id: str
    text: str = field(repr=False)

    @property
    def digest(self) -> bytes:
        return digest(self.text)


def mint(prefix: str = PREFIX) -> SecretKey:
    public_id, secret = _random(_ID), _random(_SECRET)
    stem = f"{prefix}{public_id}-{secret}"
    return SecretKey(public_id, f"{stem}-{_checksum(stem)}")


def well_formed(text: str, prefix: str = PREFIX) -> bool:
    stem, dash, checksum = text.rpartition("-")
    return (
        bool(dash)
        and text.isascii()
        and stem.startswith(prefix)
        and hmac.compare_digest(_checksum(stem), checksum)
    )


def hidden(text: str) -> str:
    """Returns the text without API keys, of any provider, that somebody pasted by mistake."""
    return _ANY.sub("sk-…", text)


def digest(text: str) -> bytes:
    return hmac.digest(settings.API_KEY_PEPPER, text.encode(), sha256)


def _random(length: int) -> str:
    return "".join(secrets.choice(_ALPHABET) for _ in range(length))


def _checksum(stem: str) -> str:
    number, digits = zlib.crc32(stem.encode()), ""
    for _ in range(_CHECKSUM):
        number, digit = divmod(number, len(_ALPHABET))
        digits += _ALPHABET[digit]
    return digits
