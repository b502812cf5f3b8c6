"""Checks at every start that the master key, the secret and the signing key are this database's.

The first start makes the platform's own key (tenant `PLATFORM`) and a check value under it, so that
even an empty installation knows its master key.
"""

import hmac
import logging
from uuid import UUID

from django.conf import settings
from django.db import DatabaseError, OperationalError, connection, connections

from audit.keys import signing
from audit.keys.cipher import Unreadable
from audit.keys.keyring import keyring, newest, wrap
from audit.keys.master_keys.errors import MasterKeyAway, MasterKeyMissing
from audit.models import PLATFORM, Checkpoint, DataKey
from infrastructure.postgres.scope import scope

log = logging.getLogger(__name__)
CHECK = UUID(int=1)  # the "subject" whose key is the check value
TRIED = 5  # rows of one master key: a single damaged row must not prevent a start
_RESTORE = (
    "restore FOREBAY_MASTER_KEY or FOREBAY_HOME/secrets/master.key from your backup, or name the "
    "missing key in FOREBAY_MASTER_KEYS_OLD until `manage.py rotate_keys --master` is through"
)
_RESTORE_SIGNING = (
    "restore FOREBAY_AUDIT_SIGNING_KEY or FOREBAY_HOME/secrets/audit_signing.key from your backup; "
    "where it was exchanged or is lost for good, name its public key, which each witness has "
    "heard, in FOREBAY_AUDIT_PUBLIC_KEYS_OLD (docs/audit.md)"
)


def startup_problem() -> str:
    """Returns one line on why no process may start with these keys, or "" if it may."""
    try:
        return _master_key_problem() or _secret_problem() or _signing_key_problem()
    except MasterKeyAway as problem:
        return f"the master key is unavailable: {problem}"
    except OperationalError as problem:
        return f"the database does not answer: {problem}".splitlines()[0]
    except DatabaseError as problem:
        return f"no keys in the database: run `manage.py migrate` ({problem})".splitlines()[0]
    finally:
        if not connection.in_atomic_block:
            connections.close_all()


def _master_key_problem() -> str:
    tenants_keys = DataKey.objects.filter(subject_id=None)
    with scope(system=True):
        masters = list(tenants_keys.values_list("wrapped_by", flat=True).distinct())
    for master in masters:
        with scope(system=True):
            wrapped = tenants_keys.filter(wrapped_by=master)
            rows, count = list(wrapped.order_by("id")[:TRIED]), wrapped.count()
        if not any(map(_opens, rows)):
            under = f"{count} tenants' keys are under another one {master}"
            return f"wrong master key: {under}; {_RESTORE}"
    return ""


def _opens(row: DataKey) -> bool:
    try:
        keyring.unwrap(row)
    except (Unreadable, MasterKeyMissing):
        return False
    return True


def _secret_problem() -> str:
    """Returns the problem of the platform secret: with another one, nobody could sign in."""
    try:
        check = _stored_check()
    except Unreadable as problem:
        log.error("cannot unwrap the platform's own key: %s", problem)
        return ""
    if hmac.compare_digest(check, settings.SECRET_CHECK):
        return ""
    return (
        "wrong platform secret: it would accept no API key, session or second factor; restore "
        "FOREBAY_HOME/secrets/platform.secret or FOREBAY_PLATFORM_SECRET from your backup (where "
        "there was neither, it is the first FOREBAY_MASTER_KEY)"
    )


def _signing_key_problem() -> str:
    """Checks the signing key.

    A lost key would be made anew at the next start, and all earlier evidence would look forged.
    """
    known = signing.trusted()
    with scope(system=True):
        by_number = Checkpoint.objects.order_by("n")
        for checkpoint in filter(None, (by_number.last(), by_number.first())):
            if checkpoint.key_id not in known:
                return (
                    f"unknown audit signing key: checkpoint {checkpoint.n} is signed with "
                    f"{checkpoint.key_id}; {_RESTORE_SIGNING}"
                )
    return ""


def _stored_check() -> bytes:
    tenant_key = keyring.of_subject_now(PLATFORM, None)
    with scope(system=True):
        row = newest(PLATFORM, CHECK)
        if row is None:
            row = DataKey(tenant_id=PLATFORM, subject_id=CHECK)
            wrap(row, settings.SECRET_CHECK, tenant_key)
            DataKey.objects.bulk_create([row], ignore_conflicts=True)
            row = newest(PLATFORM, CHECK) or row
    return keyring.unwrap(row)
