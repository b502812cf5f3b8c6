"""Checks of URLs with a password.

A password that is not percent-encoded would be read as a part of the host or the port, and an error
message about them would show it.
"""

import re
from urllib.parse import urlsplit

ENCODE = (
    "its password must be percent-encoded: write # as %23, % as %25, / as %2F, ? as %3F, @ as %40, "
    "[ as %5B, a blank as %20"
)
_REDIS = ("redis", "valkey", "unix")
# URLs that libpq refuses with the password in its message.
_NOT_OF_LIBPQ = re.compile(r"\s|%(?![0-9A-Fa-f]{2})|%00|^[^/]*//[^/]*@[^/]*@")


def check(name: str, url: str) -> None:
    """Check a URL. Raises ValueError: one line for a person, without the URL."""
    if _breaks_off(url) or (not url.startswith(_REDIS) and _NOT_OF_LIBPQ.search(url)):
        raise ValueError(f"{name}: {ENCODE}")


def _breaks_off(url: str) -> bool:
    """Returns whether the part before the host ends too early."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return True
    return (
        bool(parts.fragment)
        or "@" in parts.path
        or ("@" in parts.query and "@" not in parts.netloc)
    )
