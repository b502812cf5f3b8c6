"""The keys: set, in a file, or still to be made; and none of them known to others."""

import os
import stat
from collections.abc import Iterator

from config import environment
from config.command.checks.finding import Finding, fail, ok, warn
from config.supervisor.options import SHARED_KEYS

_URLS = ("DATABASE_URL", "FOREBAY_REQUESTS_DATABASE_URL", "REDIS_URL", "FOREBAY_BROKER_URL")
_WELL_KNOWN = ("password", "postgres", "forebay", "changeme", "change-me", "secret", "admin")


def findings() -> Iterator[Finding]:
    for key in SHARED_KEYS:
        yield _key(*key)
    for name in _URLS:
        if url := os.environ.get(name):
            yield _password(name, url)


def _key(name: str, file: str, replacement: str) -> Finding:
    path = environment.HOME / "secrets" / file
    what = path.stem.replace("_", " ") + " key"
    if key := os.environ.get(name):
        if len(set(key.strip("="))) < 8:
            return fail(what, f"{name} is no random value: openssl rand -base64 32")
        return ok(what, f"{name} is set")
    if replacement and os.environ.get(replacement):
        return ok(what, f"{replacement} is set")
    if not path.exists():
        if os.environ.get("FOREBAY_ROLES") or os.environ.get("DATABASE_URL"):
            remedy = f"set {name}_FILE or {name} (openssl rand -base64 32)"
            return fail(what, f"there is none: {remedy}")
        return warn(what, f"there is none yet: the first start makes {path}; back that up")
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        return fail(what, f"others may read {path}: chmod 600 {path}")
    return ok(what, f"in {path}; have it in your backup")


def _password(name: str, url: str) -> Finding:
    """Check the password in a URL. A server may ask for a certificate or a socket instead."""
    user, _, password = url.partition("://")[2].rpartition("@")[0].partition(":")
    if password.lower() in {*_WELL_KNOWN, user.lower()} - {""}:
        return fail(name, "its password is one that anybody would try: choose another")
    if not password:
        return warn(name, "it has no password: fine only where the server asks for something else")
    return ok(name, "has a password")
