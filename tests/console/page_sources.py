"""What a page loads and has inline."""

import re
from pathlib import Path

from django.conf import settings

LOADS = re.compile(
    r"<(?:script|link|img|iframe|use|source|form|input)\b[^>]*?(?:src|href|action)=\"([^\"]*)\""
)
INLINE = re.compile(r"<script(?![^>]*\bsrc=)|<style|\sstyle=|\son\w+=|\shx-on|javascript:", re.I)
STATIC = Path(settings.BASE_DIR) / "static"
