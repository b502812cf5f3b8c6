"""Answers under /api/v1/ to requests that reach no view."""

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from console import error_pages
from console.api.problem import Problem

API = "/api/v1/"


@csrf_exempt
def no_route(request: HttpRequest) -> HttpResponse:
    text = _("There is nothing here. Every path of this API ends with a slash.")
    return Problem(404, "not_found", text).answer(request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    """Returns Django's 400 for the whole platform, such as for a host that is not ours."""
    if not request.path.startswith(API):
        return error_pages.bad_request(request, exception)
    strange = isinstance(exception, DisallowedHost)
    text = str(error_pages.STRANGE_HOST) if strange else _("The request cannot be read.")
    return Problem(400, "malformed", text).answer(request)
