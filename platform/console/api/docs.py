"""The schema, and pages to browse it that need nothing from elsewhere."""

from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView


class Schema(SpectacularAPIView):
    authentication_classes = []
    permission_classes = []


class Docs(SpectacularSwaggerSplitView):
    authentication_classes = []
    permission_classes = []
    url_name = "api:schema"
    template_name = "console/api_docs.html"
