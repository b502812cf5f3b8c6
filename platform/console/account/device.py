"""The cookie of a device that has signed in before: signed, unreadable to scripts, per account.

It is bound to the account's present password: whoever knew an older one has no known device.
"""

import hmac
import secrets
from hashlib import sha256

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from tenants.models import User

COOKIE, AGE_S, MOST_ACCOUNTS = "forebay_device", 180 * 86400, 10
_SALT = "console.account.device"


def known(request: HttpRequest, email: str) -> str:
    """The device's id if it has signed in to this account before, else ""."""
    carried = _carried(request)
    return carried.get(_short(email), "") if carried else ""


def remember(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """After a complete sign-in, and after the password has changed."""
    carried = _carried(request)
    carried[_short(user.email)] = secrets.token_hex(8)
    kept = dict(list(carried.items())[-MOST_ACCOUNTS:])
    response.set_cookie(
        COOKIE,
        signing.dumps(kept, salt=_SALT),
        max_age=AGE_S,
        httponly=True,
        secure=settings.SESSION_COOKIE_SECURE,
        samesite="Lax",
    )


def _carried(request: HttpRequest) -> dict[str, str]:
    try:
        found = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=AGE_S)
    except signing.BadSignature:
        return {}
    return dict(found)


def _short(email: str) -> str:
    email = email.strip().lower()
    password = User.objects.filter(email=email).values_list("password", flat=True).first()
    about = f"device:{email}:{password}".encode()
    return hmac.new(settings.SECRET_KEY.encode(), about, sha256).hexdigest()[:16]
