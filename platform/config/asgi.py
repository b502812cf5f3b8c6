"""The ASGI application of a web process.

Probes and /v1 are on a lean router, websockets on Channels, pages on Django.
"""

import asyncio
import os
from typing import Any

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
os.environ.setdefault("FOREBAY_DATABASE_SCOPE", "none")  # each page opens its tenant's

import django

django.setup(set_prefix=False)

import jsonschema  # noqa: F401  # the first decision would wait for it
from asgiref.sync import sync_to_async
from channels.auth import AuthMiddlewareStack
from channels.routing import URLRouter
from django.conf import settings
from django.urls import re_path

from config.celery import app as celery_app
from config.http.front_ends import router_of
from config.http.hashed_files import served_files
from config.http.origins import FromOwnPages, refuse
from config.http.static_files import static_files
from config.pages.handler import PageHandler, bounded
from config.pages.page_request import count_handshake, refund_handshake
from config.process_start import (
    follow_engines,
    freeze_loaded_objects,
    startup_problem,
    unfollow_engines,
)
from console.inbox.socket import websocket_urlpatterns as inbox_sockets
from console.playground.socket import websocket_urlpatterns as playground_sockets
from inference.api import probes
from inference.api.dialogues import routes as dialogues
from inference.api.dialogues.socket import serve as serve_widget
from inference.chat.urls import websocket_urlpatterns
from inference.intake.context import Context

pages = PageHandler()
celery_app.set_default()  # wake-ups are published from here
nowhere: Any = refuse
own_sockets = [*websocket_urlpatterns, *inbox_sockets, *playground_sockets]
sockets = FromOwnPages(
    count_handshake(
        AuthMiddlewareStack(refund_handshake(URLRouter([*own_sockets, re_path("", nowhere)])))
    ),
    settings.OWN_ORIGINS,
)


async def application(scope: Any, receive: Any, send: Any) -> None:
    if scope["type"] == "http":
        await _http(scope, receive, send)
    elif scope["type"] == "websocket":
        await _websocket(scope, receive, send)
    else:
        await _lifespan(scope, receive, send)


async def _websocket(scope: Any, receive: Any, send: Any) -> None:
    if dialogue := dialogues.socket_of(scope["path"]):
        await serve_widget(scope, receive, send, dialogue)
    else:
        await sockets(scope, receive, send)


async def _http(scope: Any, receive: Any, send: Any) -> None:
    path: str = scope["path"]
    if router := router_of(scope):
        await router(scope, receive, send)
    elif path in probes.PATHS:
        await probes.probe(scope, receive, send)
    elif path.startswith(settings.STATIC_URL):
        await static_files(scope, receive, send)
    else:
        await bounded(pages, scope, receive, send)


async def _lifespan(scope: Any, receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            if problem := await sync_to_async(lambda: startup_problem() or follow_engines())():
                await send({"type": "lifespan.startup.failed", "message": problem})
                return
            await asyncio.to_thread(getattr, served_files(), "by_name")  # the first page needs them
            scope["state"]["context"] = context = await Context.open()
            await probes.checks(context)  # opens the connections that probes use from now on
            freeze_loaded_objects()
            await send({"type": "lifespan.startup.complete"})
        else:
            await scope["state"]["context"].close()
            await sync_to_async(unfollow_engines)()
            await send({"type": "lifespan.shutdown.complete"})
            return
