"""The key that proves to the database that the platform opened a scope (sql/0_scope.sql)."""

from django.conf import settings
from django.db import connection

_BLOCK = 64  # bytes, of SHA-256
_WRITE = """
    insert into tenants_scopekey (id, inner_pad, outer_pad) values (1, %(inner)s, %(outer)s)
    on conflict (id) do update set inner_pad = %(inner)s, outer_pad = %(outer)s
    where (tenants_scopekey.inner_pad, tenants_scopekey.outer_pad) <> (%(inner)s, %(outer)s)"""


def write() -> None:
    """Writes the key, as the owner of the tables. A second call changes nothing."""
    key: bytes = settings.SCOPE_KEY.ljust(_BLOCK, b"\0")
    pads = {"inner": bytes(b ^ 0x36 for b in key), "outer": bytes(b ^ 0x5C for b in key)}
    with connection.cursor() as cursor:
        cursor.execute(_WRITE, pads)
