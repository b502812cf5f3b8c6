"""The session of a request: what its client calls the conversation or the task that it belongs to.

Coding agents name it in a header, some in a field of the body; FOREBAY_SESSION_NAMES says where to
look. The name is never stored. A keyed hash of it and of its person stands in for it: nobody can
tell the name from that, and nobody else's session of the same name is the same one.
"""

import hmac
import re
from collections.abc import Callable
from hashlib import sha256
from uuid import UUID

from django.conf import settings

from inference.errors import BadRequest
from inference.validation.schemas import Body
from tenants.caller import Caller

LONGEST = 256  # characters of a name
LONGEST_USER_ID = 512  # characters: a longer one is not searched
USER_ID, CACHE_KEY = "metadata.user_id", "prompt_cache_key"
# Claude-style agents put it into `metadata.user_id`: `user_…_account_…_session_ID`, or in JSON.
_IN_USER_ID = re.compile(r'(?:_session_|"session_id"\s*:\s*")([A-Za-z0-9_.:-]{8,128})(?:"|$)')


def named_in(header: Callable[[str], str | None]) -> str | None:
    """Returns the session that the first header of those there names. Raises BadRequest."""
    for name in settings.SESSION_HEADERS:
        if text := header(name):
            return _checked(text, name)
    return None


def of(caller: Caller, name: str | None, body: Body) -> UUID | None:
    """Returns the session that a header or else the checked body names; None for no session."""
    name = name or _in_body(body)
    if name is None:
        return None
    owner = caller.tenant_id.bytes + caller.subject_id.bytes
    digest = hmac.digest(settings.API_KEY_PEPPER, b"session|" + owner + name.encode(), sha256)
    return UUID(bytes=digest[:16])


def _in_body(body: Body) -> str | None:
    for field in settings.SESSION_FIELDS:
        if name := _user_id(body) if field == USER_ID else body.get(CACHE_KEY):
            return str(name)
    return None


def _user_id(body: Body) -> str | None:
    """Returns the part of `user`, which Anthropic's `metadata.user_id` is here, that names it."""
    user = body.get("user")
    if not isinstance(user, str) or len(user) > LONGEST_USER_ID:
        return None
    match = _IN_USER_ID.search(user)
    return match[1] if match else None


def _checked(text: str, name: str) -> str:
    if len(text) > LONGEST or not (text.isascii() and text.isprintable()):
        what = f"{name} must have {LONGEST} printable ASCII characters at most"
        raise BadRequest(what, param=name)
    return text
