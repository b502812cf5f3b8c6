"""Bodies that come compressed: as large as others are, once they are unpacked."""

import zlib

from inference.errors import BadRequest, UnsupportedEncoding

ACCEPTED = "gzip, deflate"
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """At most one byte more than `most`: then it is too large, however much would follow.

    Raises BadRequest, UnsupportedEncoding.
    """
    if (unpacks := unpacking(encoding)) is None:
        return body
    try:
        found = unpacks.decompress(body, most + 1)
    except zlib.error as problem:
        raise _bad(encoding, str(problem)) from None
    if len(found) <= most and (not unpacks.eof or unpacks.unused_data):
        raise _bad(encoding, "it breaks off" if not unpacks.eof else "something follows it")
    return found


def unpacking(encoding: str) -> "zlib._Decompress | None":
    """For a body that comes in pieces; None where it is as it is. Raises UnsupportedEncoding."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in _WINDOW_BITS:
        raise UnsupportedEncoding(ACCEPTED)
    return zlib.decompressobj(_WINDOW_BITS[encoding])


def _bad(encoding: str, why: str) -> BadRequest:
    return BadRequest(f"the body is not {encoding}, as Content-Encoding says: {why}")
