"""What a page loads and has inline."""

import re
from pathlib import Path

from django.conf import settings

from config.http.hashed_files import plain_name

LOADS = re.compile(
    r"<(?:script|link|img|iframe|use|source|form|input)\b[^>]*?(?:src|href|action)=\"([^\"]*)\""
)
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|\shx-on|javascript:", re.I)
STATIC = Path(settings.BASE_DIR) / "static"


def is_file(address: str) -> bool:
    """Returns whether one of our static files has this address, by its hashed or its plain name."""
    name = plain_name(address.removeprefix(settings.STATIC_URL).partition("#")[0])
    return (STATIC / name).is_file()
