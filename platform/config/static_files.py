"""What /static/ has, as it is: browsers must not guess what else it might be."""

from typing import Any

from django.conf import settings
from starlette.datastructures import MutableHeaders
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.staticfiles import StaticFiles

_files = ExceptionMiddleware(StaticFiles(directory=settings.STATIC_ROOT, check_dir=False))


async def static_files(scope: Any, receive: Any, send: Any) -> None:
    async def send_marked(message: Any) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            headers["x-content-type-options"] = "nosniff"
            if message["status"] == 405:
                headers["allow"] = "GET, HEAD"
        await send(message)

    below = {**scope, "root_path": scope.get("root_path", "") + settings.STATIC_URL[:-1]}
    await _files(below, receive, send_marked)
