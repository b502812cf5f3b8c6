"""How often a password may be tried: per address, and per account from anywhere."""

import contextlib
from hashlib import sha256

import redis
from django.http import HttpRequest

from console.session_acts import client_ip
from inference.queue.client import client

WINDOW_S = 60
MOST_BY_ADDRESS = 30
MOST_FOR_ACCOUNT = 10


def too_many(request: HttpRequest, email: str) -> bool:
    """Counts this attempt. Without Redis nobody is locked out: the password still guards."""
    limits = {
        f"signin:ip:{client_ip(request)}": MOST_BY_ADDRESS,
        _account(email): MOST_FOR_ACCOUNT,
    }
    try:
        return any([_count(key) > most for key, most in limits.items()])  # noqa: C419 count all
    except redis.RedisError:
        return False


def forget(email: str) -> None:
    """The right password clears the account."""
    with contextlib.suppress(redis.RedisError):
        client().delete(_account(email))


def _account(email: str) -> str:
    return f"signin:account:{sha256(email.strip().lower().encode()).hexdigest()}"


def _count(key: str) -> int:
    seen = int(client().incr(key))
    if seen == 1:
        client().expire(key, WINDOW_S)
    return seen
