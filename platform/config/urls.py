"""The URLs of everything that speaks HTML. asgi.py answers the probes and most of `/v1` before."""

from django.urls import include, path
from django.views.generic import TemplateView
from django.views.i18n import JavaScriptCatalog

handler400 = "console.api.no_route.bad_request"
handler403 = "console.error_pages.forbidden"
handler404 = "console.error_pages.not_found"

urlpatterns = [
    path("", include("console.urls")),
    path("", include("console.account.urls")),
    path("api/v1/", include("console.api.urls")),
    path("chat/", include("inference.chat.urls")),
    path("i18n/", include("django.conf.urls.i18n")),
    path("v1/docs", TemplateView.as_view(template_name="inference_docs.html"), name="v1-docs"),
    path("jsi18n/", JavaScriptCatalog.as_view(domain="djangojs"), name="javascript-catalog"),
]
