from typing import Any

from django.urls import path

from inference.chat.pages import views
from inference.chat.requests import attachments, documents, listing, presets, quotas, shared
from inference.chat.requests.fit import message_fit
from inference.chat.socket.consumer import ChatConsumer

app_name = "chat"

urlpatterns = [
    path("", views.page, name="page"),
    path("conversations/", views.conversations, name="conversations"),
    path("deletions/", listing.deletions, name="deletions"),
    path("search/", documents.search, name="search"),
    path("quotas/", quotas.quotas, name="quotas"),
    path("quotas/<uuid:quota>/raises/", quotas.raises, name="raises"),
    path("shares/", documents.shares, name="shares"),
    path("shares/<uuid:share>/deletion/", documents.share_deletion, name="share-deletion"),
    path("s/<str:token>/", shared.shared, name="shared"),
    path("c/<uuid:conversation>/export/", documents.export, name="export"),
    path("c/<uuid:conversation>/share/", documents.share, name="share"),
    path("c/<uuid:conversation>/messages/<uuid:message>/rating/", documents.rate, name="rating"),
    path("folders/", listing.folder_list, name="folders"),
    path("folders/<uuid:folder>/name/", listing.folder_name, name="folder-name"),
    path("folders/<uuid:folder>/deletion/", listing.folder_deletion, name="folder-deletion"),
    path("c/<uuid:conversation>/pin/", listing.pin, name="pin"),
    path("c/<uuid:conversation>/archive/", listing.archive, name="archive"),
    path("c/<uuid:conversation>/folder/", listing.move, name="move"),
    path("c/<uuid:conversation>/", views.page, name="conversation"),
    path("c/<uuid:conversation>/messages/", views.messages, name="messages"),
    path("c/<uuid:conversation>/branch/", views.branch, name="branch"),
    path("c/<uuid:conversation>/fork/", views.fork, name="fork"),
    path("c/<uuid:conversation>/title/", views.title, name="title"),
    path("c/<uuid:conversation>/deletion/", views.deletion, name="deletion"),
    path("models/", presets.models, name="models"),
    path("settings/", presets.checked_settings, name="settings"),
    path("presets/", presets.presets, name="presets"),
    path("presets/<uuid:preset>/", presets.preset, name="preset"),
    path("presets/<uuid:preset>/removal/", presets.preset_removal, name="preset_removal"),
    path(
        "c/<uuid:conversation>/settings/",
        presets.conversation_settings,
        name="conversation_settings",
    ),
    path("fit/", message_fit, name="fit"),
    path("attachments/", attachments.attachments, name="attachments"),
    path("attachments/<uuid:attachment>/", attachments.attachment, name="attachment"),
    path("attachments/<uuid:attachment>/pieces/", attachments.pieces, name="attachment_pieces"),
    path("attachments/<uuid:attachment>/end/", attachments.end, name="attachment_end"),
    path("attachments/<uuid:attachment>/removal/", attachments.removal, name="attachment_removal"),
]
_chat: Any = ChatConsumer.as_asgi()
websocket_urlpatterns: list[Any] = [path("ws/chat/", _chat)]
