"""Hashed names of static files for live servers of pytest-django, which know plain ones."""

from typing import Any

from django.contrib.staticfiles.handlers import StaticFilesHandler
from django.contrib.staticfiles.views import serve
from django.http import HttpRequest, HttpResponse

from config.http.hashed_files import plain_name, served_files


def served(handler: Any, request: HttpRequest) -> Any:
    name = handler.file_path(request.path)
    if file := served_files().by_name.get(name):
        return HttpResponse(file.content, content_type=file.media_type)
    return serve(request, plain_name(name), insecure=True)


def on_live_servers() -> None:
    StaticFilesHandler.serve = served  # type: ignore[assignment]
