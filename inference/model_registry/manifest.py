"""The signed list of a version's files: who holds a version can show that these are its bytes."""

from collections.abc import Iterable
from hashlib import sha256
from typing import Any, Protocol

import orjson

from audit.keys import signing
from inference.models import ModelVersion

PURPOSE = "model-manifest"


class Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def size(self) -> int: ...


class Tampered(Exception):
    """The rows of a version are not those that the platform signed."""


def manifest(version: ModelVersion, files: Iterable[Named]) -> dict[str, Any]:
    rows = sorted(({"name": f.name, "sha256": f.sha256, "size": f.size} for f in files), key=_name)
    named = {"id": str(version.pk), "owner": version.owner, "name": version.name}
    return {**named, "number": version.number, "kind": version.kind, "files": rows}


def _name(row: dict[str, Any]) -> str:
    return str(row["name"])


def signed(version: ModelVersion, files: Iterable[Named]) -> dict[str, Any]:
    """Returns hash and signature, as fields of the version."""
    body = _body(version, files)
    signature = signing.sign(body, PURPOSE)
    return {"manifest_sha256": sha256(body).hexdigest(), "signature": signature}


def check(version: ModelVersion) -> None:
    """Raises Tampered."""
    body = _body(version, version.files.all())
    if not signing.is_ours(body, bytes(version.signature), PURPOSE):
        raise Tampered(f"{version}: its list of files is not the one that was signed")


def _body(version: ModelVersion, files: Iterable[Named]) -> bytes:
    return orjson.dumps(manifest(version, files), option=orjson.OPT_SORT_KEYS)
