"""The files under /static/, with headers that keep browsers from guessing their type and lifetime.

Files come from the folders of the packages that bring them: there is nothing to collect, and
nothing of an older version to be left over. Ours have names with a hash of their content
(hashed_files.py), are compressed once and kept by browsers for ever. Under its plain name a browser
asks each time whether a file is still the same.
"""

from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.responses import Response
from starlette.staticfiles import StaticFiles

from config.http.hashed_files import HashedFile, plain_name, served_files

_WIDGET = f"{settings.STATIC_URL}widget/"
FOREVER = "public, max-age=31536000, immutable"


class _Files(StaticFiles):
    def get_directories(self, *_args: object, **_kwargs: object) -> list[Any]:
        """Returns the folders in Django's order: of two files of one name the first is served."""
        return [
            storage.location
            for finder in get_finders()
            for storage in finder.storages.values()  # type: ignore[attr-defined]  # of each finder that has files
        ]


_files = ExceptionMiddleware(_Files())


async def static_files(scope: Any, receive: Any, send: Any) -> None:
    name = scope["path"].removeprefix(settings.STATIC_URL)
    hashed = served_files().by_name.get(name)
    if hashed and scope["method"] in ("GET", "HEAD"):
        await _hashed(hashed, scope)(scope, receive, send)
        return

    async def send_marked(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["x-content-type-options"] = "nosniff"
            # Otherwise browsers would run old scripts beside new ones after an upgrade.
            headers["cache-control"] = "no-cache"
            if scope["path"].startswith(_WIDGET):  # for pages of others, also with `integrity`
                headers["access-control-allow-origin"] = "*"
                headers["cross-origin-resource-policy"] = "cross-origin"
            if message["status"] == 405:
                headers["allow"] = "GET, HEAD"
        await send(message)

    below = {**scope, "root_path": scope.get("root_path", "") + settings.STATIC_URL[:-1]}
    below["path"] = settings.STATIC_URL + plain_name(name)
    await _files(below, receive, send_marked)


def _hashed(file: HashedFile, scope: Any) -> Response:
    headers = {"cache-control": FOREVER, "x-content-type-options": "nosniff"}
    body = file.content
    if file.compressed:
        headers["vary"] = "accept-encoding"
        if _takes_gzip(Headers(scope=scope).get("accept-encoding", "")):
            headers["content-encoding"], body = "gzip", file.compressed
    headers["content-length"] = str(len(body))
    shown = body if scope["method"] == "GET" else b""
    return Response(shown, media_type=file.media_type, headers=headers)


def _takes_gzip(accepted: str) -> bool:
    """Returns whether the client takes it; an encoding with q=0 is refused."""
    parts = [part.replace(" ", "").lower().split(";") for part in accepted.split(",")]
    return any(part[0] == "gzip" and part[1:] not in (["q=0"], ["q=0.0"]) for part in parts)
