"""Everything that speaks HTML. `/v1` and the probes are answered before Django (asgi.py)."""

from django.urls import include, path
from django.views.i18n import JavaScriptCatalog

urlpatterns = [
    path("", include("console.urls")),
    path("chat/", include("inference.chat.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("jsi18n/", JavaScriptCatalog.as_view(domain="djangojs"), name="javascript-catalog"),
]
