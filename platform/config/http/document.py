"""`/v1/openapi.json` and `/v1/openapi.yaml`: the OpenAPI document of all front ends.

Anybody may read it, without a key: it says what the code takes, and nothing of tenants, models or
engines. It is built once, at the first request.
"""

import asyncio
from collections.abc import Mapping, Sequence
from functools import cached_property

import orjson
import yaml

from inference.api.document.building import built
from inference.api.http.request import JSON, Request
from inference.api.http.route_table import Route
from inference.api.http.router import ErrorWriter, Router
from inference.errors import ApiError, Headers
from inference.metrics.labels import ROUTES

_YAML: Headers = [(b"content-type", b"application/yaml")]
_PATHS = {"/v1/openapi.json": JSON, "/v1/openapi.yaml": _YAML}  # the headers of each
ROUTES.update(_PATHS)


class Document:
    """The document of some front ends. Where two have a path, the last of them prevails."""

    def __init__(self, routers: Sequence[Router]) -> None:
        self._routers = routers

    @cached_property
    def texts(self) -> Mapping[str, bytes]:
        """Returns the document by its path."""
        hooks = [router.document for router in reversed(self._routers)]
        text = orjson.dumps(built(hook() for hook in hooks if hook))
        # Parsed again, no part of it is shared: YAML would write anchors for those.
        plain = yaml.dump(orjson.loads(text), Dumper=yaml.CSafeDumper, sort_keys=False)
        return dict(zip(_PATHS, (text, plain.encode()), strict=True))

    async def view(self, request: Request, path: str) -> None:
        texts = await asyncio.to_thread(lambda: self.texts)
        await request.answer(texts[path], headers=_PATHS[path])

    def find(self, path: str) -> Route | None:
        return Route(path, {"GET": self.view}, (path,)) if path in _PATHS else None


def router(routers: Sequence[Router]) -> Router:
    """Returns the router of the document of others."""
    errors = ErrorWriter(ApiError.body, ApiError.body)
    return Router(Document(routers).find, _PATHS.__contains__, errors)
