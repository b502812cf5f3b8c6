"""People of a running platform, with sessions: made by its own management shell, once."""

import json
from textwrap import dedent

from tests.e2e.conftest import Platform

PASSWORD = "a forebay holds the river"
# olga operates the platform and chats in acme.
# alice owns acme, bob chats there and in globex, carol audits acme; charlie is of globex only.
_MAKE = dedent("""
    import json
    from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
    from django.contrib.sessions.backends.db import SessionStore
    from tenants.models import Quota, Tenant, User
    from tenants.roles import Role

    def person(email, is_operator=False, **roles):
        user = User.objects.create_user(email, {password!r}, is_operator=is_operator)
        for tenant, role in roles.items():
            tenants[tenant].add_member(user, role, by="test")
        session = SessionStore()
        session[SESSION_KEY] = str(user.pk)
        session[BACKEND_SESSION_KEY] = "allauth.account.auth_backends.AuthenticationBackend"
        session[HASH_SESSION_KEY] = user.get_session_auth_hash()
        session.save()
        return session.session_key

    free = dict(requests_per_minute=0, burst=0, max_concurrency=0)
    tenants = {{name: Tenant.open(name, by="test", **free) for name in ("acme", "globex")}}
    tenants["spent"] = Tenant.open("spent", by="test", **free)
    Quota.set(tenants["spent"], unit="tokens", window="day", limit=1, by="test")
    tenants["scarce"] = Tenant.open("scarce", by="test", **free)
    Quota.set(tenants["scarce"], unit="tokens", window="day", limit=900, by="test")
    tenants["tiny"] = Tenant.open("tiny", by="test", requests_per_minute=1, burst=1)
    print(json.dumps({{
        "alice": person("alice@acme.example", acme=Role.OWNER),
        "bob": person("bob@acme.example", acme=Role.MEMBER, globex=Role.MEMBER),
        "carol": person("carol@acme.example", acme=Role.AUDITOR),
        "charlie": person("charlie@globex.example", globex=Role.MEMBER),
        "leaver": person("leaver@acme.example", acme=Role.MEMBER),
        "sleeper": person("sleeper@acme.example", acme=Role.MEMBER),
        "quinn": person("quinn@spent.example", spent=Role.MEMBER),
        "sam": person("sam@scarce.example", scarce=Role.MEMBER),
        "olga": person("olga@forebay.example", is_operator=True, acme=Role.MEMBER),
        "tim": person("tim@tiny.example", tiny=Role.MEMBER),
    }}))
""")


def sessions(platform: Platform) -> dict[str, str]:
    """Name -> session key."""
    printed = platform.manage("shell", "-v0", "-c", _MAKE.format(password=PASSWORD))
    found: dict[str, str] = json.loads(printed.splitlines()[-1])
    return found
