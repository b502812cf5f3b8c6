"""The result of the process that reads a file."""

import msgspec


class Extracted(msgspec.Struct, frozen=True, tag="extracted"):
    """A text, or an image as engines take it, without what its camera wrote into it."""

    text: str = ""
    pages: int = 0
    image: bytes = b""
    media_type: str = ""  # of the image
    width: int = 0  # pixels
    height: int = 0


class Refused(msgspec.Struct, frozen=True, tag="refused"):
    code: str
