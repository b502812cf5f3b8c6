"""The cookie of a device that has signed in before: signed, unreadable to scripts, per account.

It is bound to the account's present password: a device that knew only an older one is unknown.
"""

import hmac
import secrets
from hashlib import sha256

from django.conf import settings
from django.core import signing
from django.http import HttpRequest, HttpResponse

from tenants.models import User

COOKIE, AGE_S, MOST_ACCOUNTS = "forebay_device", 180 * 86400, 10
_SALT = "console.account.known_device"


def known_device(request: HttpRequest, email: str) -> str:
    """Returns the device's id if it has signed in to this account before, else ""."""
    devices = _devices(request)
    return devices.get(_account_hash(email), "") if devices else ""


def remember(request: HttpRequest, response: HttpResponse, user: User) -> None:
    """Set the cookie, after a complete sign-in and after the password has changed."""
    devices = _devices(request)
    devices[_account_hash(user.email)] = secrets.token_hex(8)
    newest = dict(list(devices.items())[-MOST_ACCOUNTS:])
    response.set_cookie(
        COOKIE,
        signing.dumps(newest, salt=_SALT),
        max_age=AGE_S,
        httponly=True,
        secure=settings.SESSION_COOKIE_SECURE,
        samesite="Lax",
    )


def _devices(request: HttpRequest) -> dict[str, str]:
    """Returns the ids of the cookie by account hash."""
    try:
        devices = signing.loads(request.COOKIES.get(COOKIE, ""), salt=_SALT, max_age=AGE_S)
    except signing.BadSignature:
        return {}
    return dict(devices)


def _account_hash(email: str) -> str:
    email = email.strip().lower()
    password = User.objects.filter(email=email).values_list("password", flat=True).first()
    about = f"device:{email}:{password}".encode()
    return hmac.new(settings.SECRET_KEY.encode(), about, sha256).hexdigest()[:16]
