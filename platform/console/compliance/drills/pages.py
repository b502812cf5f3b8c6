"""The newest report on drills, for operators: /console/compliance/drills/?form=pdf."""

from django.http import Http404, HttpResponse
from django.utils.translation import get_language

from console import downloads
from console.authorization import ConsoleRequest, operators_only
from console.compliance.drills import document, evidence, report
from console.compliance.signed_report import Report, as_json

_TYPES = {"html": "text/html", "json": "application/json", "pdf": "application/pdf"}


@operators_only
def drills(request: ConsoleRequest) -> HttpResponse:
    form = request.GET.get("form", "html")
    newest = evidence.newest()
    if newest is None or form not in _TYPES:
        raise Http404
    name = f"forebay-drills-{newest['body']['made_at'][:10]}.{form}"
    return downloads.file(_made(newest, form), name, _TYPES[form])


def _made(newest: Report, form: str) -> bytes:
    language = get_language() or "en"
    if form == "json":
        return as_json(newest)
    return document.as_pdf(newest, language) if form == "pdf" else report.as_html(newest, language)
