"""Unpacks compressed bodies within the bound of all bodies."""

import zlib

from inference.errors import BadRequest, UnsupportedEncoding

ACCEPTED = "gzip, deflate"
_WINDOW_BITS = {"gzip": 31, "x-gzip": 31, "deflate": 15}


def unpacked(body: bytes, encoding: str, most: int) -> bytes:
    """Unpack a body up to one byte more than `most`, which then is too large.

    Raises BadRequest, UnsupportedEncoding.
    """
    if (decompressor := unpacking(encoding)) is None:
        return body
    try:
        content = decompressor.decompress(body, most + 1)
    except zlib.error as problem:
        raise _bad(encoding, str(problem)) from None
    if len(content) <= most and (not decompressor.eof or decompressor.unused_data):
        raise _bad(encoding, "it breaks off" if not decompressor.eof else "something follows it")
    return content


def unpacking(encoding: str) -> "zlib._Decompress | None":
    """Returns a decompressor for pieces; None for a plain body. Raises UnsupportedEncoding."""
    encoding = encoding.strip().lower()
    if encoding in ("", "identity"):
        return None
    if encoding not in _WINDOW_BITS:
        raise UnsupportedEncoding(ACCEPTED)
    return zlib.decompressobj(_WINDOW_BITS[encoding])


def _bad(encoding: str, reason: str) -> BadRequest:
    return BadRequest(f"the body is not {encoding}, as Content-Encoding says: {reason}")
