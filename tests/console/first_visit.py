"""The bytes that a browser without a cache fetches for a page: files that it loads at once."""

import re
from posixpath import dirname, join, normpath

from django.conf import settings

from config.http.hashed_files import served_files

_LOADED = re.compile(r"<(?:script|link|img|use)\b[^>]*?(?:src|href)=\"([^\"#]+)")
_IMPORTED = re.compile(r"""(?:import|export)[^"'()]*["'](\.[^"']+)["']""")


def transferred(page: str) -> dict[str, int]:
    """Returns the bytes of each file as they are sent to a browser that takes gzip."""
    addresses = [each for each in _LOADED.findall(page) if each.startswith(settings.STATIC_URL)]
    waiting = [each.removeprefix(settings.STATIC_URL) for each in addresses]
    sizes: dict[str, int] = {}
    while waiting:
        if (name := waiting.pop()) in sizes:
            continue
        file = served_files().by_name[name]
        sizes[name] = len(file.compressed or file.content)
        if name.endswith(".js"):
            imports = _IMPORTED.findall(file.content.decode())
            waiting += [normpath(join(dirname(name), each)) for each in imports]
    return sizes
