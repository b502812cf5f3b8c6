"""Requests of the chat about what conversations say: search, export, sharing, ratings."""

from uuid import UUID

from django.http import HttpRequest, HttpResponse, HttpResponseBadRequest
from django.shortcuts import get_object_or_404
from django.utils.http import content_disposition_header
from django.views.decorators.http import require_GET, require_http_methods, require_POST

from audit.keys.keyring import Unreadable
from inference.chat.collection import exporting, rating, sharing
from inference.chat.collection import search as searching
from inference.chat.problems import ChatRefused, problem
from inference.chat.requests.access import (
    as_json,
    as_member,
    inside,
    moment,
    refuse_restricted,
    signed_in,
)
from inference.models import Audience, ConversationShare, Rating
from tenants.models import User
from tenants.scope import person_scope, tenant_scope

_SEARCH_AGAIN_S = 2


@signed_in
@require_POST
def search(request: HttpRequest, user: User) -> HttpResponse:
    """Search the person's conversations. A POST, so that no log has the words."""
    try:
        before = moment(request.POST.get("before", ""))
    except ValueError:
        return HttpResponseBadRequest("`before` must be a time")
    try:
        with as_member(user, request.POST.get("tenant", "")) as member:
            return as_json(searching.search(member, request.POST.get("words", ""), before))
    except searching.SearchBusy:
        answer = as_json(problem("search_busy", _SEARCH_AGAIN_S), status=429)
        answer["Retry-After"] = str(_SEARCH_AGAIN_S)
        return answer


@signed_in
@require_GET
def export(request: HttpRequest, user: User, conversation: UUID) -> HttpResponse:
    form = request.GET.get("form", "markdown")
    if form not in exporting.FORMS:
        return HttpResponseBadRequest("`form` must be markdown, json or pdf")
    with inside(user, conversation) as opened:
        refuse_restricted(opened.member)
        whole = request.GET.get("branches") == "all"
        try:
            exported = exporting.export(opened, form, all_branches=whole)
        except ChatRefused as refused:  # a browser shows the answer to this link as it is
            status = 429 if refused.code == exporting.BUSY else 409
            text = problem(refused.code).text
            return HttpResponse(text, "text/plain; charset=utf-8", status=status)
    answer = HttpResponse(exported.content, exported.content_type)
    answer["Content-Disposition"] = content_disposition_header(True, exported.name)
    return answer


@signed_in
@require_POST
def share(request: HttpRequest, user: User, conversation: UUID) -> HttpResponse:
    days = request.POST.get("days", "7")
    audience = request.POST.get("audience", Audience.MEMBERS)
    if audience not in Audience.values or days not in map(str, sharing.DAYS):
        return HttpResponseBadRequest("unknown `audience` or `days`")
    with inside(user, conversation) as opened:
        copy, url = sharing.share(opened, Audience(audience), int(days))
        return as_json({**sharing.listed(copy), "url": url})


@signed_in
@require_GET
def shares(request: HttpRequest, user: User) -> HttpResponse:
    with as_member(user, request.GET.get("tenant", "")) as member:
        return as_json([sharing.listed(copy) for copy in sharing.of_member(member)])


@signed_in
@require_POST
def share_deletion(request: HttpRequest, user: User, share: UUID) -> HttpResponse:
    with person_scope(user.pk):
        owned = ConversationShare.objects.filter(member__user=user)
        copy = get_object_or_404(owned.select_related("conversation__member"), pk=share)
    with tenant_scope(copy.tenant_id, user.pk):
        sharing.withdraw(copy)
    return HttpResponse(status=204)


@signed_in
@require_http_methods(["POST"])
def rate(request: HttpRequest, user: User, conversation: UUID, message: UUID) -> HttpResponse:
    """Rate an answer; an empty rating takes the last one back."""
    value = request.POST.get("rating", "")
    if value not in ("", *map(str, Rating.values)):
        return HttpResponseBadRequest("`rating` must be 1, -1 or empty")
    chosen = Rating(int(value)) if value else None
    try:
        with inside(user, conversation) as opened:
            rated = rating.rate(opened, message, chosen, request.POST.get("reason", ""))
    except ChatRefused:
        return as_json(problem("not_found"), status=404)
    except Unreadable:
        return as_json(problem("restricted"), status=409)
    return as_json({"rating": rated.rating or 0})
