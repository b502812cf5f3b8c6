"""Texts in `encrypted_content`, which clients send back as they got them.

The client has the text anyway: it is encoded, not encrypted, so that nothing about it is stored and
any server reads it again.
"""

import base64
import binascii
from typing import Any

_MARK = "fb1."


def packed(text: str) -> str:
    return _MARK + base64.urlsafe_b64encode(text.encode()).decode()


def unpacked(content: Any) -> str | None:
    """Returns the text; None for content that another service made."""
    if not isinstance(content, str) or not content.startswith(_MARK):
        return None
    try:
        return base64.b64decode(content[len(_MARK) :], b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        return None
