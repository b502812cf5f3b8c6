"""Paths under /api/v1/ where nothing is."""

from django.http import HttpRequest, HttpResponse
from django.utils.translation import gettext as _
from django.views.decorators.csrf import csrf_exempt

from console.api.problem import Problem


@csrf_exempt
def nowhere(request: HttpRequest) -> HttpResponse:
    text = _("There is nothing here. Every path of this API ends with a slash.")
    return Problem(404, "not_found", text).answer(request)
