"""The form of URLs to which the platform sends requests, and of those that name servers.

Django is not imported: the supervisor reads this before it is set up.
"""

import re
from urllib.parse import SplitResult, urlsplit

_PRINTABLE = re.compile(r"[!-~]+")
# A name of labels (RFC 1035, 2.3.4), or an address. Python's codec for names raises no OSError for
# another one, so that what asks several hosts would end with it.
_LABEL = r"[A-Za-z0-9_-]{1,63}"
_HOST = re.compile(rf"(?=.{{1,253}}$){_LABEL}(?:\.{_LABEL})*\.?|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")
_NETLOC = re.compile(r"[^/?#]*")


def split_servers(url: str) -> tuple[SplitResult, list[str]]:
    """Split a URL of PostgreSQL or Redis, which may list several hosts with commas in between.

    Returns its parts, with the first host alone, and all hosts with their ports. `urlsplit` since
    Python 3.13 refuses an IPv6 address after another host. Raises ValueError.
    """
    scheme, slashes, rest = url.partition("://")
    netloc = str(_NETLOC.match(rest)[0])  # type: ignore[index]  # it matches nothing, too
    user, at, hosts = netloc.rpartition("@")
    several = hosts.split(",")
    return urlsplit(f"{scheme}{slashes}{user}{at}{several[0]}{rest[len(netloc) :]}"), several


def url_problem(url: str) -> str:
    """Returns why nothing can be sent to this URL; "" if one can."""
    if not _PRINTABLE.fullmatch(url):  # urlsplit would remove line breaks
        return "the url holds a blank, a line break or a character beyond ASCII"
    try:
        parts = urlsplit(url)
        has_port = parts.port != 0  # it raises ValueError for an invalid port
    except ValueError:
        parts, has_port = urlsplit(""), False
    if parts.scheme not in ("http", "https") or not parts.hostname or not has_port:
        return "the url must begin with http:// or https:// and name a host"
    if not _HOST.fullmatch(parts.hostname):
        return "the url must name its host by a name or an address"
    if "@" in parts.netloc:  # pages and the trail would show it
        return "put no user name and no password into the url: the engine's key goes into api_key"
    return ""
