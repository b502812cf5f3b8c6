"""Texts of people in a job's row, encrypted under its person's key: suffix and metadata."""

import orjson

from audit.keys.keyring import Cipher, Unreadable, keyring
from inference.models import Job

Texts = dict[str, object]


def encrypt(job: Job, cipher: Cipher, texts: Texts) -> None:
    """Put the texts into the row, which is not saved."""
    job.ciphertext = cipher.encrypt(orjson.dumps(texts), _aad(job)) if texts else None


def known(job: Job) -> Texts:
    """Returns the texts; none if they cannot be read any more."""
    if job.ciphertext is None:
        return {}
    try:
        clear = keyring.by_id_now(job.data_key_id).decrypt(bytes(job.ciphertext), _aad(job))
    except Unreadable:
        return {}
    texts: Texts = orjson.loads(clear)
    return texts


def _aad(job: Job) -> bytes:
    return b"inference_job|%b|%b" % (job.tenant_id.bytes, job.id.bytes)
