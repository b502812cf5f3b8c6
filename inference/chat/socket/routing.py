from typing import Any

from django.urls import path

from inference.chat.socket.consumer import ChatConsumer

chat: Any = ChatConsumer.as_asgi()
websocket_urlpatterns: list[Any] = [path("ws/chat/", chat)]
