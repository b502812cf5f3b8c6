"""Form entries kept while a person proves their identity, and then put back into the form.

Meanwhile the entries lie encrypted in Redis, for ten minutes at most, and open once, only in the
same session for the same person. Secrets and files are not stored. Without Redis the form comes
back empty.

A whole form is sent again by the page itself (static/console/console.js), as the page of the proof
says: if the person comes straight from that page, and the form with its entries is the same as
before. The server never replays an act, so the form has a new CSRF token and shows its errors.
"""

import base64
import re
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
    """The entries of a form. `action` is the path that the form is sent to."""

    action: str
    fields: list[tuple[str, str]]
    is_whole: bool  # nothing was left out: no secret, no file
    by: str  # the method of the proof that the act needs; "" for any

    @property
    def is_empty(self) -> bool:
        return not any(value for _name, value in self.fields)


def save(request: HttpRequest, page: str, by: str = "") -> Entered | None:
    """Store the entries until `page`, a path, is shown again. Returns None if they are too long."""
    fields = [
        (name, value)
        for name in request.POST
        for value in request.POST.getlist(name)
        if name != "csrfmiddlewaretoken"
    ]
    public = [field for field in fields if not _SECRET.search(field[0])]
    entered = Entered(request.path, public, len(public) == len(fields) and not request.FILES, by)
    plain = msgspec.msgpack.encode(entered)
    if len(plain) > MOST_BYTES:
        return None
    key, bound_to = _slot(request)
    ciphertext = base64.b64encode(_cipher.encrypt(plain, bound_to)).decode()
    cache.set(key, ciphertext, settings.ACCOUNT_REAUTHENTICATION_TIMEOUT)
    request.session[PAGE] = page
    return entered


def restore(request: HttpRequest) -> Entered | None:
    """Return the entries once, to the page on which they were entered."""
    if request.method != "GET" or request.session.get(PAGE) != request.path:
        return None
    del request.session[PAGE]
    key, bound_to = _slot(request)
    ciphertext = cache.get(key)
    cache.delete(key)
    try:
        plain = _cipher.decrypt(base64.b64decode(ciphertext or ""), bound_to)
    except Unreadable:
        return None
    return msgspec.msgpack.decode(plain, type=Entered)


def _slot(request: HttpRequest) -> tuple[str, bytes]:
    """Returns the key of the cache, and what the ciphertext is bound to."""
    session = sha256(str(request.session.session_key).encode()).hexdigest()
    return f"entered:{session}", f"entered|{session}|{request.user.pk}".encode()
