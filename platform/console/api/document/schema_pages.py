"""The OpenAPI schema, and pages to browse it that load nothing from other sites."""

from functools import cache
from threading import Lock
from typing import Any

from django.conf import settings
from django.http import HttpResponse
from django.utils import translation
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

_building = Lock()


class Schema(SpectacularAPIView):
    """Serves the schema to anybody.

    Building it takes a third of a second: it is built once for each language and format.
    """

    authentication_classes = []
    permission_classes = []

    @extend_schema(exclude=True)
    def get(self, request: Request, *_args: Any, **_kwargs: Any) -> HttpResponse:
        renderer = self._renderer(request)
        language = request.GET.get("lang") or translation.get_language()
        if language not in dict(settings.LANGUAGES):
            language = settings.LANGUAGE_CODE
        file: str = self._get_filename(request, None)  # type: ignore[no-untyped-call]
        name = f'inline; filename="{file}"'
        kind: Any = type(renderer)
        with _building:
            text = _built(kind, language)
        return HttpResponse(text, renderer.media_type, headers={"Content-Disposition": name})

    def _renderer(self, request: Request) -> Any:
        """Returns the renderer that `?format=` names, else that of the header Accept."""
        name = request.GET.get("format")
        for renderer in self.get_renderers():
            if renderer.format == name:
                return renderer
        if name is not None:
            raise ValidationError({"format": ["json or yaml"]})
        return self.perform_content_negotiation(request, force=True)[0]


@cache
def _built(renderer: Any, language: str) -> bytes:
    with translation.override(language):
        schema = Schema.generator_class().get_schema(request=None, public=True)
        return bytes(renderer().render(schema, renderer_context={}))


class Docs(SpectacularSwaggerSplitView):
    authentication_classes = []
    permission_classes = []
    url_name = "api:schema"
    template_name = "console/api_docs.html"
