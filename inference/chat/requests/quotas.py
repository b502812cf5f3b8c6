"""Requests of the chat about quotas: what is left, and more of it."""

from uuid import UUID

from django.core.exceptions import ValidationError
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_GET, require_POST
from msgspec import structs

from inference.chat.problems import problem
from inference.chat.quotas import ask_for_more, of_member, remaining
from inference.chat.requests.access import as_json, as_member, signed_in
from tenants.models import User


@signed_in
@require_GET
def quotas(request: HttpRequest, user: User) -> HttpResponse:
    with as_member(user, request.GET.get("tenant", "")) as member:
        return as_json(remaining(member, request.GET.get("model", "")))


@signed_in
@require_POST
def raises(request: HttpRequest, user: User, quota: UUID) -> HttpResponse:
    """Ask for more of a quota. Whoever may approve raises sees it in the console."""
    posted = request.POST
    try:
        with as_member(user, posted.get("tenant", "")) as member:
            wanted = get_object_or_404(of_member(member), pk=quota)
            ask_for_more(member, wanted, posted.get("amount", ""), posted.get("reason", ""))
    except ValidationError as invalid:
        text = " ".join(invalid.messages)
        return as_json(structs.replace(problem("no_amount"), text=text), status=409)
    return HttpResponse(status=204)
