"""Lockout after five wrong passwords, for half an hour, counted in django-axes' table.

Counters are not per pair of account and address but, after OWASP's "device cookies":

- one for all devices that have never signed in to the account, so that a thousand addresses get
  five tries between them; and one for each of their addresses over all accounts;
- one for each device that has signed in before, so that an attacker elsewhere cannot keep the
  account's person out.

A try is counted before the password is looked at, in one statement, and taken back when it was
right: however many come at once, no sixth is evaluated. Accounts that do not exist are counted
alike. An entry holds no address of email, only a keyed hash of it.

The cookie of a known device is signed, unreadable to scripts, and bound to the account's present
password: a device that knew only an older one is unknown.
"""

import hmac
import secrets
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.core import signing
from django.db import connection
from django.http import HttpRequest, HttpResponse
from django.utils import timezone

from console.client_network import client_ip
from tenants.models import User
from tenants.rate_limits.client_address import counted

MOST, MOST_BY_ADDRESS, REST = 5, 50, timedelta(minutes=30)
COOKIE, AGE_S, MOST_ACCOUNTS = "forebay_device", 180 * 86400, 10
_SALT = "console.account.known_device"
NOWHERE = "0.0.0.0"  # noqa: S104 an entry that counts over all addresses
_COUNT = """
    insert into axes_accessattempt as a
        (username, ip_address, user_agent, http_accept, path_info, get_data, post_data,
         failures_since_start, attempt_time)
    values (%(name)s, %(nowhere)s, '', '', '', '', '', 1, %(now)s)
    on conflict (username, ip_address, user_agent) do update set
        failures_since_start = case when a.attempt_time <= %(rested)s then 1
            else a.failures_since_start + 1 end,
        attempt_time = case when a.attempt_time > %(rested)s and a.failures_since_start >= %(most)s
            then a.attempt_time else %(now)s end
    returning failures_since_start"""
_TAKE_ONE_BACK = """
    update axes_accessattempt set failures_since_start = failures_since_start - 1
    where username = %s and failures_since_start > 0"""


@dataclass(frozen=True, slots=True)
class AttemptCounter:
    """A counter. `name` says what it counts; `shared` means that several accounts share it."""

    name: str
    most: int
    shared: bool = False


class LockedOut(Exception):
    """Too many wrong tries: this one was not evaluated."""

    def __init__(self, *, just_now: bool) -> None:
        super().__init__()
        self.just_now = just_now  # this is the first refused try since the lock began


def count_try(
    request: HttpRequest, email: str, credential: str = "password"
) -> list[AttemptCounter]:
    """Count a try in every counter that applies, before it is evaluated. Raises LockedOut."""
    entries = _entries(request, email, credential)
    for entry in entries:
        excess = _add_try(entry) - entry.most
        if excess > 0:
            raise LockedOut(just_now=excess == 1)
    return entries


def forgive(entries: list[AttemptCounter]) -> None:
    """Undo the count after a right try: the account starts anew, the address loses this one."""
    for entry in entries:
        if entry.shared:
            with connection.cursor() as cursor:
                cursor.execute(_TAKE_ONE_BACK, [entry.name])
        else:
            AccessAttempt.objects.filter(username=entry.name).delete()


def _entries(request: HttpRequest, email: str, credential: str) -> list[AttemptCounter]:
    account = f"{credential}/{_email_hash(email)}"
    if device_id := known_device(request, email):
        return [AttemptCounter(f"{account}/{device_id}", MOST)]
    address = AttemptCounter(f"address/{counted(client_ip(request))}", MOST_BY_ADDRESS, shared=True)
    return [address, AttemptCounter(account, MOST)]


def _add_try(entry: AttemptCounter) -> int:
    now = timezone.now()
    values: dict[str, str | int] = {"name": entry.name, "nowhere": NOWHERE, "most": entry.most}
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {**values, "now": now, "rested": now - REST})
        number: int = cursor.fetchone()[0]
    return number


def _email_hash(email: str) -> str:
    key = settings.SECRET_KEY.encode()
    return hmac.new(key, email.strip().lower().encode(), sha256).hexdigest()[:40]


def known_device(request: HttpRequest, email: str) -> str:
    """Returns the device's id if it has signed in to this account before, else ""."""
    devices = _devices(request)
    return devices.get(_account_hash(email), "") if devices else ""


def remember_device(request: HttpRequest, response: HttpResponse, user: User) -> None:
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


class Lockout(AxesDatabaseHandler):
    """The handler that django-axes asks at each password."""

    def is_allowed(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        email = str((credentials or {}).get("email") or (credentials or {}).get("username") or "")
        try:
            request.password_try = count_try(request, email)  # type: ignore[attr-defined]
        except LockedOut as locked:
            request.locked_out = locked  # type: ignore[attr-defined]
            return False
        return True

    def user_login_failed(self, *_args: Any, **_named: Any) -> None:
        """Delete expired entries. The try has been counted already."""
        AccessAttempt.objects.filter(attempt_time__lte=timezone.now() - REST).delete()

    def user_logged_in(self, *_args: Any, **_named: Any) -> None:
        """Do nothing: a right password has undone the count before the second factor."""

    def user_logged_out(self, *_args: Any, **_named: Any) -> None: ...
