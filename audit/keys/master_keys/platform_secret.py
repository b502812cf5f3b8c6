"""The secret from which keys for signing, hashing and engine credentials are derived.

It outlives the master key, under which it is stored: FOREBAY_HOME/secrets/platform.secret, one
line, "<id of the master key> <base64>". FOREBAY_PLATFORM_SECRET (32 bytes in base64) replaces the
file on hosts whose disks do not last. With local master keys, the first is the secret itself,
so that installations from before there were several keep their derived keys.
"""

import base64
import contextlib
import secrets
from collections.abc import Mapping
from pathlib import Path
from uuid import UUID

from audit.keys.cipher import Unreadable
from audit.keys.master_keys import MasterKeys
from audit.keys.master_keys.errors import MasterKeyAway, MasterKeyMissing, MasterKeyProblem
from audit.keys.master_keys.local import SIZE, LocalKeys, decoded
from infrastructure.private_file import make_once, replace

VARIABLE, AAD = "FOREBAY_PLATFORM_SECRET", b"platform.secret"


def read(variables: Mapping[str, str], home: Path, master_keys: MasterKeys) -> bytes:
    """Returns the secret, which the first start makes. Raises MasterKeyProblem."""
    if encoded := variables.get(VARIABLE):
        return decoded(encoded, f"restore {VARIABLE} from your backup")
    path = home / "secrets" / "platform.secret"
    if not path.exists():
        with contextlib.suppress(OSError):  # FOREBAY_HOME may be read-only
            make_once(path, _line(master_keys, _first(master_keys)))
    if path.exists():
        return _decrypted(path, master_keys)
    if not isinstance(master_keys.current, LocalKeys):
        remedy = f"set {VARIABLE} (openssl rand -base64 32)"
        raise MasterKeyProblem(f"{path} cannot be written: {remedy}")
    return _first(master_keys)


def rewrap(home: Path, master_keys: MasterKeys) -> None:
    """Wraps the stored secret under the current master key, unless it is already."""
    path = home / "secrets" / "platform.secret"
    if path.exists():
        _decrypted(path, master_keys)


def is_under(home: Path, key_id: UUID) -> bool:
    """Returns True if the stored secret needs no other master key."""
    path = home / "secrets" / "platform.secret"
    return not path.exists() or path.read_text().startswith(f"{key_id} ")


def _first(master_keys: MasterKeys) -> bytes:
    keeper = master_keys.current
    return keeper.keys()[-1] if isinstance(keeper, LocalKeys) else secrets.token_bytes(SIZE)


def _decrypted(path: Path, master_keys: MasterKeys) -> bytes:
    try:
        by, ciphertext = path.read_text().split()
        secret = master_keys.decrypt(UUID(by), base64.b64decode(ciphertext), AAD)
    except MasterKeyAway as problem:
        raise MasterKeyProblem(f"the master key is unavailable: {problem}") from None
    except (ValueError, Unreadable, MasterKeyMissing):
        raise MasterKeyProblem(
            f"wrong master key: {path} is not wrapped under it; restore FOREBAY_MASTER_KEY or "
            f"{path.with_name('master.key')} from your backup, or name the key before the last "
            "exchange in FOREBAY_MASTER_KEYS_OLD"
        ) from None
    if UUID(by) != master_keys.current_id():
        with contextlib.suppress(OSError):
            replace(path, _line(master_keys, secret))
    return secret


def _line(master_keys: MasterKeys, secret: bytes) -> str:
    by, ciphertext = master_keys.encrypt(secret, AAD)
    return f"{by} {base64.b64encode(ciphertext).decode()}\n"
