from typing import Any

from django.urls import path

from inference.chat import views
from inference.chat.socket.consumer import ChatConsumer

app_name = "chat"

urlpatterns = [
    path("", views.page, name="page"),
    path("conversations/", views.conversations, name="conversations"),
    path("c/<uuid:conversation>/", views.page, name="conversation"),
    path("c/<uuid:conversation>/messages/", views.messages, name="messages"),
    path("c/<uuid:conversation>/title/", views.title, name="title"),
    path("c/<uuid:conversation>/deletion/", views.deletion, name="deletion"),
]
_chat: Any = ChatConsumer.as_asgi()
websocket_urlpatterns: list[Any] = [path("ws/chat/", _chat)]
