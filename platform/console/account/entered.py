"""What a person had entered in a form when they were asked to prove who they are.

It comes back when they do, into the form, and is sent by them and nobody else: a stored act would
run unseen. Until then it lies encrypted in Redis, for ten minutes at most, and opens only in the
same session for the same person. Secrets are never kept. Without Redis nothing comes back.
"""

import base64
import re
from dataclasses import dataclass
from hashlib import sha256
from uuid import UUID

import msgspec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from django.conf import settings
from django.core.cache import cache
from django.http import HttpRequest

from audit.keys.cipher import Cipher, Unreadable

PAGE = "entered"  # in the session: the page that shows it again
MOST_BYTES = 32 * 1024
_SECRET = re.compile(
    r"password|secret|credential|(^|_)otp|(^|_)code$|token$|(^|_)api_key$", re.IGNORECASE
)
_cipher = Cipher(UUID(int=0), AESGCM(settings.STREAM_KEY))


class Entered(msgspec.Struct, frozen=True):
    """`action` is the path that the form is sent to."""

    action: str
    fields: list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class _Place:
    key: str
    bound_to: bytes


def keep(request: HttpRequest, page: str) -> bool:
    """For when the page, a path, is shown again. False where there is nothing to keep."""
    fields = [
        (name, value)
        for name in request.POST
        for value in request.POST.getlist(name)
        if not _SECRET.search(name)
    ]
    plain = msgspec.msgpack.encode(Entered(request.path, fields))
    if not any(value for _name, value in fields) or len(plain) > MOST_BYTES:
        return False
    place = _place(request)
    ciphertext = base64.b64encode(_cipher.encrypt(plain, place.bound_to)).decode()
    cache.set(place.key, ciphertext, settings.ACCOUNT_REAUTHENTICATION_TIMEOUT)
    request.session[PAGE] = page
    return True


def take(request: HttpRequest) -> Entered | None:
    """Once, by the page that it was entered on."""
    if request.method != "GET" or request.session.get(PAGE) != request.path:
        return None
    del request.session[PAGE]
    place = _place(request)
    ciphertext = cache.get(place.key)
    cache.delete(place.key)
    try:
        plain = _cipher.decrypt(base64.b64decode(ciphertext or ""), place.bound_to)
    except Unreadable:
        return None
    return msgspec.msgpack.decode(plain, type=Entered)


def _place(request: HttpRequest) -> _Place:
    session = sha256(str(request.session.session_key).encode()).hexdigest()
    return _Place(f"entered:{session}", f"entered|{session}|{request.user.pk}".encode())
