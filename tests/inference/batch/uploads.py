"""Files as clients upload them."""

import gzip

import httpx


def packed_form(content: bytes) -> tuple[bytes, dict[str, str]]:
    request = httpx.Request(
        "POST", "http://x", data={"purpose": "batch"}, files={"file": ("f", content)}
    )
    request.read()
    kind = {"content-type": request.headers["content-type"], "content-encoding": "gzip"}
    return gzip.compress(request.content), kind
