"""Five wrong passwords, then half an hour's rest: who is counted, and where (django-axes' table).

Counted is not the pair of account and address but, after OWASP's "device cookies":

- all devices that have never signed in to the account together, so that a thousand addresses get
  five tries between them; and each of their addresses over all accounts;
- each device that has signed in before, on its own: whoever attacks an account from elsewhere
  cannot keep its person out.

A try is counted before the password is looked at, in one statement, and taken back when it was
right: however many come at once, no sixth is evaluated. Accounts that do not exist are counted
alike. An entry holds no address of email: only a keyed hash of it.
"""

import hmac
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from ipaddress import ip_network
from typing import Any

from axes.handlers.database import AxesDatabaseHandler
from axes.models import AccessAttempt
from django.conf import settings
from django.db import connection
from django.http import HttpRequest
from django.utils import timezone

from console.account import device
from console.client_network import client_ip

MOST, MOST_BY_ADDRESS, REST = 5, 50, timedelta(minutes=30)
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
class Entry:
    """One counter: `name` says of what; `shared` by several accounts."""

    name: str
    most: int
    shared: bool = False


class LockedOut(Exception):
    """Too many wrong ones: this try was not looked at."""

    def __init__(self, *, just_now: bool) -> None:
        super().__init__()
        self.just_now = just_now  # the first that was refused: the lock is news


def count(request: HttpRequest, email: str, what: str = "password") -> list[Entry]:
    """Counts a try against everything it falls under, before it is looked at. Raises LockedOut."""
    entries = _entries(request, email, what)
    for entry in entries:
        over = _counted(entry) - entry.most
        if over > 0:
            raise LockedOut(just_now=over == 1)
    return entries


def forgive(entries: list[Entry]) -> None:
    """The try was right: the account's count starts anew, the address loses this one."""
    for entry in entries:
        if entry.shared:
            with connection.cursor() as cursor:
                cursor.execute(_TAKE_ONE_BACK, [entry.name])
        else:
            AccessAttempt.objects.filter(username=entry.name).delete()


def _entries(request: HttpRequest, email: str, what: str) -> list[Entry]:
    account = f"{what}/{_hashed(email)}"
    if known := device.known(request, email):
        return [Entry(f"{account}/{known}", MOST)]
    address = Entry(f"address/{_network(client_ip(request))}", MOST_BY_ADDRESS, shared=True)
    return [address, Entry(account, MOST)]


def _counted(entry: Entry) -> int:
    now = timezone.now()
    values: dict[str, str | int] = {"name": entry.name, "nowhere": NOWHERE, "most": entry.most}
    with connection.cursor() as cursor:
        cursor.execute(_COUNT, {**values, "now": now, "rested": now - REST})
        number: int = cursor.fetchone()[0]
    return number


def _network(address: str) -> str:
    """An IPv6 customer has a whole /64 of addresses to come from."""
    return str(ip_network(f"{address}/64", strict=False)) if ":" in address else address


def _hashed(email: str) -> str:
    key = settings.SECRET_KEY.encode()
    return hmac.new(key, email.strip().lower().encode(), sha256).hexdigest()[:40]


class Lockout(AxesDatabaseHandler):
    """What django-axes asks at each password, answered by the rules above."""

    def is_allowed(self, request: HttpRequest, credentials: dict[str, Any] | None = None) -> bool:
        email = str((credentials or {}).get("email") or (credentials or {}).get("username") or "")
        try:
            request.password_try = count(request, email)  # type: ignore[attr-defined]
        except LockedOut as locked:
            request.locked_out = locked  # type: ignore[attr-defined]
            return False
        return True

    def user_login_failed(self, *_args: Any, **_named: Any) -> None:
        """Counted already. Entries that have rested are swept."""
        AccessAttempt.objects.filter(attempt_time__lte=timezone.now() - REST).delete()

    def user_logged_in(self, *_args: Any, **_named: Any) -> None:
        """Forgiven when the password was right, before a second factor is asked for."""

    def user_logged_out(self, *_args: Any, **_named: Any) -> None: ...
