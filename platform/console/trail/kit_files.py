"""Files that verify an export elsewhere: the verifier, the public keys, a guide; and one ZIP.

A kit with an export is written piece by piece, so that its size does not matter to memory.
"""

import base64
import io
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from django.template.loader import render_to_string

from audit.keys import signing
from audit.offline import forebay_verify

VERIFIER = "forebay_verify.py"
EXPORT, WITNESS = "audit.jsonl", "witness.jsonl"  # as the guide calls them


def public_keys() -> list[tuple[str, str]]:
    """Returns id and text of each public key, the current one first."""
    return [(name, base64.b64encode(key).decode()) for name, key in signing.trusted().items()]


def kit_files(tenant: str) -> Iterator[tuple[str, str]]:
    """Yields name and text of each file that any verification needs."""
    yield VERIFIER, Path(forebay_verify.__file__).read_text()
    for key_id, key in public_keys():
        yield f"public-key-{key_id}.txt", f"{key}\n"
    yield "README.txt", render_to_string("console/audit/kit.txt", {"tenant": tenant})


def kit(tenant: str) -> bytes:
    """Returns the ZIP file without an export."""
    return b"".join(_zipped(tenant, {}))


def kit_with(tenant: str, export: Iterable[bytes], witness: Iterable[bytes]) -> Iterator[bytes]:
    """Yields the ZIP file with an export, and with what a witness heard unless that is nothing."""
    yield from _zipped(tenant, {EXPORT: export, WITNESS: witness})


def _zipped(tenant: str, large_files: dict[str, Iterable[bytes]]) -> Iterator[bytes]:
    outlet = _Outlet()
    with zipfile.ZipFile(outlet, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in kit_files(tenant):
            archive.writestr(name, text)
        for name, pieces in large_files.items():
            yield from _added(archive, outlet, name, pieces)
    yield outlet.take()


def _added(
    archive: zipfile.ZipFile, outlet: "_Outlet", name: str, pieces: Iterable[bytes]
) -> Iterator[bytes]:
    with archive.open(name, "w", force_zip64=True) as file:
        for piece in pieces:
            file.write(piece)
            yield outlet.take()


class _Outlet(io.RawIOBase):
    """Holds what a ZIP file has written since it was last taken. It cannot seek."""

    def __init__(self) -> None:
        self._written = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: bytes) -> int:  # type: ignore[override]  # zipfile writes bytes alone
        self._written += data
        return len(data)

    def take(self) -> bytes:
        taken, self._written = bytes(self._written), bytearray()
        return taken
