"""The search of the command palette, for its script: JSON, a few results of each kind."""

from django.http import JsonResponse

from console.authorization import ConsoleRequest, TenantRequest, operators_only, permitted
from console.search.results import LONGEST, SHORTEST, Result, in_platform, in_tenant
from tenants.roles import Permission


@permitted(Permission.VIEW_USAGE)
def search(request: TenantRequest) -> JsonResponse:
    text = _text(request)
    return _answer(in_tenant(request.tenant, request.permissions, text) if text else [])


@operators_only
def all_search(request: ConsoleRequest) -> JsonResponse:
    text = _text(request)
    return _answer(in_platform(text) if text else [])


def _text(request: ConsoleRequest) -> str:
    """Returns the search, "" for one that is too short: it would list whoever is first."""
    text = request.GET.get("q", "").replace("\0", "").strip()[:LONGEST]
    return text if len(text) >= SHORTEST or not text.isascii() else ""


def _answer(results: list[Result]) -> JsonResponse:
    return JsonResponse({"results": [result.fields for result in results]})
