"""The files under /static/, with headers that keep browsers from guessing their type and lifetime.

Files come from the folders of the packages that bring them: there is nothing to collect, and
nothing of an older version to be left over.
"""

from typing import Any

from django.conf import settings
from django.contrib.staticfiles.finders import get_finders
from starlette.datastructures import MutableHeaders
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.staticfiles import StaticFiles

_WIDGET = f"{settings.STATIC_URL}widget/"


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
    await _files(below, receive, send_marked)
