"""Reads an engine's own reports (health, models, metrics) up to a bound."""

import logging

import aiohttp

log = logging.getLogger(__name__)
MOST = 4 * 1024 * 1024  # bytes
_PIECE = 64 * 1024


class TooLong(ValueError):
    """An answer beyond the bound. The rest was not read."""

    def __init__(self, url: object) -> None:
        super().__init__(f"{url} answered with more than {MOST} bytes")


async def whole(response: aiohttp.ClientResponse) -> bytes:
    """Read a body, decompressed. Raises TooLong, aiohttp.ClientError."""
    pieces, length = list[bytes](), 0
    async for piece in response.content.iter_chunked(_PIECE):
        length += len(piece)
        if length > MOST:
            problem = TooLong(response.url)
            log.warning("%s: not read on", problem)
            raise problem
        pieces.append(piece)
    return b"".join(pieces)
